"""The weights of one tree level in the layout that training writes and beam search reads."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.ranking._chunked_weights_fast import build_buckets, build_words, list_word_features

#: Aim for this many rows in a bucket of a chunk's feature directory.
ROWS_PER_BUCKET = 2
#: Features of one word of a chunk's bitmap; the other half of the word counts the rows before it.
FEATURES_PER_WORD = 32
#: Levels with at most this many weights stay in float32 when the dtype is "auto".
SMALL_LEVEL = 2**16


class ChunkedWeights:
    """Weights of one level, a chunk per parent, stored by feature (Etter et al., WWW 2022).

    The chunk of a parent holds the weights of all its children. Its rows are the features that some
    child has a weight for, in ascending order; a row lists (slot, value) pairs, the slot being the
    child's number among its siblings. One look-up of a query's feature thus serves all siblings. A row
    with as many entries as there are siblings lists them in order and is added as a vector.

    A feature is found in one of two ways, whichever takes less room. A chunk with many rows has a bitmap
    over all features: each 64-bit word holds the bits of 32 features and the number of rows before them.
    A chunk with few rows lists its features, with a directory: bucket ``feature >> shift`` starts at
    that row of the chunk.

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
    slots : ndarray of shape (n_entries,), dtype uint8, uint16 or uint32
        Child of each entry.
    values : ndarray of shape (n_entries,), dtype float32
        Weight of each entry.
    intercepts : ndarray of shape (n_children,), dtype float32
        Intercept of each child; -inf for a child that had no positive row and is never predicted.
    n_features : int
        Number of features of X.
    dtype : {"auto", "int8", "int16", "float32"}, default="float32"
        How values are stored. ``"int8"`` rounds them to multiples of 1/127 of their chunk's largest,
        ``"int16"`` of 1/32767.

    Attributes
    ----------
    scales : ndarray of shape (n_parents,), dtype float32
        A weight is its stored value times its chunk's scale.
    word_ptr, words, feature_ptr, bucket_ptr, bucket_shift, buckets : ndarray
        Bitmaps; lists of features and their directories.
    """

    def __init__(self, child_ptr, chunk_ptr, features, entry_ptr, row_ptr, slots, values, intercepts,
                 n_features, dtype="float32"):  # fmt: skip
        self.child_ptr = child_ptr
        self.chunk_ptr = chunk_ptr
        self.entry_ptr = entry_ptr
        self.row_ptr = row_ptr
        self.slots = slots
        self.intercepts = intercepts
        self.n_features = n_features
        if dtype == "auto":
            dtype = "float32" if values.size <= SMALL_LEVEL else "int8"
        self.values, self.scales = _store_values(values, entry_ptr, dtype)
        self._index_features(features)

    def _index_features(self, features):
        n_rows = np.diff(self.chunk_ptr)
        n_words = -(-self.n_features // FEATURES_PER_WORD)
        has_words = n_rows >= n_words  # 8 bytes a word or 8 bytes a row, directory included
        self.word_ptr = _pointers(np.where(has_words, n_words, 0))
        self.words = build_words(self.chunk_ptr, features, self.word_ptr)
        self.feature_ptr = _pointers(np.where(has_words, 0, n_rows))
        self.features = features[np.repeat(~has_words, n_rows)]
        width = np.maximum(self.n_features * ROWS_PER_BUCKET // np.maximum(n_rows, 1), 1)
        self.bucket_shift = np.floor(np.log2(width)).astype(np.uint8)
        n_buckets = (max(self.n_features - 1, 0) >> self.bucket_shift.astype(np.int64)) + 1
        self.bucket_ptr = _pointers(np.where(has_words, 0, n_buckets + 1))
        self.buckets = build_buckets(self.feature_ptr, self.features, self.bucket_ptr, self.bucket_shift)

    @classmethod
    def from_csc(cls, weights, intercepts, child_ptr, dtype="float32"):
        """Chunk a weight matrix.

        Parameters
        ----------
        weights : sparse array of shape (n_features, n_children)
            One column per child.
        intercepts : array-like of shape (n_children,)
        child_ptr : ndarray of shape (n_parents + 1,)
        dtype : {"auto", "int8", "int16", "float32"}, default="float32"

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
            (child - child_ptr[parent]).astype(slot_dtype(fan_outs.max())),
            values.astype(np.float32),
            np.asarray(intercepts, dtype=np.float32),
            weights.shape[0],
            dtype,
        )

    def row_features(self):
        """Feature of each row, ndarray of shape (n_rows,), dtype int32."""
        return list_word_features(
            self.chunk_ptr, self.word_ptr, self.words, self.feature_ptr, self.features
        )

    def to_csc(self):
        """The weights as a csc_array of shape (n_features, n_children), dtype float32."""
        # row_ptr has one end per chunk between the rows of two chunks; drop the step across it
        n_chunks = self.chunk_ptr.size - 1
        lengths = np.delete(
            np.diff(self.row_ptr.astype(np.int64)), self.chunk_ptr[1:-1] + np.arange(n_chunks - 1)
        )
        features = np.repeat(self.row_features(), lengths)
        n_entries = np.diff(self.entry_ptr)
        columns = np.repeat(self.child_ptr[:-1], n_entries) + self.slots
        values = self.values * np.repeat(self.scales, n_entries)
        matrix = sp.csc_array((values, (features, columns)), shape=(self.n_features, self.intercepts.size))
        matrix.eliminate_zeros()  # rows that list all children
        matrix.sort_indices()
        return matrix

    def column(self, child):
        """Weights of one child, read from its chunk alone.

        Parameters
        ----------
        child : int
            In [0, n_children).

        Returns
        -------
        features : ndarray of shape (n_weights,), dtype int32
            Ascending.
        weights : ndarray of shape (n_weights,), dtype float32
            Not zero.
        """
        parent = int(np.searchsorted(self.child_ptr, child, side="right")) - 1
        chunk = slice(parent, parent + 2)
        first_row, last_row = self.chunk_ptr[chunk]
        words, listed = (slice(*pointers[chunk]) for pointers in (self.word_ptr, self.feature_ptr))
        row_features = list_word_features(
            *(_from_zero(pointers[chunk]) for pointers in (self.chunk_ptr, self.word_ptr)),
            self.words[words],
            _from_zero(self.feature_ptr[chunk]),
            self.features[listed],
        )
        # row_ptr has one end per chunk between the rows of two chunks
        lengths = np.diff(self.row_ptr[first_row + parent : last_row + parent + 1].astype(np.int64))
        entries = slice(*self.entry_ptr[chunk])
        mine = self.slots[entries] == child - self.child_ptr[parent]
        weights = self.values[entries][mine] * self.scales[parent]
        features = np.repeat(row_features, lengths)[mine]
        stored = weights != 0  # rows that list all children
        return features[stored], weights[stored].astype(np.float32, copy=False)

    def check_layout(self):
        """Refuse arrays whose dtypes or sizes do not belong together, as in a damaged file.

        Looks at dtypes, shapes and the pointers of chunks, thousands of numbers in a model of millions of
        weights, so it costs next to nothing and does not read the rest of a memory map.

        Raises
        ------
        ValueError
            Names the array that is wrong.
        """
        n_parents = self.child_ptr.size - 1
        sizes = {
            "child_ptr": self.intercepts.size,
            "chunk_ptr": self.row_ptr.size - n_parents,
            "entry_ptr": self.values.size,
            "word_ptr": self.words.size,
            "feature_ptr": self.features.size,
            "bucket_ptr": self.buckets.size,
        }
        for name, size in sizes.items():
            ptr = getattr(self, name)
            if not (
                ptr.shape == (n_parents + 1,)
                and ptr[0] == 0
                and ptr[-1] == size
                and np.all(ptr[1:] >= ptr[:-1])
            ):
                raise ValueError(f"These weights are damaged: {name} does not fit what it points into.")
        fan_out = np.diff(self.child_ptr).max(initial=0)
        wanted = {name: (np.int64, None) for name in sizes} | {
            "features": (np.int32, None),
            "row_ptr": (np.uint32, None),
            "words": (np.uint64, None),
            "buckets": (np.uint32, None),
            "bucket_shift": (np.uint8, n_parents),
            "slots": (slot_dtype(fan_out), self.values.size),
            "values": (self.values.dtype if self.values.dtype in (np.int8, np.int16) else np.float32, None),
            "scales": (np.float32, n_parents),
            "intercepts": (np.float32, None),
        }
        for name, (dtype, size) in wanted.items():
            array = getattr(self, name)
            shape = (array.size,) if size is None else (size,)
            if array.dtype != dtype or array.shape != shape:
                raise ValueError(
                    f"These weights are damaged: {name} must be a {np.dtype(dtype)} array of shape "
                    f"{shape}, got {array.dtype} of shape {array.shape}."
                )

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.check_layout()

    def __repr__(self):
        return (
            f"ChunkedWeights(n_features={self.n_features}, n_parents={self.child_ptr.size - 1}, "
            f"n_children={self.intercepts.size}, n_weights={self.values.size}, dtype={self.values.dtype})"
        )

    def is_finite(self):
        """Whether every weight is a finite number."""
        return bool(np.isfinite(self.values).all() and np.isfinite(self.scales).all())

    @property
    def nbytes(self):
        """Bytes of all arrays."""
        return sum(array.nbytes for array in vars(self).values() if isinstance(array, np.ndarray))


