"""Precision, recall, nDCG and coverage of the k best predictions."""

import numpy as np

from sklearn_xmr.metrics._topk import rank_against_truth


def precision_at_k(y_true, y_pred, *, k=5, sample_weight=None):
    """Compute precision at k: the share of true labels among the k best predictions.

    The mean over rows of (number of hits in the first k) / k. The denominator is always k: missing
    predictions are misses, and a row with fewer than k true labels cannot reach 1. Rows without true
    labels count as 0.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, sparse array} of shape (n_samples, n_labels)
        True labels as an indicator matrix of 0 and 1.
    y_pred : tuple (labels, scores) or {array-like, sparse matrix, sparse array}
        Either the pair that ``predict_topk`` returns, each of shape (n_samples, n_ranks), best first,
        padded with -1: its order is trusted. Or scores of shape (n_samples, n_labels), higher is
        better, ties to the smaller label; absent entries of a sparse matrix are not predicted.
    k : int, default=5
        Number of predictions that count. May exceed the number of labels.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative row weights of the mean.

    Returns
    -------
    float
        Between 0 and 1, higher is better.

    Raises
    ------
    TypeError
        If `k` is not an integer.
    ValueError
        If the shapes do not match, `y_true` is not an indicator matrix, a predicted label does not
        exist or is repeated within a row, scores contain NaN, or `k` is below 1.

    See Also
    --------
    propensity_scored_precision_at_k : Hits on rare labels count more.
    recall_at_k : Hits relative to the number of true labels.

    Examples
    --------
    >>> from sklearn_xmr.metrics import precision_at_k
    >>> y_true = [[1, 0, 1, 0], [0, 1, 0, 0]]
    >>> y_score = [[0.9, 0.8, 0.7, 0.1], [0.2, 0.6, 0.1, 0.0]]
    >>> precision_at_k(y_true, y_score, k=2)
    0.5
    """
    ranking = rank_against_truth(y_true, y_pred, k, sample_weight)
    n_hits = ranking.hits.sum(axis=1)
    return float(np.average(n_hits, weights=ranking.sample_weight) / ranking.k)


def recall_at_k(y_true, y_pred, *, k=5, sample_weight=None):
    """Compute recall at k: the share of the true labels that the k best predictions find.

    The mean over rows of (number of hits in the first k) / (number of true labels). Rows without true
    labels count as 0.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, sparse array} of shape (n_samples, n_labels)
        True labels as an indicator matrix of 0 and 1.
    y_pred : tuple (labels, scores) or {array-like, sparse matrix, sparse array}
        Ranked pair or scores, see :func:`precision_at_k`.
    k : int, default=5
        Number of predictions that count. May exceed the number of labels.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative row weights of the mean.

    Returns
    -------
    float
        Between 0 and 1, higher is better.

    Raises
    ------
    TypeError
        If `k` is not an integer.
    ValueError
        For the reasons given in :func:`precision_at_k`.

    See Also
    --------
    precision_at_k : Hits relative to k.

    Examples
    --------
    >>> from sklearn_xmr.metrics import recall_at_k
    >>> y_true = [[1, 0, 1, 0], [0, 1, 0, 0]]
    >>> y_score = [[0.9, 0.8, 0.7, 0.1], [0.2, 0.6, 0.1, 0.0]]
    >>> recall_at_k(y_true, y_score, k=2)
    0.75
    """
    ranking = rank_against_truth(y_true, y_pred, k, sample_weight)
    recalls = ranking.hits.sum(axis=1) / np.maximum(ranking.n_true, 1)
    return float(np.average(recalls, weights=ranking.sample_weight))


def f1_at_k(y_true, y_pred, *, k=5, sample_weight=None):
    """Compute F1 at k: how far the k best predictions agree with the true labels, as sets.

    The mean over rows of 2 (number of hits in the first k) / (number of predictions among them + number of
    true labels): the F1@k of Annif, and ``sklearn.metrics.f1_score`` with ``average="samples"`` of the sets
    of the k best. Unlike for precision, missing predictions are not counted. Rows with neither predictions
    nor true labels count as 0.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, sparse array} of shape (n_samples, n_labels)
        True labels as an indicator matrix of 0 and 1.
    y_pred : tuple (labels, scores) or {array-like, sparse matrix, sparse array}
        Ranked pair or scores, see :func:`precision_at_k`.
    k : int, default=5
        Number of predictions that count. May exceed the number of labels.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative row weights of the mean.

    Returns
    -------
    float
        Between 0 and 1, higher is better.

    Raises
    ------
    TypeError
        If `k` is not an integer.
    ValueError
        For the reasons given in :func:`precision_at_k`.

    See Also
    --------
    sklearn_xmr.LabelSetClassifier : Sets of another size for each row.

    Examples
    --------
    >>> from sklearn_xmr.metrics import f1_at_k
    >>> y_true = [[1, 0, 1, 0], [0, 1, 0, 0]]
    >>> y_score = [[0.9, 0.8, 0.7, 0.1], [0.2, 0.6, 0.1, 0.0]]
    >>> round(f1_at_k(y_true, y_score, k=2), 4)
    0.5833
    """
    ranking = rank_against_truth(y_true, y_pred, k, sample_weight)
    n_named = (ranking.labels >= 0).sum(axis=1) + ranking.n_true
    values = 2 * ranking.hits.sum(axis=1) / np.maximum(n_named, 1)
    return float(np.average(values, weights=ranking.sample_weight))


