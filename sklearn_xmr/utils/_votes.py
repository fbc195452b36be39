"""Combine ranked lists of several rankers."""

import numpy as np
import scipy.sparse as sp

VOTINGS = ("mean", "rank", "softmax")


def count_votes(rankings, n_labels, voting):
    """Average what each ranker gives to a label; a label that is absent from its list gets 0 from it.

    Parameters
    ----------
    rankings : list of tuple of ndarray
        Labels and scores of each ranker, both of shape (n_samples, n_candidates), best first, padded with
        -1 and -inf.
    n_labels : int
    voting : {"mean", "rank", "softmax"}
        The score, (n_candidates - position) / n_candidates, or exp(score) over the sum of the list.

    Returns
    -------
    votes : csr_array of shape (n_samples, n_labels), dtype float32
        In (0, 1].

    Raises
    ------
    ValueError
        If `voting` is none of these, or it is "mean" and a score is not in [0, 1].
    """
    rows, columns, values = [], [], []
    for labels, scores in rankings:
        found = labels >= 0
        n_candidates = labels.shape[1]
        if voting == "mean":
            outside = found & ~((scores >= 0) & (scores <= 1))
            if outside.any():
                raise ValueError(
                    "voting='mean' needs scores between 0 and 1, an estimator of the ensemble gave "
                    f"{scores[outside][0]:g}; voting='rank' and voting='softmax' take any."
                )
            given = scores
        elif voting == "rank":
            given = np.broadcast_to(1 - np.arange(n_candidates) / n_candidates, labels.shape)
        elif voting == "softmax":
            best = np.where(found[:, :1], scores[:, :1], 0)
            powers = np.exp(np.where(found, scores - best, -np.inf))
            given = powers / np.maximum(powers.sum(axis=1, keepdims=True), 1)
        else:
            raise ValueError(f"voting must be one of {VOTINGS}, got {voting!r}.")
        rows.append(np.broadcast_to(np.arange(labels.shape[0])[:, None], labels.shape)[found])
        columns.append(labels[found])
        values.append(given[found].astype(np.float64) / len(rankings))
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    votes = sp.csr_array(sp.coo_array(entries, shape=(rankings[0][0].shape[0], n_labels)))
    votes.data = np.clip(votes.data, np.finfo(np.float32).tiny, 1)  # a label that was ranked is stored
    return votes.astype(np.float32)
