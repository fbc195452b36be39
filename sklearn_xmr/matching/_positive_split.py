"""Where a label has copies: which of them a positive row trains."""

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.utils._sparse_entries import contains_entries


def split_positives(tree, Y, matched):
    """Positive rows of each node, where a row trains the copies of its labels that it reaches.

    A row with label l belongs to those leaves of l that the matcher sends it to, or, where there are none,
    to the leaf of l that the matcher sends most rows of l to. Whichever rows train a leaf in the end are
    positive for all copies of their labels there (`positives_among`): no row is a negative of its own
    label.

    Parameters
    ----------
    tree : LabelTree
    Y : csr_array of shape (n_samples, n_labels)
    matched : csr_array of shape (n_samples, n_leaves)
        1 where the matcher sends a row to a leaf.

    Returns
    -------
    positives : list of csr_array of shape (n_samples, n_nodes[t])
        For t = 0, ..., n_levels; those of the last level, slots, are not split yet.
    """
    n_copies = np.bincount(tree.slot_labels, minlength=tree.n_labels)
    starts = np.cumsum(n_copies) - n_copies
    leaf_of_slot = tree.parent_of(tree.n_levels)
    rows = np.repeat(np.arange(Y.shape[0]), np.diff(Y.indptr))

    # each pair of a row and a label of it, once for every copy of the label
    pair = np.repeat(np.arange(Y.nnz), n_copies[Y.indices])
    copy = np.arange(pair.size) - (np.cumsum(n_copies[Y.indices]) - n_copies[Y.indices])[pair]
    by_label = np.argsort(tree.slot_labels, kind="stable")
    slots = by_label[starts[Y.indices[pair]] + copy]
    is_matched = contains_entries(matched, rows[pair], leaf_of_slot[slots])
    n_matched = np.bincount(slots[is_matched], minlength=leaf_of_slot.size)
    by_label = np.lexsort((-n_matched, tree.slot_labels))  # the copies of a label, most rows first
    main_slot = by_label[starts]
    is_lost = np.bincount(pair, is_matched, minlength=Y.nnz) == 0
    belongs = is_matched | (is_lost[pair] & (slots == main_slot[Y.indices[pair]]))

    entries = (rows[pair][belongs], leaf_of_slot[slots][belongs])
    leaves = sp.csr_array(
        (np.ones(entries[0].size, np.float32), entries), shape=(Y.shape[0], tree.n_nodes[-2])
    )
    return [*tree.lift(leaves, tree.n_levels - 1), tree.propagate(Y)[-1]]


def positives_among(slots, rows, tree):
    """Entries of a pattern over slots whose row trains the slot's leaf.

    Parameters
    ----------
    slots : csr_array of shape (n_samples, n_slots)
    rows : csr_array of shape (n_samples, n_leaves)
        Canonical; the rows that train the labels of each leaf.
    tree : LabelTree

    Returns
    -------
    positives : csr_array of shape (n_samples, n_slots)
    """
    row = np.repeat(np.arange(slots.shape[0]), np.diff(slots.indptr))
    trains = contains_entries(rows, row, tree.parent_of(tree.n_levels)[slots.indices])
    indptr = np.concatenate([[0], np.cumsum(trains)])[slots.indptr]
    return sp.csr_array((slots.data[trains], slots.indices[trains], indptr), shape=slots.shape)
