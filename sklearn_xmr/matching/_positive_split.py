"""Where a label has copies: which of them a positive row trains."""

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.utils._sparse_entries import contains_entries


def split_positives(tree, Y, matched):
    """Positive rows of each node, where a row trains the copies of its labels that it reaches.

    A row with label l belongs to those leaves of l that the matcher sends it to, or, where there are none,
    to the leaf of l that the matcher sends most rows of l to. It is then positive for every copy of its
    labels in the leaves that it belongs to, so no row is ever a negative of its own label.

    Parameters
    ----------
    tree : LabelTree
    Y : csr_array of shape (n_samples, n_labels)
    matched : csr_array of shape (n_samples, n_leaves)
        1 where the matcher sends a row to a leaf.

    Returns
    -------
    positives : list of csr_array of shape (n_samples, n_nodes[t])
        For t = 0, ..., n_levels; `LabelTree.propagate` gives them without the split.
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

    leaves = sp.csr_array(
        (
            np.ones(np.count_nonzero(belongs), np.float32),
            (rows[pair][belongs], leaf_of_slot[slots][belongs]),
        ),
        shape=(Y.shape[0], tree.n_nodes[-2]),
    )
    positive = contains_entries(leaves, rows[pair], leaf_of_slot[slots])
    pattern = sp.csr_array(
        (np.ones(np.count_nonzero(positive), np.float32), (rows[pair][positive], slots[positive])),
        shape=(Y.shape[0], leaf_of_slot.size),
    )
    return tree.lift(pattern, tree.n_levels)
