"""The weights of one tree level in the layout that training writes and beam search reads."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.ranking._chunked_weights_fast import arrange_level, list_rows
from sklearn_xmr.utils._runs import positions_in_runs
from sklearn_xmr.utils._slots import slot_dtype

#: log2 of how many features a word may stand for: those of a bitmap first.
WORD_SHIFTS = range(5, 17)
#: What a pickle holds.
STATE = {
    "child_ptr", "entry_ptr", "entries", "word_ptr", "words", "word_shift", "scales", "intercepts",
    "n_features", "value_dtype",
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

    A feature is looked up in the 64-bit word ``feature >> shift`` of its chunk. The high half says at which
    byte of the chunk the rows of the word's features begin. The low half has 32 bits for these features;
    one that is not set spares a look at the rows. What is read next lies beside the weights.

    Where the chunk has a row for one feature in 32 or more, shift is 5 and the words are a bitmap. A word's
    part begins with the start of each row and the end of the last one, counted from there. The rows follow.

    Where it has fewer, a word stands for as many features as have two to four rows on average, and a bit
    for a 32nd of them. Before each row come the low 16 bits of its feature, by which a word's rows are
    sorted, and its size. They end where those of the next word begin.

    Starts and sizes take 2 bytes if slots take 1, else 4.

    Parameters
    ----------
    child_ptr : ndarray of shape (n_parents + 1,), dtype int64
        Children of each parent, see `LabelTree`.
    entry_ptr : ndarray of shape (n_parents + 1,), dtype int64
        First byte of each chunk in `entries`.
    entries : ndarray of shape (n_bytes,), dtype uint8
        Rows: values of `value_dtype`, followed by slots of `slot_dtype` unless all siblings have one.
    word_ptr : ndarray of shape (n_parents + 1,), dtype int64
        Words of each chunk, with one behind the last that tells where its rows end.
    words : ndarray of shape (n_words,), dtype uint64
    word_shift : ndarray of shape (n_parents,), dtype uint8
        Between 5 and 16.
    scales : ndarray of shape (n_parents,), dtype float32
        A weight is its stored value times its chunk's scale, which is infinite if a weight is not finite.
    intercepts : ndarray of shape (n_children,), dtype float32
        Intercept of each child; -inf for a child that had no positive row and is never predicted.
    n_features : int
        Number of features of X.
    value_dtype : {"int8", "int16", "float32"}
        ``"int8"`` are multiples of 1/127 of the chunk's largest weight, ``"int16"`` of 1/32767.
    """

    def __init__(self, child_ptr, *, entry_ptr, entries, word_ptr, words, word_shift, scales, intercepts,
                 n_features, value_dtype):  # fmt: skip
        self.child_ptr = child_ptr
        self.entry_ptr = entry_ptr
        self.entries = entries
        self.word_ptr = word_ptr
        self.words = words
        self.word_shift = word_shift
        self.scales = scales
        self.intercepts = intercepts
        self.n_features = n_features
        self.value_dtype = value_dtype

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
        arrays = arrange_level(
            chunk_ptr, feature[rows].astype(np.int32), entry_ptr, row_ptr.astype(np.uint32), packed, scales,
            slot_dtype(child_ptr).itemsize, weights.shape[0],
        )  # fmt: skip
        intercepts = np.asarray(intercepts, dtype=np.float32)
        return cls(
            child_ptr, **arrays, intercepts=intercepts, n_features=weights.shape[0], value_dtype=value_dtype
        )

    def to_csc(self):
        """The weights as a csc_array of shape (n_features, n_children), dtype float32."""
        features, parent, slots, values = self._read(0, self.child_ptr.size - 1)
        columns = self.child_ptr[:-1][parent] + slots
        matrix = sp.csc_array((values, (features, columns)), shape=(self.n_features, self.intercepts.size))
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
        features, _, slots, values = self._read(parent, parent + 1)
        # vectors of all siblings hold zeros
        mine = (slots == child - self.child_ptr[parent]) & (values != 0)
        return features[mine], values[mine]

    def rows(self, first, last):
        """Where the rows of some chunks lie.

        Parameters
        ----------
        first, last : int
            Chunks from `first` to before `last`.

        Returns
        -------
        parent : ndarray of shape (n_rows,), dtype int32
        feature : ndarray of shape (n_rows,), dtype int32
            Ascending within a chunk.
        start, end : ndarray of shape (n_rows,), dtype int64
            Bytes in `entries`.
        """
        return list_rows(
            self.entry_ptr, self.entries, self.word_ptr, self.words, self.word_shift,
            self.slot_dtype.itemsize, first, last,
        )  # fmt: skip

    def _read(self, first, last):
        """Weights of some chunks.

        Parameters
        ----------
        first, last : int

        Returns
        -------
        features, parents, slots : ndarray of shape (n_weights,)
        values : ndarray of shape (n_weights,), dtype float32
        """
        value_size, slot_size = np.dtype(self.value_dtype).itemsize, self.slot_dtype.itemsize
        parent, feature, start, end = self.rows(first, last)
        fan_out = np.diff(self.child_ptr)[parent]
        lists_all = end - start == fan_out * value_size
        n_entries = np.where(lists_all, fan_out, (end - start) // (value_size + slot_size))
        row = np.repeat(np.arange(n_entries.size), n_entries)
        slots = positions_in_runs(n_entries)
        values = _bytes_at(self.entries, start[row] + slots * value_size, np.dtype(self.value_dtype))
        listed = ~lists_all[row]
        first_slot = (start + n_entries * value_size)[row[listed]]
        slots[listed] = _bytes_at(self.entries, first_slot + slots[listed] * slot_size, self.slot_dtype)
        parent = parent[row]
        return feature[row], parent, slots, values * self.scales[parent]

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
            "entry_ptr": self.entries.size,
            "word_ptr": self.words.size,
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
            "words": (np.uint64, None),
            "word_shift": (np.uint8, n_parents),
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
        shifts = self.word_shift.astype(np.int64)
        if not np.isin(shifts, WORD_SHIFTS).all():
            raise ValueError(
                f"These weights are damaged: word_shift must be from {WORD_SHIFTS[0]} to {WORD_SHIFTS[-1]}."
            )
        if np.any(np.diff(self.word_ptr) != ((self.n_features - 1) >> shifts) + 2):
            raise ValueError(
                f"These weights are damaged: word_ptr does not fit {self.n_features} features."
            )

    def __setstate__(self, state):
        if state.keys() != STATE:
            names = ", ".join(sorted(STATE ^ state.keys()))
            raise ValueError(f"These weights are damaged: {names} missing or unknown.")
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


def _pointers(sizes):
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


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
    number = positions_in_runs(lengths)
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
