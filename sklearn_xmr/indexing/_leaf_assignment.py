"""Which leaves of a tree a label lives in, chosen so that the matcher finds it."""

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.utils._sparse_entries import contains_entries


def assign_leaves(
    Y, matched, own_leaf, *, max_parents, max_leaf_size, objective, min_support, sample_weight=None
):
    """Give each label the leaves to which the matcher sends most of its rows.

    In round r each label bids for its r-th leaf. The gain of label l in leaf k is the number of rows of l
    that the matcher sends to k; with ``objective="coverage"`` only rows that no earlier leaf of l takes
    count. Bids are accepted by falling gain while the leaf has room. In the first round every label has
    a bid for each leaf with a gain, its own leaf winning ties, and a label whose bids all fail stays in its
    own leaf; in later rounds a bid needs a gain of at least `min_support`. A leaf that the first round
    leaves empty takes its own labels back.

    Parameters
    ----------
    Y : csr_array of shape (n_samples, n_labels)
        Canonical, of ones.
    matched : csr_array of shape (n_samples, n_leaves)
        Canonical, of ones: the leaves that the matcher sends a row to.
    own_leaf : ndarray of shape (n_labels,)
        Leaf in which a label is now; every leaf occurs.
    max_parents : int
    max_leaf_size : int or None
    objective : {"coverage", "count"}
    min_support : float
    sample_weight : ndarray of shape (n_samples,), default=None
        Rows count by their weight.

    Returns
    -------
    leaves : ndarray of shape (n_labels, n_rounds), dtype int64
        By round, as long as some label gets a leaf; -1 where a label got none.
    """
    n_labels, n_leaves = Y.shape[1], matched.shape[1]
    max_parents = min(max_parents, n_leaves)
    rows = np.repeat(np.arange(Y.shape[0]), np.diff(Y.indptr))
    weights = np.ones(rows.size) if sample_weight is None else np.asarray(sample_weight, float)[rows]
    capacity = np.full(n_leaves, n_labels if max_leaf_size is None else max_leaf_size)
    leaves = np.full((n_labels, max_parents), -1, dtype=np.int64)
    counts = np.ones(rows.size, dtype=bool)  # pairs of a row and a label that a leaf can still gain
    for r in range(max_parents):
        support = sp.csr_array((weights[counts], (Y.indices[counts], rows[counts])), shape=Y.shape[::-1])
        gains = sp.csr_array(support @ matched)
        label = np.repeat(np.arange(n_labels), np.diff(gains.indptr))
        leaf, gain = gains.indices, gains.data
        if r > 0:
            allowed = (gain >= min_support) & np.all(leaves[label] != leaf[:, None], axis=1)
            label, leaf, gain = label[allowed], leaf[allowed], gain[allowed]
        order = np.lexsort((leaf, label, leaf != own_leaf[label], -gain))
        room = np.maximum(0, capacity - np.bincount(leaves[leaves >= 0], minlength=n_leaves))
        leaves[:, r] = _accept(label[order], leaf[order], room, n_labels)
        if r > 0 and leaves[:, r].max() < 0:
            return leaves[:, :r]
        if r == 0:
            leaves[:, 0] = np.where(leaves[:, 0] >= 0, leaves[:, 0], own_leaf)
            _refill(leaves[:, 0], own_leaf, n_leaves)
        if objective == "coverage":
            counts &= ~contains_entries(matched, rows, leaves[Y.indices, r])
    return leaves


def _accept(label, leaf, room, n_labels):
    """Go through bids, best first; accept one while its label has none and its leaf has room.

    Labels all bid at once for the best leaf that has not turned them down, and a leaf keeps the best of
    those who ask, turning down some it kept before. As labels and leaves agree which of two bids is
    better, this ends in what going through the bids one by one gives.
    """
    rank = np.arange(label.size)
    by_label = np.argsort(label, kind="stable")
    leaf, rank = leaf[by_label], rank[by_label]
    bounds = np.searchsorted(label[by_label], np.arange(n_labels + 1))
    bid, last = bounds[:-1].copy(), bounds[1:]
    while True:
        bidders = np.flatnonzero(bid < last)
        order = np.lexsort((rank[bid[bidders]], leaf[bid[bidders]]))
        asked = leaf[bid[bidders]][order]
        place = np.arange(asked.size) - np.searchsorted(asked, asked)
        turned_down = bidders[order][place >= room[asked]]
        if turned_down.size == 0:
            break
        bid[turned_down] += 1
    accepted = np.full(n_labels, -1, dtype=np.int64)
    accepted[bidders] = leaf[bid[bidders]]
    return accepted


def _refill(leaves, own_leaf, n_leaves):
    """Send the labels of empty leaves back to them, in place; a leaf is refilled at most once."""
    while True:
        empty = np.flatnonzero(np.bincount(leaves, minlength=n_leaves) == 0)
        if empty.size == 0:
            break
        at_home = np.isin(own_leaf, empty)
        leaves[at_home] = own_leaf[at_home]
