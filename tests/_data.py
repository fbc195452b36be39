"""Small problems that several test modules share."""

import numpy as np
import scipy.sparse as sp

from sklearn_xmr import HierarchicalKMeans, XRLinearClassifier


def random_problem(n_samples=60, n_features=40, n_labels=12, *, density=0.2, random_state=0):
    """Sparse non-negative X with unit rows, sparse binary Y with one to three labels a row."""
    rng = np.random.default_rng(random_state)
    X = sp.random_array((n_samples, n_features), density=density, rng=rng, format="csr")
    X.data += 0.1
    norms = np.sqrt(X.multiply(X).sum(axis=1))
    norms[norms == 0] = 1
    X = sp.csr_array(sp.diags_array(1 / norms) @ X, dtype=np.float32)
    X.sort_indices()
    rows, columns = [], []
    for i in range(n_samples):
        for label in rng.choice(n_labels, size=rng.integers(1, 4), replace=False):
            rows.append(i)
            columns.append(label)
    Y = sp.csr_array((np.ones(len(rows)), (rows, columns)), shape=(n_samples, n_labels))
    return X, Y


def small_tree():
    """An indexer of two levels for some forty labels."""
    return HierarchicalKMeans(branching_factor=4, max_leaf_size=5)


def classifier(**params):
    """With such a tree and a seed, unless `params` say otherwise."""
    return XRLinearClassifier(**{"indexer": small_tree(), "random_state": 0, **params})
