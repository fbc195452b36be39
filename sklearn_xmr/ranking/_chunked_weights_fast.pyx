"""Build the chunks of `ChunkedWeights`: merge what the solver wrote, index features.

See the class for the layout.
"""

from libc.float cimport FLT_MIN
from libc.math cimport INFINITY, fabsf, isfinite, rintf
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

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


cdef inline void put_value(const Chunk* chunk, uint8_t* values, int64_t i, float value) noexcept nogil:
    cdef int16_t rounded
    if chunk.value_size == 4:
        memcpy(values + 4 * i, &value, 4)
        return
    rounded = <int16_t> rintf(value / chunk.scale) if isfinite(chunk.scale) else 0
    if chunk.value_size == 1:
        (<int8_t*> values)[i] = <int8_t> rounded
    else:
        memcpy(values + 2 * i, &rounded, 2)


cdef inline void put_slot(const Chunk* chunk, uint8_t* slots, int64_t i, int64_t slot) noexcept nogil:
    cdef uint32_t wide = <uint32_t> slot
    cdef uint16_t narrow = <uint16_t> slot
    if chunk.slot_size == 1:
        slots[i] = <uint8_t> slot
    elif chunk.slot_size == 2:
        memcpy(slots + 2 * i, &narrow, 2)
    else:
        memcpy(slots + 4 * i, &wide, 4)


cdef inline bint lists_all(int64_t n, const Chunk* chunk) noexcept nogil:
    """Whether a row of n weights is stored as a vector of all siblings: see ChunkedWeights."""
    return 2 * n * (chunk.slot_size + chunk.value_size) >= chunk.fan_out * chunk.value_size


cdef inline int64_t row_bytes(int64_t n, const Chunk* chunk) noexcept nogil:
    if lists_all(n, chunk):
        return chunk.fan_out * chunk.value_size
    return n * (chunk.slot_size + chunk.value_size)


cdef int64_t next_row(
    const Block* blocks, int64_t n_blocks, const int64_t* cursors, int64_t* ends, int32_t* feature,
) noexcept nogil:
    """Weights of the smallest feature that is left, and where they end in each block; 0 at the end."""
    cdef int64_t n = 0, b
    feature[0] = -1
    for b in range(n_blocks):
        # unsigned, -1 is the largest
        if (cursors[b] < blocks[b].n_entries
                and <uint32_t> blocks[b].features[cursors[b]] < <uint32_t> feature[0]):
            feature[0] = blocks[b].features[cursors[b]]
    for b in range(n_blocks):
        ends[b] = cursors[b]
        while ends[b] < blocks[b].n_entries and blocks[b].features[ends[b]] == feature[0]:
            ends[b] += 1
        n += ends[b] - cursors[b]
    return n


cdef void size_chunk(
    const Block* blocks, int64_t n_blocks, int64_t* cursors, int64_t* ends, Chunk* chunk,
) noexcept nogil:
    """Rows and bytes of a cluster's blocks merged, and the scale of the values."""
    cdef int64_t n, b
    cdef int32_t feature
    cdef float size, largest = 0
    memset(cursors, 0, n_blocks * sizeof(int64_t))
    while True:
        n = next_row(blocks, n_blocks, cursors, ends, &feature)
        if n == 0:
            break
        for b in range(n_blocks):
            while cursors[b] < ends[b]:
                size = fabsf(blocks[b].values[cursors[b]])
                if not (size <= largest):
                    largest = size if size == size else INFINITY
                cursors[b] += 1
        chunk.n_bytes += row_bytes(n, chunk)
        chunk.n_rows += 1
    chunk.scale = largest_to_scale(largest, chunk.value_size)


cdef inline float largest_to_scale(float largest, int value_size) noexcept nogil:
    """Unit of the stored values; infinite if some weight is not finite."""
    if value_size == 4:
        return 1 if isfinite(largest) else INFINITY
    if largest == 0:
        largest = 1
    return max(largest / (<float> 127 if value_size == 1 else <float> 32767), FLT_MIN)


