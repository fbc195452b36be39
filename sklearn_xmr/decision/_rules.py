"""Rules that cut a ranking into a set of labels."""

import numpy as np
import scipy.sparse as sp


def best_f1_thresholds(groups, scores, hits, n_positives, weights):
    """For each group of candidates, the score above which taking them maximises F1.

    Parameters
    ----------
    groups : ndarray of int of shape (n_candidates,)
        Group of each candidate.
    scores : ndarray of shape (n_candidates,)
    hits : ndarray of bool of shape (n_candidates,)
        Whether the candidate is true.
    n_positives : ndarray of shape (n_groups,)
        (Weighted) number of true labels of each group, those that are no candidates included.
    weights : ndarray of shape (n_candidates,)
        Weight of each candidate.

    Returns
    -------
    thresholds : ndarray of shape (n_groups,), dtype float64
        Take a candidate if its score is at least the threshold, which lies half-way between the last
        score taken and the next one. Of equally good ones the highest. NaN for a group without a hit.
    """
    thresholds = np.full(n_positives.size, np.nan)
    order = np.lexsort((-scores, groups))
    groups, scores = groups[order], scores[order].astype(np.float64)
    if groups.size == 0:
        return thresholds
    starts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
    lengths = np.diff(np.append(starts, groups.size))
    n_taken, n_hits = (_cumulative(values[order], starts, lengths) for values in (weights, weights * hits))
    with np.errstate(invalid="ignore"):
        f1 = np.nan_to_num(2 * n_hits / (n_taken + n_positives[groups]))
    following = np.append(scores[1:], -np.inf)
    following[starts[1:] - 1] = -np.inf
    f1[following == scores] = -1  # equal scores are taken together
    best = np.maximum.reduceat(f1, starts)
    at_best = np.flatnonzero(f1 == np.repeat(best, lengths))
    first = at_best[np.unique(groups[at_best], return_index=True)[1]]
    last_taken, next_score = scores[first], following[first]
    middle = np.where(np.isfinite(next_score), last_taken / 2 + next_score / 2, last_taken)
    middle = np.where(middle > next_score, middle, last_taken)  # neighbours in floating point
    thresholds[groups[first]] = np.where(best > 0, middle, np.nan)
    return thresholds


def _cumulative(values, starts, lengths):
    """Running sums that start anew with each group."""
    sums = np.cumsum(values)
    before = np.append(0, sums)[starts]
    return sums - np.repeat(before, lengths)


def label_thresholds(held_out, min_positives):
    """Thresholds of every label, rare labels sharing theirs.

    Parameters
    ----------
    held_out : Candidates
        Ranked labels of held-out rows.
    min_positives : int
        A label with fewer positive rows shares its threshold with labels of its frequency bin: 1 (or
        none), 2-3, 4-7, ... positive rows. A row counts once, whatever its weight.

    Returns
    -------
    global_threshold : float
        The one that maximises micro-F1 over all labels; infinite where no candidate is true.
    thresholds : ndarray of shape (n_labels,)
        Per label; of its bin or, where the bin has no hit, the global one.
    """
    Y, labels = held_out.Y, held_out.labels
    counts = np.bincount(Y.indices, minlength=Y.shape[1])
    weight_of_pair = np.repeat(held_out.row_weights, np.diff(Y.indptr))
    positives = np.bincount(Y.indices, weights=weight_of_pair, minlength=Y.shape[1])

    def tune(group_of_label, used):
        """Thresholds of groups of the labels that are used."""
        chosen = used[labels]
        return best_f1_thresholds(
            group_of_label[labels[chosen]],
            held_out.scores[chosen],
            held_out.hits[chosen],
            np.bincount(group_of_label[used], weights=positives[used]),
            held_out.row_weights[held_out.rows[chosen]],
        )

    every = np.ones(counts.size, dtype=bool)
    shared = tune(np.zeros(counts.size, dtype=np.int64), every)[0]
    shared = np.inf if np.isnan(shared) else float(shared)
    thresholds = tune(np.arange(counts.size), every)
    pooled = (counts < min_positives) | np.isnan(thresholds)
    if pooled.any():
        bins = np.floor(np.log2(np.maximum(counts, 1))).astype(np.int64)
        thresholds[pooled] = tune(bins, pooled)[bins[pooled]]
    return shared, np.where(np.isnan(thresholds), shared, thresholds)


def best_expected_f1_sizes(probabilities):
    """Number of best labels that maximises the expected F1 of each row (Ye et al., ICML 2012).

    Labels are taken to be independent. With A the number of true labels among the first m and B among the
    rest, the expected F1 of the first m is  E[2 A / (m + A + B)], computed exactly in O(k^2) per row.

    Parameters
    ----------
    probabilities : ndarray of shape (n_samples, k)
        Descending within a row, in [0, 1].

    Returns
    -------
    sizes : ndarray of shape (n_samples,), dtype int64
        0 for a row of zeros; of equally good sizes the smallest.
    expected : ndarray of shape (n_samples,)
        The expected F1.
    """
    n_samples, k = probabilities.shape
    # n_true[m][:, a]: probability that a of the first m labels are true
    n_true = [np.ones((n_samples, 1))]
    for m in range(k):
        p = probabilities[:, m, None]
        longer = np.zeros((n_samples, m + 2))
        longer[:, :-1] = n_true[-1] * (1 - p)
        longer[:, 1:] += n_true[-1] * p
        n_true.append(longer)
    # inverse[:, c - 1]: E[1 / (c + B)] for c = 1, ..., 2m
    inverse = np.broadcast_to(1 / np.arange(1, 2 * k + 1), (n_samples, 2 * k))
    sizes, expected = np.zeros(n_samples, dtype=np.int64), np.zeros(n_samples)
    for m in range(k, 0, -1):
        hits = np.arange(1, m + 1)
        f1 = np.einsum("ij,ij->i", 2 * hits * n_true[m][:, 1:], inverse[:, m : 2 * m])
        better = f1 >= expected
        sizes[better], expected[better] = m, f1[better]
        p = probabilities[:, m - 1, None]
        inverse = p * inverse[:, 1 : 2 * m - 1] + (1 - p) * inverse[:, : 2 * m - 2]
    sizes[expected == 0] = 0
    return sizes, expected


def sets_to_csr(labels, taken, n_labels):
    """Indicator of the labels taken, csr_array of shape (n_samples, n_labels), dtype int64."""
    indptr = np.concatenate([[0], np.cumsum(taken.sum(axis=1))])
    chosen = labels[taken]
    matrix = sp.csr_array(
        (np.ones(chosen.size, dtype=np.int64), chosen, indptr), shape=(labels.shape[0], n_labels)
    )
    matrix.sort_indices()
    return matrix
