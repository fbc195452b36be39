"""The weights of one tree level in the layout that training writes and beam search reads."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.ranking._chunked_weights_fast import build_buckets, build_words, list_word_features

#: Aim for this many rows in a bucket of a chunk's feature directory.
ROWS_PER_BUCKET = 2
#: Features of one word of a chunk's bitmap; the other half of the word counts the rows before it.
FEATURES_PER_WORD = 32
#: What a pickle holds.
STATE = {
    "child_ptr", "chunk_ptr", "entry_ptr", "row_ptr", "entries", "scales", "intercepts", "n_features",
    "value_dtype", "word_ptr", "words", "feature_ptr", "features", "bucket_ptr", "bucket_shift", "buckets",
}  # fmt: skip
#: Dtypes that weights are stored in.
VALUE_DTYPES = ("int8", "int16", "float32")
#: Levels trained on at most this many nonzeros stay in float32 when the dtype is "auto".
SMALL_LEVEL = 2**16


class ChunkedWeights:
    """Weights of one level, a chunk per parent, stored by feature (Etter et al., WWW 2022).

    The chunk of a parent holds the weights of all its children. Its rows are the features that some
    child has a weight for, in ascending order. One look-up of a query's feature thus serves all siblings.
    A row with few weights is stored as these and then their slots, the children's numbers among their
    siblings. A row that would take at least half the room of a vector with a weight of every sibling is
    stored as that vector, to which it can be told by its size: it is added several times as fast.

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
        First byte of each chunk in `entries`.
    row_ptr : ndarray of shape (n_rows + n_parents,), dtype uint32
        For each chunk its rows' first bytes and one end, counted from the chunk's first byte.
    entries : ndarray of shape (n_bytes,), dtype uint8
        The rows: values of `value_dtype`, followed by slots of `slot_dtype` unless all siblings have one.
    scales : ndarray of shape (n_parents,), dtype float32
        A weight is its stored value times its chunk's scale, which is infinite if a weight is not finite.
    intercepts : ndarray of shape (n_children,), dtype float32
        Intercept of each child; -inf for a child that had no positive row and is never predicted.
    n_features : int
        Number of features of X.
    value_dtype : {"int8", "int16", "float32"}
        ``"int8"`` are multiples of 1/127 of the chunk's largest weight, ``"int16"`` of 1/32767.

    Attributes
    ----------
    word_ptr, words, feature_ptr, bucket_ptr, bucket_shift, buckets : ndarray
        Bitmaps; lists of features and their directories.
    """

    def __init__(self, child_ptr, chunk_ptr, features, entry_ptr, row_ptr, entries, scales, intercepts,
                 n_features, value_dtype):  # fmt: skip
        self.child_ptr = child_ptr
        self.chunk_ptr = chunk_ptr
        self.entry_ptr = entry_ptr
        self.row_ptr = row_ptr
        self.entries = entries
        self.value_dtype = value_dtype
        self.scales = scales
        self.intercepts = intercepts
        self.n_features = n_features
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
    def from_csc(cls, weights, intercepts, child_ptr, value_dtype="float32"):
        """Chunk a weight matrix.

        Parameters
        ----------
        weights : sparse array of shape (n_features, n_children)
            One column per child.
        intercepts : array-like of shape (n_children,)
        child_ptr : ndarray of shape (n_parents + 1,)
        value_dtype : {"int8", "int16", "float32"}, default="float32"

        Returns
        -------
        chunked : ChunkedWeights
        """
        entries = sp.coo_array(weights)
        entries.sum_duplicates()
        keep = entries.data != 0
        values = entries.data[keep].astype(np.float32)
        feature, child = entries.row[keep], entries.col[keep]
        n_parents = len(child_ptr) - 1
        fan_outs = np.diff(child_ptr)
        parent = np.repeat(np.arange(n_parents), fan_outs)[child]
        order = np.lexsort((child, feature, parent))
        values, feature, child, parent = values[order], feature[order], child[order], parent[order]
        starts_row = np.ones(values.size, dtype=bool)
        starts_row[1:] = (feature[1:] != feature[:-1]) | (parent[1:] != parent[:-1])
        rows = np.flatnonzero(starts_row)
        chunk_ptr = np.searchsorted(parent[rows], np.arange(n_parents + 1)).astype(np.int64)
        stored, scales = _round_values(values, parent, n_parents, value_dtype)
        packed, row_ptr = _pack_rows(
            np.diff(np.append(rows, values.size)),
            fan_outs[parent[rows]],
            stored,
            (child - child_ptr[parent]).astype(slot_dtype(child_ptr)),
        )
        entry_ptr = row_ptr[chunk_ptr]
        row_ptr = np.concatenate(
            [row_ptr[chunk_ptr[k] : chunk_ptr[k + 1] + 1] - entry_ptr[k] for k in range(n_parents)]
        )
        return cls(
            child_ptr, chunk_ptr, feature[rows].astype(np.int32), entry_ptr, row_ptr.astype(np.uint32),
            packed, scales, np.asarray(intercepts, dtype=np.float32), weights.shape[0], value_dtype,
        )  # fmt: skip

    def row_features(self):
        """Feature of each row, ndarray of shape (n_rows,), dtype int32."""
        return list_word_features(
            self.chunk_ptr, self.word_ptr, self.words, self.feature_ptr, self.features
        )

    def to_csc(self):
        """The weights as a csc_array of shape (n_features, n_children), dtype float32."""
        parents = np.arange(self.child_ptr.size - 1)
        n_rows = np.diff(self.chunk_ptr)
        parent = np.repeat(parents, n_rows)
        row, slots, values = self._unpack_rows(slice(None), parent)
        parent = parent[row]
        values = values * self.scales[parent]
        columns = self.child_ptr[:-1][parent] + slots
        matrix = sp.csc_array(
            (values, (self.row_features()[row], columns)), shape=(self.n_features, self.intercepts.size)
        )
        matrix.eliminate_zeros()
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
        words, listed = (slice(*pointers[chunk]) for pointers in (self.word_ptr, self.feature_ptr))
        row_features = list_word_features(
            *(_from_zero(pointers[chunk]) for pointers in (self.chunk_ptr, self.word_ptr)),
            self.words[words],
            _from_zero(self.feature_ptr[chunk]),
            self.features[listed],
        )
        row, slots, values = self._unpack_rows(
            slice(*self.chunk_ptr[chunk]), np.full(row_features.size, parent)
        )
        # vectors of all siblings hold zeros
        mine = (slots == child - self.child_ptr[parent]) & (values != 0)
        return row_features[row[mine]], values[mine] * self.scales[parent]

    def _unpack_rows(self, rows, parent):
        """Entries of some rows.

        Parameters
        ----------
        rows : slice
        parent : ndarray of shape (n_rows,)
            Of each of the rows.

        Returns
        -------
        row : ndarray of shape (n_entries,)
            Numbered from the first of the rows.
        slots : ndarray of shape (n_entries,)
        values : ndarray of shape (n_entries,), dtype value_dtype
        """
        value_size, slot_size = np.dtype(self.value_dtype).itemsize, self.slot_dtype.itemsize
        # row_ptr has one end per chunk between the rows of two chunks
        pointer = np.arange(self.chunk_ptr[-1])[rows] + parent
        start, end = (self.row_ptr[pointer + step].astype(np.int64) for step in (0, 1))
        fan_out = np.diff(self.child_ptr)[parent]
        lists_all = end - start == fan_out * value_size
        n_entries = np.where(lists_all, fan_out, (end - start) // (value_size + slot_size))
        row = np.repeat(np.arange(n_entries.size), n_entries)
        slots = np.arange(row.size) - np.repeat(np.cumsum(n_entries) - n_entries, n_entries)
        start += self.entry_ptr[parent]
        values = _bytes_at(self.entries, start[row] + slots * value_size, np.dtype(self.value_dtype))
        listed = ~lists_all[row]
        first_slot = (start + n_entries * value_size)[row[listed]]
        slots[listed] = _bytes_at(self.entries, first_slot + slots[listed] * slot_size, self.slot_dtype)
        return row, slots, values

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
            "entry_ptr": self.entries.size,
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
        if self.value_dtype not in VALUE_DTYPES:
            raise ValueError(
                f"These weights are damaged: value_dtype must be one of {VALUE_DTYPES}, got "
                f"{self.value_dtype!r}."
            )
        wanted = {name: (np.int64, None) for name in sizes} | {
            "features": (np.int32, None),
            "row_ptr": (np.uint32, None),
            "words": (np.uint64, None),
            "buckets": (np.uint32, None),
            "bucket_shift": (np.uint8, n_parents),
            "entries": (np.uint8, None),
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
        missing = STATE - state.keys()
        if missing:
            raise ValueError(f"These weights are damaged: {', '.join(sorted(missing))} missing.")
        self.__dict__.update(state)
        self.check_layout()

    def __repr__(self):
        return (
            f"ChunkedWeights(n_features={self.n_features}, n_parents={self.child_ptr.size - 1}, "
            f"n_children={self.intercepts.size}, value_dtype={self.value_dtype!r}, nbytes={self.nbytes})"
        )

    def is_finite(self):
        """Whether every weight is a finite number."""
        return bool(np.isfinite(self.scales).all())

    @property
    def slot_dtype(self):
        """Dtype of the slots, which follows from the largest fan-out."""
        return slot_dtype(self.child_ptr)

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


def slot_dtype(child_ptr):
    """Smallest dtype that numbers the children of every node."""
    max_fan_out = np.diff(child_ptr).max(initial=0)
    return np.dtype(np.uint8 if max_fan_out <= 2**8 else np.uint16 if max_fan_out <= 2**16 else np.uint32)


def _pointers(sizes):
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _from_zero(pointers):
    return pointers - pointers[0]


def choose_value_dtype(weight_dtype, n_nonzeros):
    """Name of the dtype that a level is stored in whose training rows hold so many nonzeros."""
    if weight_dtype == "auto":
        return "float32" if n_nonzeros <= SMALL_LEVEL else "int8"
    return weight_dtype


def _round_values(values, parent, n_parents, value_dtype):
    """Values as they are stored, and the scale of each parent."""
    is_finite = np.isfinite(values)
    if value_dtype == "float32":
        scales = np.ones(n_parents, dtype=np.float32)
    else:
        largest = np.zeros(n_parents, dtype=np.float32)
        np.maximum.at(largest, parent[is_finite], np.abs(values[is_finite]))
        largest[largest == 0] = 1
        scales = np.maximum(largest / np.float32(np.iinfo(value_dtype).max), np.finfo(np.float32).tiny)
        values = np.rint(np.where(is_finite, values, 0) / scales[parent]).astype(value_dtype)
    scales[parent[~is_finite]] = np.inf
    return values, scales


def _pack_rows(lengths, fan_outs, values, slots):
    """Bytes of rows and where they start, from their lengths and their parents' fan-outs."""
    value_size, slot_size = values.itemsize, slots.itemsize
    lists_all = 2 * lengths * (value_size + slot_size) >= fan_outs * value_size
    row_bytes = np.where(lists_all, fan_outs * value_size, lengths * (value_size + slot_size))
    row_ptr = _pointers(row_bytes)
    packed = np.zeros(row_ptr[-1], dtype=np.uint8)
    row = np.repeat(np.arange(lengths.size), lengths)
    number = np.arange(values.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    start, listed = row_ptr[row], ~lists_all[row]
    place = np.where(listed, number, slots)
    _put_bytes(packed, start + place * value_size, values)
    after_values = start + lengths[row] * value_size
    _put_bytes(packed, (after_values + number * slot_size)[listed], slots[listed])
    return packed, row_ptr


def _put_bytes(packed, start, items):
    offsets = start[:, None] + np.arange(items.itemsize)
    packed[offsets] = items.view(np.uint8).reshape(offsets.shape)


def _bytes_at(packed, start, dtype):
    return packed[start[:, None] + np.arange(dtype.itemsize)].view(dtype).reshape(start.size)
