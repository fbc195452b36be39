"""Ranked labels of held-out rows, with the truth."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.decision._base import rank
from sklearn_xmr.utils._sparse_entries import contains_entries


class Candidates(NamedTuple):
    """One entry per label that was ranked for a held-out row.

    `rows` number the held-out rows, not those of the data: a row that several folds hold out counts
    several times. `Y` and `row_weights` are the truth and the weights of the held-out rows.
    """

    rows: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    hits: np.ndarray
    Y: sp.csr_array
    row_weights: np.ndarray


def gather_candidates(parts, Y, k, sample_weight, want_probabilities=False):
    """Rank the held-out rows.

    Parameters
    ----------
    parts : iterable of HeldOut
    Y : csr_array of shape (n_samples, n_labels)
        All labels.
    k : int
        Labels ranked per row.
    sample_weight : ndarray of shape (n_samples,) or None
        Rows of weight 0 are left out.
    want_probabilities : bool, default=False
        See `rank`.

    Returns
    -------
    candidates : Candidates
    """
    rankings, held_out = [], []
    for fitted, X, rows, columns in parts:
        labels, scores = rank(fitted, X, min(k, Y.shape[1]), want_probabilities)
        rankings.append((np.where(labels >= 0, columns[labels], -1), scores))
        held_out.append(rows)
    labels, scores = (np.concatenate(part) for part in zip(*rankings, strict=True))
    held_out = np.concatenate(held_out)
    weights = np.ones(held_out.size) if sample_weight is None else sample_weight[held_out]
    used = weights > 0
    labels, scores, held_out, weights = labels[used], scores[used], held_out[used], weights[used]
    found = labels >= 0
    rows = np.nonzero(found)[0]
    truth = Y[held_out]
    return Candidates(
        rows, labels[found], scores[found], contains_entries(truth, rows, labels[found]), truth, weights
    )