cdef void write_chunk(
    const Block* blocks, int64_t n_blocks, int64_t* cursors, int64_t* ends, const Chunk* chunk,
) noexcept nogil:
    """Merge a cluster's blocks by feature."""
    cdef int64_t n_rows = 0, n, slot, b, i
    cdef int32_t feature
    cdef bint all_siblings
    cdef uint8_t* row = chunk.entries
    memset(cursors, 0, n_blocks * sizeof(int64_t))
    while True:
        n = next_row(blocks, n_blocks, cursors, ends, &feature)
        chunk.row_ptr[n_rows] = <uint32_t> (row - chunk.entries)
        if n == 0:
            return
        all_siblings = lists_all(n, chunk)
        if all_siblings:
            memset(row, 0, chunk.fan_out * chunk.value_size)
        i = 0
        for b in range(n_blocks):
            while cursors[b] < ends[b]:
                slot = blocks[b].children[blocks[b].places[cursors[b]]] - blocks[b].first_child
                put_value(chunk, row, slot if all_siblings else i, blocks[b].values[cursors[b]])
                if not all_siblings:
                    put_slot(chunk, row + n * chunk.value_size, i, slot)
                i += 1
                cursors[b] += 1
        chunk.features[n_rows] = feature
        row += row_bytes(n, chunk)
        n_rows += 1


cdef void free_block(Block* block) noexcept nogil:
    free(block.features)
    free(block.places)
    free(block.values)
    memset(block, 0, sizeof(Block))


cdef void free_chunk(Chunk* chunk) noexcept nogil:
    free(chunk.features)
    free(chunk.row_ptr)
    free(chunk.entries)
    chunk.features, chunk.row_ptr, chunk.entries = NULL, NULL, NULL


cdef int build_chunk(Block* blocks, int64_t n_blocks, Chunk* chunk) noexcept nogil:
    """Merge the blocks of a cluster, which are freed, into its chunk.

    Returns 0, -1 without memory, or -2 if the chunk is larger than its row pointers can tell.
    """
    cdef int64_t b
    cdef int64_t* ends
    cdef int64_t* cursors = <int64_t*> malloc(2 * (n_blocks + 1) * sizeof(int64_t))
    if cursors == NULL:
        return -1
    ends = cursors + n_blocks
    size_chunk(blocks, n_blocks, cursors, ends, chunk)
    if chunk.n_bytes >> 32:
        free(cursors)
        return -2
    chunk.features = <int32_t*> malloc((chunk.n_rows + 1) * sizeof(int32_t))
    chunk.row_ptr = <uint32_t*> malloc((chunk.n_rows + 1) * sizeof(uint32_t))
    chunk.entries = <uint8_t*> malloc(chunk.n_bytes + 1)
    if chunk.features == NULL or chunk.row_ptr == NULL or chunk.entries == NULL:
        free(cursors)
        return -1
    write_chunk(blocks, n_blocks, cursors, ends, chunk)
    free(cursors)
    for b in range(n_blocks):
        free_block(blocks + b)
    return 0


cdef join_chunks(Chunk* chunks, int64_t n_chunks):
    """The chunks of a level, which are freed: chunk_ptr, features, entry_ptr, row_ptr, entries, scales."""
    cdef int64_t k, n
    cdef int64_t[::1] chunk_ptr = np.zeros(n_chunks + 1, dtype=np.int64)
    cdef int64_t[::1] entry_ptr = np.zeros(n_chunks + 1, dtype=np.int64)
    for k in range(n_chunks):
        chunk_ptr[k + 1] = chunk_ptr[k] + chunks[k].n_rows
        entry_ptr[k + 1] = entry_ptr[k] + chunks[k].n_bytes
    # one element more than needed, so that the address of the first one always exists
    cdef int32_t[::1] features = np.empty(chunk_ptr[n_chunks] + 1, dtype=np.int32)
    cdef uint32_t[::1] row_ptr = np.empty(chunk_ptr[n_chunks] + n_chunks, dtype=np.uint32)
    cdef uint8_t[::1] entries = np.empty(entry_ptr[n_chunks] + 1, dtype=np.uint8)
    cdef float[::1] scales = np.empty(n_chunks, dtype=np.float32)
    for k in range(n_chunks):
        n = chunks[k].n_rows
        scales[k] = chunks[k].scale
        row_ptr[chunk_ptr[k] + k] = 0
        if chunks[k].entries == NULL:  # no child has a positive row
            scales[k] = largest_to_scale(0, chunks[k].value_size)
            continue
        memcpy(&features[chunk_ptr[k]], chunks[k].features, n * sizeof(int32_t))
        memcpy(&row_ptr[chunk_ptr[k] + k], chunks[k].row_ptr, (n + 1) * sizeof(uint32_t))
        memcpy(&entries[entry_ptr[k]], chunks[k].entries, chunks[k].n_bytes)
        free_chunk(chunks + k)
    return (
        np.asarray(chunk_ptr), np.asarray(features)[:chunk_ptr[n_chunks]], np.asarray(entry_ptr),
        np.asarray(row_ptr), np.asarray(entries)[:entry_ptr[n_chunks]], np.asarray(scales),
    )