def ndcg_at_k(y_true, y_pred, *, k=5, sample_weight=None):
    """Compute the normalised discounted cumulative gain of the k best predictions.

    A hit at rank r gains 1 / log2(r + 1). The mean over rows of the gain, divided by the gain of a
    ranking that puts the true labels first (its first min(k, number of true labels) ranks). Rows
    without true labels count as 0.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, sparse array} of shape (n_samples, n_labels)
        True labels as an indicator matrix of 0 and 1.
    y_pred : tuple (labels, scores) or {array-like, sparse matrix, sparse array}
        Ranked pair or scores, see :func:`precision_at_k`.
    k : int, default=5
        Number of predictions that count. May exceed the number of labels.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative row weights of the mean.

    Returns
    -------
    float
        Between 0 and 1, higher is better.

    Raises
    ------
    TypeError
        If `k` is not an integer.
    ValueError
        For the reasons given in :func:`precision_at_k`.

    See Also
    --------
    propensity_scored_ndcg_at_k : Hits on rare labels count more.
    sklearn.metrics.ndcg_score : For dense graded relevance; averages over ties.

    References
    ----------
    .. [1] K. Järvelin and J. Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM
       Transactions on Information Systems 20(4), 2002.

    Examples
    --------
    >>> from sklearn_xmr.metrics import ndcg_at_k
    >>> y_true = [[1, 0, 1, 0], [0, 1, 0, 0]]
    >>> y_score = [[0.9, 0.8, 0.7, 0.1], [0.2, 0.6, 0.1, 0.0]]
    >>> round(ndcg_at_k(y_true, y_score, k=2), 4)
    0.8066
    """
    ranking = rank_against_truth(y_true, y_pred, k, sample_weight)
    gains = ranking.hits @ rank_discounts(ranking.hits.shape[1])
    gains /= ideal_discount_sums(ranking)
    return float(np.average(gains, weights=ranking.sample_weight))


def coverage_at_k(y_true, y_pred, *, k=5):
    """Compute coverage at k: the share of the labels that are ever predicted correctly.

    Number of labels that are a hit in the first k predictions of at least one row, divided by the
    number of labels that are true in at least one row. It tells a model that serves the rare labels
    from one that lives on the frequent ones. 0 if no label is true anywhere.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, sparse array} of shape (n_samples, n_labels)
        True labels as an indicator matrix of 0 and 1.
    y_pred : tuple (labels, scores) or {array-like, sparse matrix, sparse array}
        Ranked pair or scores, see :func:`precision_at_k`.
    k : int, default=5
        Number of predictions that count. May exceed the number of labels.

    Returns
    -------
    float
        Between 0 and 1, higher is better.

    Raises
    ------
    TypeError
        If `k` is not an integer.
    ValueError
        For the reasons given in :func:`precision_at_k`.

    See Also
    --------
    propensity_scored_precision_at_k : Weighs hits by the rarity of the label.

    Examples
    --------
    >>> from sklearn_xmr.metrics import coverage_at_k
    >>> y_true = [[1, 0, 1, 0], [0, 1, 0, 0]]
    >>> y_score = [[0.9, 0.8, 0.7, 0.1], [0.2, 0.6, 0.1, 0.0]]
    >>> round(coverage_at_k(y_true, y_score, k=2), 4)
    0.6667
    """
    ranking = rank_against_truth(y_true, y_pred, k)
    n_found = np.unique(ranking.labels[ranking.hits]).size
    return n_found / max(np.unique(ranking.y_true.indices).size, 1)


def rank_discounts(n_ranks):
    """1 / log2(r + 1) for the ranks r = 1, ..., n_ranks."""
    return 1 / np.log2(np.arange(2, n_ranks + 2))


def ideal_discount_sums(ranking):
    """Sum of the discounts of the first min(k, n_true) ranks of each row; 1 for a row without labels.

    Such a row has no hits, so any positive value leaves it at 0.
    """
    n_ideal = np.minimum(np.maximum(ranking.n_true, 1), ranking.k)
    return np.cumsum(rank_discounts(n_ideal.max()))[n_ideal - 1]
