"""Labels without a training row: kept out of the clusters, and behind them in the tree.

No search ever enters a node without positives. Among the others such labels would only make clusters small,
and leaves long.
"""

import numpy as np
import scipy.sparse as sp

from sklearn_xmr._label_tree import LabelTree
from sklearn_xmr.indexing._hierarchical_kmeans import HierarchicalKMeans
from sklearn_xmr.indexing._overlapping import OverlappingIndexer
from sklearn_xmr.utils._slots import most_children, slot_dtype

#: Labels without rows, per label with rows, that an indexer may put where it likes: a fold or a split for a
#: test always lacks some, and nodes for these would only make trees differ.
FEW = 0.1


def labels_to_index(indexer, Y):
    """Numbers of the labels that a tree is to be made of.

    Parameters
    ----------
    indexer : object
        Those of this library take any labels; another may know how many there are.
    Y : csr_array of shape (n_samples, n_labels)

    Returns
    -------
    used : ndarray of int, or None
        Those with rows, ascending; None for all, also where the others are few.
    """
    base = indexer.base_indexer if type(indexer) is OverlappingIndexer else indexer
    if base is not None and type(base) is not HierarchicalKMeans:
        return None
    used = np.flatnonzero(np.bincount(Y.indices, minlength=Y.shape[1]))
    return None if Y.shape[1] <= used.size * (1 + FEW) else used


def columns_of(Y, used):
    """A label matrix without its other columns, which are empty."""
    number = np.empty(Y.shape[1], dtype=Y.indices.dtype)
    number[used] = np.arange(used.size)
    return sp.csr_array((Y.data, number[Y.indices], Y.indptr), shape=(Y.shape[0], used.size))


def add_unused(tree, used, n_labels):
    """Add the other labels to a tree, in nodes of their own behind those of each level.

    These are as few as can be without that children take more bytes to number. A root of labels gets a
    level in between, unless one byte numbers them all: its children are looked at for every row.

    Parameters
    ----------
    tree : LabelTree
        Of the labels `used`, by their places in it.
    used : ndarray of int
    n_labels : int

    Returns
    -------
    tree : LabelTree
    """
    is_used = np.zeros(n_labels, dtype=bool)
    is_used[used] = True
    unused = np.flatnonzero(~is_used)
    old_ptr, child_ptr, n_children = list(tree.child_ptr), [], unused.size
    if tree.n_levels == 1 and tree.n_nodes[1] + n_children > most_children(np.uint8):
        old_ptr.insert(0, np.array([0, 1]))
    for ptr in old_ptr[:0:-1]:
        capacity = most_children(slot_dtype(ptr))
        n_nodes = -(-n_children // capacity)
        ends = np.minimum(capacity * np.arange(1, n_nodes + 1), n_children)
        child_ptr.insert(0, np.concatenate([ptr, ptr[-1] + ends]))
        n_children = n_nodes
    child_ptr.insert(0, old_ptr[0] + [0, n_children])
    return LabelTree(child_ptr, np.concatenate([used[tree.slot_labels], unused]))


def add_columns(positives, tree):
    """Positives of each level with the columns of nodes, and the level, that `add_unused` added."""
    if len(positives) <= tree.n_levels:
        positives = [positives[0], *positives]  # all rows with labels are those of the one node with rows
    return [
        sp.csr_array((level.data, level.indices, level.indptr), shape=(level.shape[0], n_nodes))
        for level, n_nodes in zip(positives, tree.n_nodes, strict=True)
    ]
