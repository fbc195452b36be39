"""Top-k labels of a score matrix, and which of them are true: what every metric here starts from."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.utils._sklearn_private import check_sample_weight
from sklearn_xmr.utils._sparse_entries import contains_entries
from sklearn_xmr.utils._validation import (
    as_array,
    as_numbers,
    check_label_matrix,
    check_positive_int,
    check_sparse_structure,
)

MAX_EXACT = 2**53  # of integers in float64
_BLOCK_ENTRIES = 1 << 22  # dense scores ranked at a time: bounds the temporaries, not the result


def topk(scores, k):
    """Select the k best labels of each row of a score matrix.

    Equal scores rank the smaller label first.

    Parameters
    ----------
    scores : {array-like, sparse matrix, sparse array} of shape (n_samples, n_labels)
        Scores, higher is better. Absent entries of a sparse matrix are not candidates, whatever the
        sign of the present ones; stored zeros are. Entries of ``-inf`` are not candidates either.
    k : int
        Number of labels per row, at least 1.

    Returns
    -------
    labels : ndarray of shape (n_samples, k), dtype int32
        Column indices, best first; rows with fewer than k candidates end in -1.
    scores : ndarray of shape (n_samples, k), dtype float32 or float64
        Their scores; rows with fewer than k candidates end in ``-inf``.

    Raises
    ------
    TypeError
        If `k` is not an integer.
    ValueError
        If `k` is below 1, or `scores` is not a two-dimensional numeric matrix without NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_xmr.metrics import topk
    >>> labels, scores = topk([[0.1, 0.7, 0.7], [0.2, -np.inf, 0.4]], k=3)
    >>> labels
    array([[ 1,  2,  0],
           [ 2,  0, -1]], dtype=int32)
    >>> scores
    array([[ 0.7,  0.7,  0.1],
           [ 0.4,  0.2, -inf]])
    """
    k = check_positive_int(k, "k")
    scores = _check_scores(scores, "scores")
    labels = np.full((scores.shape[0], k), -1, dtype=np.int32)
    best = np.full(labels.shape, -np.inf, dtype=scores.dtype)
    select = _fill_from_csr if sp.issparse(scores) else _fill_from_dense
    select(scores, labels, best)
    labels[best == -np.inf] = -1
    return labels, best


def _check_scores(scores, name):
    """A float array, or a csr_array with sorted columns and no duplicates."""
    if not sp.issparse(scores):
        scores = as_numbers(as_array(scores, name))
    if scores.ndim != 2:
        hint = "; labels and scores go together as a tuple" if scores.ndim == 3 else ""
        raise ValueError(f"{name} must have shape (n_samples, n_labels), got shape {scores.shape}{hint}.")
    if scores.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be numeric, got dtype {scores.dtype}.")
    dtype = np.result_type(scores.dtype, np.float32)
    if sp.issparse(scores):
        check_sparse_structure(scores, name)
        scores = sp.csr_array(scores)
    if scores.dtype.kind in "iu":
        _check_exact(scores.data if sp.issparse(scores) else scores, name)
    scores = scores.astype(dtype, copy=False)
    if sp.issparse(scores) and not scores.has_canonical_format:
        scores = scores.copy()  # sum_duplicates works in place
        scores.sum_duplicates()
    if np.isnan(scores.data if sp.issparse(scores) else scores).any():
        raise ValueError(f"{name} must not contain NaN.")
    return scores


def _check_exact(values, name):
    """Refuse integers that float64 would round, and so make equal."""
    if values.size and max(int(values.max()), -int(values.min())) > MAX_EXACT:
        raise ValueError(
            f"{name} must be at most 2 ** 53 where they are integers, got more: float64 rounds them."
        )


def _fill_from_dense(scores, labels, best):
    n_samples, n_labels = scores.shape
    if n_labels == 0:
        return
    k = min(labels.shape[1], n_labels)
    n_rows = max(1, _BLOCK_ENTRIES // n_labels)
    for start in range(0, n_samples, n_rows):
        rows = slice(start, start + n_rows)
        positions = _rank_rows(scores[rows], k)
        labels[rows, :k] = positions
        best[rows, :k] = np.take_along_axis(scores[rows], positions, axis=1)


def _fill_from_csr(scores, labels, best):
    """Pad rows of similar length to a rectangle: at most twice the entries, however uneven the rows."""
    lengths = np.diff(scores.indptr)
    magnitudes = np.frexp(lengths)[1]  # number of bits
    for magnitude in np.unique(magnitudes[lengths > 0]):
        rows = np.flatnonzero(magnitudes == magnitude)
        columns = np.arange(lengths[rows].max(), dtype=np.int64)
        present = columns < lengths[rows, None]
        entries = np.where(present, scores.indptr[rows, None] + columns, 0)
        values = np.where(present, scores.data[entries], -np.inf)
        k = min(labels.shape[1], columns.size)
        positions = _rank_rows(values, k)
        labels[rows, :k] = scores.indices[np.take_along_axis(entries, positions, axis=1)]
        best[rows, :k] = np.take_along_axis(values, positions, axis=1)


def _rank_rows(values, k):
    """Positions of the k largest values of each row, best first, ties to the smaller position."""
    n_rows, width = values.shape
    if k < width:
        kth = np.partition(values, width - k, axis=1)[:, width - k, None]
        above, tied = values > kth, values == kth
        n_wanted = k - above.sum(axis=1, keepdims=True)
        chosen = above | (tied & (np.cumsum(tied, axis=1, dtype=np.int32) <= n_wanted))
        positions = np.nonzero(chosen)[1].reshape(n_rows, k)
    else:
        positions = np.tile(np.arange(width), (n_rows, 1))
    order = np.argsort(-np.take_along_axis(values, positions, axis=1), axis=1, kind="stable")
    return np.take_along_axis(positions, order, axis=1)


class Ranking(NamedTuple):
    """Predictions set against the truth.

    `labels` and `hits` have at most k columns, fewer where no further label was predicted.
    """

    k: int
    y_true: sp.csr_array
    labels: np.ndarray
    hits: np.ndarray
    sample_weight: np.ndarray

    @property
    def n_true(self):
        """Number of true labels of each row."""
        return np.diff(self.y_true.indptr)


def rank_against_truth(y_true, y_pred, k, sample_weight=None):
    """Validate the arguments that all metrics share and find the hits.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, sparse array} of shape (n_samples, n_labels)
        Indicator matrix.
    y_pred : tuple (labels, scores) or {array-like, sparse matrix, sparse array}
        As the public metrics take it.
    k : int
        Number of predictions that count.
    sample_weight : array-like of shape (n_samples,), default=None
        Row weights.

    Returns
    -------
    Ranking
        With ``hits[i, r]`` telling whether prediction r of row i is true.
    """
    k = check_positive_int(k, "k")
    y_true = check_label_matrix(y_true, input_name="y_true")
    n_samples, n_labels = y_true.shape
    if n_samples == 0:
        raise ValueError("y_true must have at least one row, got none.")
    if isinstance(y_pred, tuple):
        labels = _check_ranked_pair(y_pred, y_true.shape)[:, :k]
    else:
        scores = _check_scores(y_pred, "y_pred")
        if scores.shape != y_true.shape:
            raise ValueError(
                f"y_pred and y_true must have the same shape, got {scores.shape} and {y_true.shape}."
            )
        labels = topk(scores, min(k, n_labels))[0]
    weights = check_sample_weight(sample_weight, y_true, dtype=np.float64, ensure_non_negative=True)
    if not weights.any():  # scikit-learn before 1.9 lets it pass
        raise ValueError("sample_weight must not be zero for every row.")
    hits = contains_entries(y_true, np.arange(n_samples)[:, None], labels)
    return Ranking(k, y_true, labels, hits, weights)


def _check_ranked_pair(y_pred, shape):
    if len(y_pred) != 2:
        raise ValueError(f"y_pred as a tuple must be (labels, scores), got {len(y_pred)} item(s).")
    labels, scores = as_array(y_pred[0], "y_pred: labels"), as_array(y_pred[1], "y_pred: scores")
    scores = as_numbers(scores)
    n_samples, n_labels = shape
    if labels.ndim != 2 or labels.shape[0] != n_samples:
        raise ValueError(
            f"y_pred: labels must have shape ({n_samples}, k), as y_true has {n_samples} row(s), "
            f"got shape {labels.shape}."
        )
    if labels.dtype.kind not in "iu":
        raise ValueError(f"y_pred: labels must be integers, got dtype {labels.dtype}.")
    if scores.shape != labels.shape:
        raise ValueError(
            f"y_pred: labels and scores must have the same shape, got {labels.shape} and {scores.shape}."
        )
    if scores.dtype.kind not in "biuf" or np.isnan(scores).any():
        raise ValueError("y_pred: scores must be numeric and must not contain NaN.")
    outside = labels[(labels < -1) | (labels >= n_labels)]
    if outside.size:
        raise ValueError(f"y_pred: labels must be in [0, {n_labels}), or -1 for padding, got {outside[0]}.")
    labels = labels.astype(np.int64, copy=False)
    ordered = np.sort(labels, axis=1)
    repeated = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)
    if repeated.any():
        raise ValueError(
            f"y_pred: labels must not repeat within a row, but row {int(np.argmax(repeated))} "
            "names one label twice."
        )
    return labels
