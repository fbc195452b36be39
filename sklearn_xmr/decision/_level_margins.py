"""Margins of all nodes that the beam looks at, level by level, and probabilities made of them."""

from typing import NamedTuple

import numpy as np

from sklearn_xmr.decision._calibrators import calibrated
from sklearn_xmr.matching._beam_search import BeamSearch
from sklearn_xmr.ranking._score_transform import MARGIN
from sklearn_xmr.utils._sparse_entries import contains_entries
from sklearn_xmr.utils._validation import check_allowed_labels

#: Rows searched at once: bounds the dense work space.
ROWS_PER_BLOCK = 1024


class LevelCandidates(NamedTuple):
    """Nodes of one level that the beam looks at: an entry per row and node."""

    rows: np.ndarray
    nodes: np.ndarray
    margins: np.ndarray


def level_candidates(classifier, X, beam_width=None, labels=None):
    """Follow the beam of a classifier.

    Parameters
    ----------
    classifier : XRLinearClassifier
        Fitted.
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Checked.
    beam_width, labels
        As in ``predict_topk``.

    Yields
    ------
    start : int
        First row of a block.
    levels : list of LevelCandidates
        From level 1; rows count from the start of the block. The nodes of the lowest level are slots.
    """
    tree, weights = classifier.tree_, classifier.chunked_weights_
    width = classifier._beam_width(beam_width)
    mask = None if labels is None else check_allowed_labels(labels, X.shape[0], tree.n_labels)
    transforms = classifier._transform_codes(tree.n_levels)
    searches = [BeamSearch(tree, weights[:t], report_slots=True) for t in range(1, tree.n_levels + 1)]
    for start in range(0, X.shape[0], ROWS_PER_BLOCK):
        rows = slice(start, start + ROWS_PER_BLOCK)
        block, levels = X[rows], []
        allowed = mask if mask is None or mask.shape[0] == 1 else mask[rows]
        for t, search in enumerate(searches):
            nodes, margins = search.topk(
                block, search.max_reached(width), width, [*transforms[:t], MARGIN], allowed
            )
            found = nodes >= 0
            levels.append(
                LevelCandidates(np.nonzero(found)[0], nodes[found], margins[found].astype(np.float64))
            )
        yield start, levels


def gather_margins(classifier, X, Y):
    """Candidates whose parent is positive, and whether they are positive themselves.

    Parameters
    ----------
    classifier : XRLinearClassifier
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Checked.
    Y : csr_array of shape (n_samples, n_labels)

    Returns
    -------
    levels : list of tuple (rows, margins, hits)
        From level 1.
    """
    tree = classifier.tree_
    parents = [tree.parent_of(t) for t in range(1, tree.n_levels + 1)]
    collected: list = [[] for _ in parents]
    for start, levels in level_candidates(classifier, X):
        patterns = tree.propagate(Y[start : start + ROWS_PER_BLOCK])
        for t, (rows, nodes, margins) in enumerate(levels):
            concerned = contains_entries(patterns[t], rows, parents[t][nodes])
            rows, nodes, margins = rows[concerned], nodes[concerned], margins[concerned]
            collected[t].append((rows + start, margins, contains_entries(patterns[t + 1], rows, nodes)))
    return [tuple(map(np.concatenate, zip(*level, strict=True))) for level in collected]


def rank_by_levels(classifier, X, k, calibrators, beam_width=None, labels=None):
    """The k labels of the highest probability among those that the beam reaches.

    Parameters
    ----------
    classifier : XRLinearClassifier
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Checked.
    k : int
    calibrators : list
        One per level, with ``predict(margins)``.
    beam_width, labels
        As in ``predict_topk``.

    Returns
    -------
    labels : ndarray of shape (n_samples, k), dtype int32
        Best first, -1 where fewer than k were reached.
    probabilities : ndarray of shape (n_samples, k), dtype float64
        Product of the calibrated factors of the label's best path; -inf where there are fewer. Equal ones,
        which isotonic maps make, are ordered by the sum of the margins along the path.
    """
    tree = classifier.tree_
    best = np.full((X.shape[0], k), -1, dtype=np.int32)
    scores = np.full((X.shape[0], k), -np.inf)
    for start, levels in level_candidates(classifier, X, beam_width, labels):
        n_rows = min(ROWS_PER_BLOCK, X.shape[0] - start)
        keys = np.arange(n_rows, dtype=np.int64)  # the root of each row
        log_scores, sums = np.zeros(n_rows), np.zeros(n_rows)
        for t, (rows, nodes, margins) in enumerate(levels):
            above = rows.astype(np.int64) * tree.n_nodes[t] + tree.parent_of(t + 1)[nodes]
            order = np.argsort(keys)
            place = order[np.searchsorted(keys, above, sorter=order)]
            factors = np.maximum(calibrated(calibrators[t], margins), np.finfo(np.float64).tiny)
            log_scores = log_scores[place] + np.log(factors)
            sums = sums[place] + margins
            keys = rows.astype(np.int64) * tree.n_nodes[t + 1] + nodes
        of_slot = tree.slot_labels[nodes]
        order = np.lexsort((-sums, -log_scores, of_slot, rows))
        rows, of_slot, log_scores, sums = (a[order] for a in (rows, of_slot, log_scores, sums))
        first = np.append(True, (rows[1:] != rows[:-1]) | (of_slot[1:] != of_slot[:-1]))[: rows.size]
        rows, of_slot, log_scores, sums = (a[first] for a in (rows, of_slot, log_scores, sums))
        order = np.lexsort((of_slot, -sums, -log_scores, rows))
        place = np.arange(order.size) - np.searchsorted(rows, rows[order])
        order, place = order[place < k], place[place < k]
        best[start + rows[order], place] = of_slot[order]
        scores[start + rows[order], place] = np.exp(log_scores[order])
    return best, scores
