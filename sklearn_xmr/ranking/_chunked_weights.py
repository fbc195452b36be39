"""The weights of one tree level in the layout that training writes and beam search reads."""

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.ranking._chunked_weights_fast import build_buckets

#: Aim for this many rows in a bucket of a chunk's feature directory.
ROWS_PER_BUCKET = 2


class ChunkedWeights:
    """Weights of one level, a chunk per parent, stored by feature (Etter et al., WWW 2022).

    The chunk of a parent holds the weights of all its children. Its rows are the features that some
    child has a weight for, in ascending order; a row lists (slot, value) pairs, the slot being the
    child's number among its siblings. One look-up of a query's feature thus serves all siblings.

    Parameters
    ----------
    child_ptr : ndarray of shape (n_parents + 1,), dtype int64
        Children of each parent, see `LabelTree`.
    chunk_ptr : ndarray of shape (n_parents + 1,), dtype int64
        Rows of each chunk.
    features : ndarray of shape (n_rows,), dtype int32
        Feature of each row.
    entry_ptr : ndarray of shape (n_parents + 1,), dtype int64
        Entries of each chunk.
    row_ptr : ndarray of shape (n_rows + n_parents,), dtype uint32
        For each chunk its rows' first entries and one end, counted from the chunk's first entry.
    slots : ndarray of shape (n_entries,), dtype uint16 or uint32
        Child of each entry.
    values : ndarray of shape (n_entries,), dtype float32
        Weight of each entry.
    intercepts : ndarray of shape (n_children,), dtype float32
        Intercept of each child; -inf for a child that had no positive row and is never predicted.
    n_features : int
        Number of features of X.

    Attributes
    ----------
    bucket_ptr, bucket_shift, buckets : ndarray
        Directory of each chunk: bucket ``feature >> shift`` starts at that row of the chunk. A look-up
        is one read of the directory and a walk over a row or two.
    """

    def __init__(self, child_ptr, chunk_ptr, features, entry_ptr, row_ptr, slots, values, intercepts,
                 n_features):  # fmt: skip
        self.child_ptr = child_ptr
        self.chunk_ptr = chunk_ptr
        self.features = features
        self.entry_ptr = entry_ptr
        self.row_ptr = row_ptr
        self.slots = slots
        self.values = values
        self.intercepts = intercepts
        self.n_features = n_features
        n_rows = np.maximum(np.diff(chunk_ptr), 1)
        width = np.maximum(n_features * ROWS_PER_BUCKET // n_rows, 1)
        self.bucket_shift = np.floor(np.log2(width)).astype(np.uint8)
        n_buckets = (max(n_features - 1, 0) >> self.bucket_shift.astype(np.int64)) + 1
        self.bucket_ptr = np.concatenate([[0], np.cumsum(n_buckets + 1)]).astype(np.int64)
        self.buckets = build_buckets(chunk_ptr, features, self.bucket_ptr, self.bucket_shift)

    @classmethod
    def from_csc(cls, weights, intercepts, child_ptr):
        """Chunk a weight matrix.

        Parameters
        ----------
        weights : sparse array of shape (n_features, n_children)
            One column per child.
        intercepts : array-like of shape (n_children,)
        child_ptr : ndarray of shape (n_parents + 1,)

        Returns
        -------
        chunked : ChunkedWeights
        """
        entries = sp.coo_array(weights)
        entries.sum_duplicates()
        keep = entries.data != 0
        values, feature, child = entries.data[keep], entries.row[keep], entries.col[keep]
        n_parents = len(child_ptr) - 1
        fan_outs = np.diff(child_ptr)
        parent = np.repeat(np.arange(n_parents), fan_outs)[child]
        order = np.lexsort((child, feature, parent))
        values, feature, child, parent = values[order], feature[order], child[order], parent[order]
        starts_row = np.ones(values.size, dtype=bool)
        starts_row[1:] = (feature[1:] != feature[:-1]) | (parent[1:] != parent[:-1])
        rows = np.flatnonzero(starts_row)
        chunk_ptr = np.searchsorted(parent[rows], np.arange(n_parents + 1)).astype(np.int64)
        entry_ptr = np.searchsorted(parent, np.arange(n_parents + 1)).astype(np.int64)
        ends = np.append(rows, values.size)
        row_ptr = np.concatenate(
            [ends[chunk_ptr[k] : chunk_ptr[k + 1] + 1] - entry_ptr[k] for k in range(n_parents)]
        )
        return cls(
            child_ptr,
            chunk_ptr,
            feature[rows].astype(np.int32),
            entry_ptr,
            row_ptr.astype(np.uint32),
            (child - child_ptr[parent]).astype(np.uint16 if fan_outs.max() <= 65536 else np.uint32),
            values.astype(np.float32),
            np.asarray(intercepts, dtype=np.float32),
            weights.shape[0],
        )

    def to_csc(self):
        """The weights as a csc_array of shape (n_features, n_children), dtype float32."""
        chunk_sizes = np.diff(self.chunk_ptr)
        # row_ptr has one end per chunk between the rows of two chunks; drop the step across it
        lengths = np.delete(
            np.diff(self.row_ptr.astype(np.int64)), (self.chunk_ptr[1:-1] + np.arange(chunk_sizes.size - 1))
        )
        features = np.repeat(self.features, lengths)
        first_child = np.repeat(self.child_ptr[:-1], np.diff(self.entry_ptr))
        columns = first_child + self.slots
        matrix = sp.csc_array(
            (self.values, (features, columns)), shape=(self.n_features, self.intercepts.size)
        )
        matrix.sort_indices()
        return matrix

    @property
    def nbytes(self):
        """Bytes of all arrays."""
        return sum(array.nbytes for array in vars(self).values() if isinstance(array, np.ndarray))
