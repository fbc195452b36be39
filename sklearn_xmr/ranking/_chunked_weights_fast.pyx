"""Build the chunks of `ChunkedWeights`: merge what the solver wrote, index features.

See the class for the layout.
"""

from cython.parallel cimport parallel, prange
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

import numpy as np


def build_words(const int64_t[::1] chunk_ptr, const int32_t[::1] features, const int64_t[::1] word_ptr):
    """Bitmaps of the chunks that have one.

    Parameters
    ----------
    chunk_ptr : (n_chunks + 1,)
        Rows of each chunk.
    features : (n_rows,)
        Ascending within a chunk.
    word_ptr : (n_chunks + 1,)
        Words of each chunk; none where the chunk has no bitmap.

    Returns
    -------
    words : ndarray of shape (word_ptr[-1],), dtype uint64
        Low half: one bit for each of 32 features. High half: rows before them.
    """
    cdef int64_t n_chunks = chunk_ptr.shape[0] - 1, c, row, w, first, n_rows
    cdef uint64_t[::1] words = np.zeros(word_ptr[n_chunks], dtype=np.uint64)
    for c in range(n_chunks):
        first = chunk_ptr[c]
        n_rows = chunk_ptr[c + 1] - first
        row = 0
        for w in range(word_ptr[c + 1] - word_ptr[c]):
            words[word_ptr[c] + w] = <uint64_t> row << 32
            while row < n_rows and features[first + row] >> 5 == w:
                words[word_ptr[c] + w] |= <uint64_t> 1 << (features[first + row] & 31)
                row += 1
    return np.asarray(words)


def list_word_features(
    const int64_t[::1] chunk_ptr, const int64_t[::1] word_ptr, const uint64_t[::1] words,
    const int64_t[::1] feature_ptr, const int32_t[::1] listed,
):
    """Feature of every row, from bitmaps and lists."""
    cdef int64_t n_chunks = chunk_ptr.shape[0] - 1, c, row = 0, w, i
    cdef int bit
    cdef int32_t[::1] features = np.empty(chunk_ptr[n_chunks], dtype=np.int32)
    for c in range(n_chunks):
        for w in range(word_ptr[c + 1] - word_ptr[c]):
            for bit in range(32):
                if words[word_ptr[c] + w] >> bit & 1:
                    features[row] = <int32_t> (32 * w + bit)
                    row += 1
        for i in range(feature_ptr[c], feature_ptr[c + 1]):
            features[row] = listed[i]
            row += 1
    return np.asarray(features)


def build_buckets(const int64_t[::1] feature_ptr, const int32_t[::1] features,
                  const int64_t[::1] bucket_ptr, const uint8_t[::1] bucket_shift):
    """First row of each bucket of each chunk that lists its features.

    Parameters
    ----------
    feature_ptr : (n_chunks + 1,)
        Listed features of each chunk.
    features : (n_listed,)
        Ascending within a chunk.
    bucket_ptr : (n_chunks + 1,)
        Room of each chunk in the result: its number of buckets and one end; none for a bitmap.
    bucket_shift : (n_chunks,)
        A feature's bucket is ``feature >> shift``.

    Returns
    -------
    buckets : ndarray of shape (bucket_ptr[-1],), dtype uint32
        Row numbers within the chunk.
    """
    cdef int64_t n_chunks = feature_ptr.shape[0] - 1, c, row, first, n_rows, b
    cdef uint32_t[::1] buckets = np.empty(bucket_ptr[n_chunks], dtype=np.uint32)
    for c in range(n_chunks):
        first = feature_ptr[c]
        n_rows = feature_ptr[c + 1] - first
        row = 0
        for b in range(bucket_ptr[c + 1] - bucket_ptr[c]):
            while row < n_rows and (features[first + row] >> bucket_shift[c]) < b:
                row += 1
            buckets[bucket_ptr[c] + b] = <uint32_t> row
    return np.asarray(buckets)


cdef struct Chunk:
    # Where a chunk is written.
    int32_t* features
    uint32_t* row_ptr
    void* slots
    int slot_size
    float* values


cdef inline void put_entry(const Chunk* chunk, int64_t position, int64_t slot, float value) noexcept nogil:
    if chunk.slot_size == 1:
        (<uint8_t*> chunk.slots)[position] = <uint8_t> slot
    elif chunk.slot_size == 2:
        (<uint16_t*> chunk.slots)[position] = <uint16_t> slot
    else:
        (<uint32_t*> chunk.slots)[position] = <uint32_t> slot
    chunk.values[position] = value


cdef inline int64_t slot_of(const Block* block, int64_t i) noexcept nogil:
    return block.children[block.places[i]] - block.first_child


