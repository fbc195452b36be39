"""Problems and fitted models that several benchmarks share.

All benchmarks use public names alone, so that asv can run old commits.
"""

from functools import cache

from sklearn_xmr import XRLinearClassifier
from sklearn_xmr.datasets import make_xmc_classification

#: Numbers of labels that each benchmark runs at; rows are four times as many.
SIZES = [1_000, 8_000]


@cache
def problem(n_labels):
    """Training and test part of a synthetic problem: X, Y, X_test, Y_test."""
    n_rows = 4 * n_labels
    X, Y = make_xmc_classification(n_rows + 1_000, 2 * n_labels + 5_000, n_labels, random_state=0)
    return X[:n_rows], Y[:n_rows], X[n_rows:], Y[n_rows:]


@cache
def fitted(n_labels):
    """A classifier with the defaults, fitted to `problem`."""
    X, Y, _, _ = problem(n_labels)
    return XRLinearClassifier(random_state=0).fit(X, Y)
