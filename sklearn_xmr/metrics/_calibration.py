"""Do the scores of the k best labels behave like probabilities?"""

from typing import NamedTuple

import numpy as np

from sklearn_xmr.metrics._topk import rank_against_truth, topk
from sklearn_xmr.utils._validation import check_positive_int


class CalibrationCurve(NamedTuple):
    """Reliability of predicted probabilities, bin by bin.

    Attributes
    ----------
    prob_true : ndarray of shape (n_bins,)
        Share of the bin's predictions that are true.
    prob_pred : ndarray of shape (n_bins,)
        Mean of the bin's predicted probabilities, ascending.
    counts : ndarray of shape (n_bins,)
        Predictions in the bin.
    """

    prob_true: np.ndarray
    prob_pred: np.ndarray
    counts: np.ndarray


def calibration_curve_at_k(y_true, y_proba, *, k=5, n_bins=15, strategy="quantile"):
    """Compute the reliability curve of the k best labels' probabilities.

    The marginal probabilities of the k best labels of all rows are put into bins. In each bin, the mean
    probability is set against the share of its labels that are true.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, sparse array} of shape (n_samples, n_labels)
        True labels as an indicator matrix of 0 and 1.
    y_proba : tuple (labels, scores) or {array-like, sparse matrix, sparse array}
        Probabilities of labels as a ranked pair or as a matrix, see :func:`precision_at_k`. Padding is
        left out.
    k : int, default=5
        Number of predictions of each row that count.
    n_bins : int, default=15
        Number of bins, at least 1. Empty bins are left out.
    strategy : {"quantile", "uniform"}, default="quantile"
        ``"quantile"``: adaptive bins of about equally many predictions; equal probabilities stay
        together, in the bin of their mean rank. ``"uniform"``: bins of equal width.

    Returns
    -------
    curve : CalibrationCurve
        Named tuple of the arrays prob_true, prob_pred and counts.

    Raises
    ------
    TypeError
        If `k` or `n_bins` is not an integer.
    ValueError
        If a probability is not in [0, 1], there is no prediction at all, or for the reasons given in
        :func:`precision_at_k`.

    See Also
    --------
    expected_calibration_error : The curve's mean distance from the diagonal.
    sklearn.calibration.calibration_curve : For one binary target.

    Examples
    --------
    >>> from sklearn_xmr.metrics import calibration_curve_at_k
    >>> y_true = [[1, 0], [0, 1], [0, 1], [1, 0]]
    >>> y_proba = [[0.8, 0.2], [0.8, 0.1], [0.3, 0.8], [0.8, 0.2]]
    >>> curve = calibration_curve_at_k(y_true, y_proba, k=1, n_bins=2)
    >>> curve.prob_true.tolist(), curve.counts.tolist()
    ([0.75], [4])
    """
    n_bins = check_positive_int(n_bins, "n_bins")
    _check_strategy(strategy)
    probabilities, hits = _marginals(y_true, y_proba, k)
    if strategy == "uniform":
        bins = np.searchsorted(np.arange(1, n_bins) / n_bins, probabilities, side="right")
    else:
        _, value, sizes = np.unique(probabilities, return_inverse=True, return_counts=True)
        twice_mean_rank = 2 * np.cumsum(sizes) - sizes  # in integers: a bound between bins is met exactly
        bins = (n_bins * twice_mean_rank // (2 * probabilities.size))[value]
    counts = np.bincount(bins)
    filled = np.flatnonzero(counts)
    sums = [np.bincount(bins, weights=values)[filled] for values in (hits, probabilities)]
    prob_true, prob_pred = (total / counts[filled] for total in sums)
    return CalibrationCurve(prob_true, prob_pred, counts[filled])


def expected_calibration_error(y_true, y_proba, *, k=5, n_bins=15, strategy="quantile"):
    """Compute the expected calibration error of the k best labels' probabilities.

    The mean over all predictions of the distance between a bin's mean probability and the share of its
    labels that are true. With the default adaptive bins every bin holds about equally many predictions
    (adaptive ECE) [1]_.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, sparse array} of shape (n_samples, n_labels)
        True labels as an indicator matrix of 0 and 1.
    y_proba : tuple (labels, scores) or {array-like, sparse matrix, sparse array}
        Probabilities of labels as a ranked pair or as a matrix, see :func:`precision_at_k`. Padding is
        left out.
    k : int, default=5
        Number of predictions of each row that count.
    n_bins : int, default=15
        Number of bins, at least 1.
    strategy : {"quantile", "uniform"}, default="quantile"
        Bins of equally many predictions or of equal width.

    Returns
    -------
    float
        Between 0 and 1, lower is better.

    Raises
    ------
    TypeError
        If `k` or `n_bins` is not an integer.
    ValueError
        For the reasons given in :func:`calibration_curve_at_k`.

    See Also
    --------
    calibration_curve_at_k : The bins behind it.

    References
    ----------
    .. [1] K. Nguyen and B. O'Connor, "Posterior calibration and exploratory analysis for natural language
       processing models", EMNLP 2015.

    Examples
    --------
    >>> from sklearn_xmr.metrics import expected_calibration_error
    >>> y_true = [[1, 0], [0, 1], [0, 1], [1, 0]]
    >>> y_proba = [[0.8, 0.2], [0.8, 0.1], [0.3, 0.8], [0.8, 0.2]]
    >>> round(expected_calibration_error(y_true, y_proba, k=1), 3)
    0.05
    """
    curve = calibration_curve_at_k(y_true, y_proba, k=k, n_bins=n_bins, strategy=strategy)
    return float(np.average(np.abs(curve.prob_true - curve.prob_pred), weights=curve.counts))


def _check_strategy(strategy):
    if strategy not in ("quantile", "uniform"):
        raise ValueError(f"strategy must be 'quantile' or 'uniform', got {strategy!r}.")


def _marginals(y_true, y_proba, k):
    """Probability of each of the k best labels of each row, and whether it is true."""
    ranking = rank_against_truth(y_true, y_proba, k)
    best = y_proba[1] if isinstance(y_proba, tuple) else topk(y_proba, ranking.labels.shape[1])[1]
    predicted = ranking.labels >= 0
    probabilities = np.asarray(best)[:, : ranking.labels.shape[1]][predicted].astype(np.float64)
    if probabilities.size == 0:
        raise ValueError("y_proba must hold at least one prediction, got none.")
    outside = probabilities[(probabilities < 0) | (probabilities > 1)]
    if outside.size:
        raise ValueError(f"y_proba must hold probabilities in [0, 1], got {outside[0]:g}.")
    return probabilities, ranking.hits[predicted]