cdef int64_t merge_blocks(
    const Block* blocks, int64_t n_blocks, int64_t fan_out, int64_t* cursors, const Chunk* chunk,
    int64_t* n_entries,
) noexcept nogil:
    """Merge a cluster's blocks by feature; returns the number of rows, writes where `chunk` is given.

    A row that has at least two thirds of the siblings lists all of them in order, zeros included: search
    then adds it as a vector.
    """
    cdef int64_t n_rows = 0, position = 0, in_row, slot, b, i
    cdef int32_t feature
    cdef bint is_full
    memset(cursors, 0, n_blocks * sizeof(int64_t))
    while True:
        feature = -1
        for b in range(n_blocks):
            # unsigned, -1 is the largest: no feature yet
            if (cursors[b] < blocks[b].n_entries
                    and <uint32_t> blocks[b].features[cursors[b]] < <uint32_t> feature):
                feature = blocks[b].features[cursors[b]]
        if chunk != NULL:
            chunk.row_ptr[n_rows] = <uint32_t> position
        if feature < 0:
            n_entries[0] = position
            return n_rows
        in_row = 0
        for b in range(n_blocks):
            i = cursors[b]
            while i < blocks[b].n_entries and blocks[b].features[i] == feature:
                i += 1
            in_row += i - cursors[b]
        is_full = 3 * in_row >= 2 * fan_out
        if chunk != NULL:
            chunk.features[n_rows] = feature
            if is_full:
                for i in range(fan_out):
                    put_entry(chunk, position + i, i, 0)
        i = 0
        for b in range(n_blocks):
            while cursors[b] < blocks[b].n_entries and blocks[b].features[cursors[b]] == feature:
                if chunk != NULL:
                    slot = slot_of(&blocks[b], cursors[b])
                    put_entry(
                        chunk, position + (slot if is_full else i), slot, blocks[b].values[cursors[b]])
                i += 1
                cursors[b] += 1
        position += fan_out if is_full else in_row
        n_rows += 1


cdef void write_chunk(
    const Block* blocks, int64_t n_blocks, int64_t fan_out, int64_t* cursors, int32_t* features,
    uint32_t* row_ptr, void* slots, int slot_size, float* values,
) noexcept nogil:
    # a struct of one thread: inside prange its fields would be shared
    cdef Chunk chunk = Chunk(features, row_ptr, slots, slot_size, values)
    cdef int64_t n_entries
    merge_blocks(blocks, n_blocks, fan_out, cursors, &chunk, &n_entries)


cdef assemble_chunks(const Block* blocks, const int64_t[::1] task_ptr,
                     const int64_t[::1] child_ptr, int slot_size, int n_threads):
    """Chunks of one level from the blocks of its tasks."""
    cdef int64_t n_parents = task_ptr.shape[0] - 1, k, first
    cdef int64_t[::1] n_rows = np.zeros(n_parents, dtype=np.int64)
    cdef int64_t[::1] n_entries = np.zeros(n_parents, dtype=np.int64)
    cdef int64_t most = int(np.diff(task_ptr).max()) + 1
    cdef int64_t* cursors
    cdef int failure = 0
    cdef int* failed = &failure

    with nogil, parallel(num_threads=n_threads):
        cursors = <int64_t*> malloc(most * sizeof(int64_t))
        for k in prange(n_parents, schedule="dynamic", chunksize=1):
            if cursors == NULL:
                failed[0] = 1
            else:
                first = task_ptr[k]
                n_rows[k] = merge_blocks(
                    blocks + first, task_ptr[k + 1] - first,
                    child_ptr[k + 1] - child_ptr[k], cursors, NULL, &n_entries[k])
        free(cursors)
    if failure:
        raise MemoryError
    if int(np.max(n_entries)) >= 2 ** 32:
        raise ValueError("A cluster has more than 2**32 weights; raise weight_threshold or branch more.")

    cdef int64_t[::1] chunk_ptr = np.concatenate([[0], np.cumsum(n_rows)])
    cdef int64_t[::1] entry_ptr = np.concatenate([[0], np.cumsum(n_entries)])
    cdef int64_t all_rows = chunk_ptr[n_parents], all_entries = entry_ptr[n_parents]
    # one element more than needed, so that the address of the first one always exists
    cdef int32_t[::1] features = np.empty(all_rows + 1, dtype=np.int32)
    cdef uint32_t[::1] row_ptr = np.empty(all_rows + n_parents, dtype=np.uint32)
    cdef float[::1] values = np.empty(all_entries + 1, dtype=np.float32)
    # bytes; the caller views them as numbers of slot_size bytes
    cdef uint8_t[::1] slots = np.empty((all_entries + 1) * slot_size, dtype=np.uint8)
    with nogil, parallel(num_threads=n_threads):
        cursors = <int64_t*> malloc(most * sizeof(int64_t))
        for k in prange(n_parents, schedule="dynamic", chunksize=1):
            if cursors == NULL:
                failed[0] = 1
            else:
                first = task_ptr[k]
                write_chunk(
                    blocks + first, task_ptr[k + 1] - first,
                    child_ptr[k + 1] - child_ptr[k], cursors, &features[chunk_ptr[k]],
                    &row_ptr[chunk_ptr[k] + k], &slots[entry_ptr[k] * slot_size], slot_size,
                    &values[entry_ptr[k]])
        free(cursors)
    if failure:
        raise MemoryError
    return (
        np.asarray(chunk_ptr), np.asarray(features)[:all_rows], np.asarray(entry_ptr), np.asarray(row_ptr),
        np.asarray(slots)[:all_entries * slot_size], np.asarray(values)[:all_entries],
    )
