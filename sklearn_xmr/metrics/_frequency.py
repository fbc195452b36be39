"""How good is a ranking for frequent and for rare labels?"""

from typing import NamedTuple

import numpy as np

from sklearn_xmr.metrics._topk import rank_against_truth
from sklearn_xmr.utils._validation import as_array, check_label_matrix


class FrequencyBins(NamedTuple):
    """Precision and recall of labels, grouped by training frequency, rare labels first.

    Attributes
    ----------
    lowest : ndarray of shape (n_bins,)
        Training rows that a label of the bin has at least.
    precision : ndarray of shape (n_bins,)
        Share of the predictions of labels of the bin that are true; 0 without any.
    recall : ndarray of shape (n_bins,)
        Share of the true labels of the bin that were predicted; 0 without any.
    n_labels : ndarray of shape (n_bins,)
        Labels in the bin.
    n_predicted : ndarray of shape (n_bins,)
        Predictions of labels of the bin.
    n_true : ndarray of shape (n_bins,)
        Pairs of a row and a true label of the bin.
    """

    lowest: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    n_labels: np.ndarray
    n_predicted: np.ndarray
    n_true: np.ndarray


def precision_recall_by_frequency(y_true, y_pred, *, y_train, k=5, edges=(10, 100)):
    """Compute precision and recall at k for tail, torso and head labels apart.

    Labels are grouped by the number of training rows that have them. A hit, a prediction and a true
    label are counted for the group of their label, over all rows (micro averages). An overall precision
    says little about rare labels, because frequent ones dominate it.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, sparse array} of shape (n_samples, n_labels)
        True labels as an indicator matrix of 0 and 1.
    y_pred : tuple (labels, scores) or {array-like, sparse matrix, sparse array}
        Ranked pair or scores, see :func:`precision_at_k`.
    y_train : {array-like, sparse matrix, sparse array} of shape (n_train, n_labels)
        Indicator matrix of the training set, from which frequencies are counted.
    k : int, default=5
        Number of predictions that count.
    edges : array-like of int of shape (n_bins - 1,), default=(10, 100)
        Largest training frequency of each group but the last, ascending. The default calls labels of up
        to 10 training rows tail, of 11 to 100 torso, of more head.

    Returns
    -------
    bins : FrequencyBins
        Named tuple of arrays, an entry per group, rare labels first.

    Raises
    ------
    TypeError
        If `k` is not an integer.
    ValueError
        If `edges` are not ascending, `y_train` has another number of labels, or for the reasons given
        in :func:`precision_at_k`.

    See Also
    --------
    propensity_scored_precision_at_k : One figure in which hits on rare labels count more.

    Examples
    --------
    >>> from sklearn_xmr.metrics import precision_recall_by_frequency
    >>> y_train = [[1, 1, 0], [1, 0, 0], [1, 0, 1]]
    >>> y_true = [[1, 0, 0], [1, 1, 0]]
    >>> y_score = [[0.9, 0.1, 0.3], [0.8, 0.6, 0.1]]
    >>> bins = precision_recall_by_frequency(y_true, y_score, y_train=y_train, k=2, edges=[1])
    >>> bins.precision.tolist(), bins.recall.tolist(), bins.n_labels.tolist()
    ([0.5, 1.0], [1.0, 1.0], [2, 1])
    """
    edges = as_array(edges, "edges")
    is_list = edges.ndim == 1 and edges.size > 0 and edges.dtype.kind in "iu"
    if is_list:
        edges = edges.astype(np.int64)  # differences and sums of smaller and of unsigned integers overflow
    if not is_list or edges[0] < 0 or np.any(np.diff(edges) <= 0):
        raise ValueError(f"edges must be ascending integers from 0 up, got {edges.tolist()}.")
    ranking = rank_against_truth(y_true, y_pred, k)
    y_train = check_label_matrix(y_train, input_name="y_train")
    n_labels = ranking.y_true.shape[1]
    if y_train.shape[1] != n_labels:
        raise ValueError(f"y_train must have {n_labels} columns as y_true, got shape {y_train.shape}.")
    counts = np.bincount(y_train.indices, minlength=n_labels)
    bin_of_label = np.searchsorted(edges, counts, side="left")

    def count(labels):
        return np.bincount(bin_of_label[labels], minlength=edges.size + 1)

    n_hits = count(ranking.labels[ranking.hits])
    n_predicted = count(ranking.labels[ranking.labels >= 0])
    n_true = count(ranking.y_true.indices)
    return FrequencyBins(
        lowest=np.append(0, edges + 1),
        precision=n_hits / np.maximum(n_predicted, 1),
        recall=n_hits / np.maximum(n_true, 1),
        n_labels=np.bincount(bin_of_label, minlength=edges.size + 1),
        n_predicted=n_predicted,
        n_true=n_true,
    )
