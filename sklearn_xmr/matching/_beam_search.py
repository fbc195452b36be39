"""Beam search over the trained levels of a label tree."""

from functools import cached_property

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.matching._beam_search_fast import LevelKernel, beam_search_csr
from sklearn_xmr.utils._threads import effective_n_threads
from sklearn_xmr.utils._validation import as_kernel_csr

#: The kernel keeps its level table on the stack.
MAX_LEVELS = 64


class BeamSearch:
    """Ranks labels, or the nodes of an inner level, by walking the tree from the root.

    Holds addresses into the weights, so it is made anew after loading a model and never stored.

    Parameters
    ----------
    tree : LabelTree
    weights : list of ChunkedWeights
        Of the top levels; the last one's children are ranked. With as many as the tree has levels,
        these are labels.
    report_slots : bool, default=False
        At the lowest level, rank the slots themselves in place of their labels.
    """

    def __init__(self, tree, weights, *, report_slots=False):
        if len(weights) > MAX_LEVELS:
            raise ValueError(f"A label tree may have at most {MAX_LEVELS} levels, got {len(weights)}.")
        self.tree, self.n_features = tree, weights[0].n_features
        self.widest = max(tree.n_nodes[: len(weights) + 1])
        reaches_labels = len(weights) == tree.n_levels and not report_slots
        self.max_copies = int(np.bincount(tree.slot_labels).max()) if reaches_labels else 1
        self._last = weights[-1]
        self.levels = [
            LevelKernel(level, tree.slot_labels if reaches_labels and t == len(weights) - 1 else None)
            for t, level in enumerate(weights)
        ]

    def topk(self, X, k, beam_width, transforms, mask=None):
        """Best k labels (or nodes of the last level) of each row.

        Parameters
        ----------
        X : {ndarray, sparse array} of shape (n_samples, n_features)
            Validated.
        k : int
        beam_width : int
            Nodes kept per inner level; more than there are count as all of them, as the kernel reserves
            room for the whole beam.
        transforms : list of tuple of (int, float)
            Kind and parameter of each level's score transform, see `resolve_score_transform`.
        mask : csr_array of shape (1, n_labels) or (n_samples, n_labels), default=None
            Labels that may be returned; one row stands for all. Nodes without an allowed label below
            them take no room in the beam.

        Returns
        -------
        labels : ndarray of shape (n_samples, k), dtype int32
            Best first, ties to the smaller number, -1 where there are fewer.
        scores : ndarray of shape (n_samples, k), dtype float32
            In (0, 1], -inf where there are fewer.
        """
        # the kernel trusts both; a model that is fitted anew in another thread may have mixed them
        if X.shape[1] != self.n_features or len(transforms) != len(self.levels):
            raise ValueError(
                f"X must have {self.n_features} columns and {len(self.levels)} score transforms, got "
                f"{X.shape[1]} and {len(transforms)}."
            )
        indptr, indices, data = as_kernel_csr(X)
        n_samples = indptr.size - 1
        masks = None
        if mask is not None:
            patterns = self.tree.propagate(mask)[1 : len(self.levels) + 1]
            masks = [as_kernel_csr(pattern)[:2] for pattern in patterns]
        labels = np.empty((n_samples, k), dtype=np.int32)
        scores = np.empty((n_samples, k), dtype=np.float32)
        n_threads = 1 if n_samples == 1 else effective_n_threads()
        beam_search_csr(
            self.levels, transforms, masks, indptr, indices, data, min(beam_width, self.widest),
            self.max_copies, labels, scores, n_threads,
        )  # fmt: skip
        return labels, scores

    def max_reached(self, beam_width):
        """Upper bound of the number of labels that a search can reach."""
        return int(self._n_trained[-beam_width:].sum())

    @cached_property
    def _n_trained(self):
        """Children with rows of each lowest parent, ascending: no others are ever reached.

        Not made before it is needed: a mapped model would be read for it.
        """
        trained_before = np.append(0, np.cumsum(self._last.intercepts > -np.inf))
        return np.sort(np.diff(trained_before[self._last.child_ptr]))


def topk_to_csr(labels, scores, n_labels):
    """Ranked lists as a csr_array of shape (n_samples, n_labels): column order, padding dropped."""
    found = labels >= 0
    indptr = np.concatenate([[0], np.cumsum(found.sum(axis=1))])
    matrix = sp.csr_array((scores[found], labels[found], indptr), shape=(labels.shape[0], n_labels))
    matrix.sort_indices()
    return matrix


def nodes_to_csr(nodes, n_nodes):
    """Beams, padded with -1, as a csr_array of float32 ones of shape (n_samples, n_nodes)."""
    return topk_to_csr(nodes, np.ones(nodes.shape, dtype=np.float32), n_nodes)