class LevelMatrices(Sequence):
    """Weights of all levels, of which each is made into a csc_array when it is asked for.

    A notebook shows all attributes of an estimator, so making them must cost nothing.

    Parameters
    ----------
    levels : list of ChunkedWeights
    """

    def __init__(self, levels):
        self._levels = levels

    def __len__(self):
        return len(self._levels)

    def __getitem__(self, index):
        chosen = self._levels[index]
        return LevelMatrices(chosen) if isinstance(index, slice) else chosen.to_csc()

    def __repr__(self):
        shapes = [(level.n_features, level.intercepts.size) for level in self._levels]
        return f"<{len(shapes)} csc_array of shapes {', '.join(map(str, shapes))}>"


def slot_dtype(max_fan_out):
    """Smallest dtype that numbers the children of a node."""
    return np.uint8 if max_fan_out <= 2**8 else np.uint16 if max_fan_out <= 2**16 else np.uint32


def _pointers(sizes):
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _from_zero(pointers):
    return pointers - pointers[0]


def _store_values(values, entry_ptr, dtype):
    n_entries = np.diff(entry_ptr)
    if dtype == "float32":
        return values, np.ones(n_entries.size, dtype=np.float32)
    largest = np.ones(n_entries.size, dtype=np.float32)
    filled = n_entries > 0
    if values.size:
        largest[filled] = np.maximum.reduceat(np.abs(values), entry_ptr[:-1][filled])
    scales = largest / np.float32(np.iinfo(dtype).max)
    with np.errstate(
        invalid="ignore"
    ):  # of values that are not finite, which `is_finite` tells by the scale
        return np.rint(values / np.repeat(scales, n_entries)).astype(dtype), scales
