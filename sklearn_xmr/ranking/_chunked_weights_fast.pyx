"""Build the chunks of `ChunkedWeights`: merge what the solver wrote, put it where look-ups find it.

See the class for the layout.
"""

from libc.float cimport FLT_MIN
from libc.math cimport INFINITY, fabsf, isfinite, rintf
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

import numpy as np


# log2 of the bits of a word; the other half of the word is an address.
cdef int BITMAP_SHIFT = 5
# Where a bit stands for several features, at most this many rows should have a word.
cdef int ROWS_PER_WORD = 4
# Such a row tells the lower bits of its feature, of which the word fixes the others.
cdef int MOST_SHIFT = 16


cdef inline int start_size(int slot_size) noexcept nogil:
    """Bytes that tell where a row starts within its word's rows, or its size."""
    return 2 if slot_size == 1 else 4


cdef inline int64_t read_start(const uint8_t* place, int size) noexcept nogil:
    cdef uint16_t narrow
    cdef uint32_t wide
    if size == 2:
        memcpy(&narrow, place, 2)
        return narrow
    memcpy(&wide, place, 4)
    return wide


cdef inline void write_start(uint8_t* place, int64_t start, int size) noexcept nogil:
    cdef uint16_t narrow = <uint16_t> start
    cdef uint32_t wide = <uint32_t> start
    if size == 2:
        memcpy(place, &narrow, 2)
    else:
        memcpy(place, &wide, 4)


cdef inline uint64_t word_bit(int32_t feature, int shift) noexcept nogil:
    """The bit of a feature in its word, which has 32 for all its features."""
    return <uint64_t> 1 << (feature >> (shift - BITMAP_SHIFT) & 31)


cdef int arrange_rows(Chunk* chunk, int64_t n_features) noexcept nogil:
    """Put the rows where their words say; see `ChunkedWeights`.

    Returns 0, -1 without memory, or -2 if the chunk is larger than addresses in it can tell.
    """
    cdef uint8_t* rows = chunk.entries
    cdef int64_t width = ROWS_PER_WORD * n_features // max(chunk.n_rows, 1), room, row
    cdef int size = start_size(chunk.slot_size)
    room = chunk.n_bytes + (2 + size) * chunk.n_rows
    for row in range(chunk.n_rows):  # the end of a word's last row; there are no more words than rows
        if row == 0 or chunk.features[row] >> BITMAP_SHIFT != chunk.features[row - 1] >> BITMAP_SHIFT:
            room += size
    if room >> 32:
        return -2
    chunk.entries = <uint8_t*> malloc(room + 1)
    if chunk.entries == NULL:
        chunk.entries = rows
        return -1
    chunk.shift = BITMAP_SHIFT
    if chunk.n_rows << BITMAP_SHIFT < n_features:
        chunk.shift += 1
        while chunk.shift < MOST_SHIFT and width >> (chunk.shift + 1):
            chunk.shift += 1
    chunk.n_words = ((n_features - 1) >> chunk.shift) + 2
    chunk.words = <uint64_t*> malloc(chunk.n_words * sizeof(uint64_t))
    if chunk.words != NULL and chunk.shift == BITMAP_SHIFT:
        arrange_bitmap(chunk, rows, size)
    elif chunk.words != NULL:
        arrange_list(chunk, rows, size)
    free(rows)
    free(chunk.features)
    free(chunk.row_ptr)
    chunk.features, chunk.row_ptr = NULL, NULL
    return -1 if chunk.words == NULL else 0


cdef void arrange_bitmap(Chunk* chunk, const uint8_t* rows, int size) noexcept nogil:
    cdef int64_t row = 0, first, w, i, header
    cdef uint8_t* end = chunk.entries
    for w in range(chunk.n_words):
        chunk.words[w] = <uint64_t> (end - chunk.entries) << 32
        first = row
        while row < chunk.n_rows and chunk.features[row] >> BITMAP_SHIFT == w:
            chunk.words[w] |= word_bit(chunk.features[row], BITMAP_SHIFT)
            row += 1
        if row == first:
            continue
        header = (row - first + 1) * size
        for i in range(first, row + 1):
            write_start(end + (i - first) * size, header + chunk.row_ptr[i] - chunk.row_ptr[first], size)
        end += header
        memcpy(end, rows + chunk.row_ptr[first], chunk.row_ptr[row] - chunk.row_ptr[first])
        end += chunk.row_ptr[row] - chunk.row_ptr[first]
    chunk.n_bytes = end - chunk.entries


cdef void arrange_list(Chunk* chunk, const uint8_t* rows, int size) noexcept nogil:
    cdef int64_t row = 0, w, n_bytes
    cdef uint16_t low
    cdef uint8_t* end = chunk.entries
    for w in range(chunk.n_words):
        chunk.words[w] = <uint64_t> (end - chunk.entries) << 32
        while row < chunk.n_rows and chunk.features[row] >> chunk.shift == w:
            chunk.words[w] |= word_bit(chunk.features[row], chunk.shift)
            low = <uint16_t> chunk.features[row]
            n_bytes = chunk.row_ptr[row + 1] - chunk.row_ptr[row]
            memcpy(end, &low, 2)
            write_start(end + 2, n_bytes, size)
            memcpy(end + 2 + size, rows + chunk.row_ptr[row], n_bytes)
            end += 2 + size + n_bytes
            row += 1
    chunk.n_bytes = end - chunk.entries


def arrange_level(
    const int64_t[::1] chunk_ptr, const int32_t[::1] features, const int64_t[::1] entry_ptr,
    const uint32_t[::1] row_ptr, const uint8_t[::1] entries, const float[::1] scales, int slot_size,
    int64_t n_features,
):
    """Chunks whose rows lie one behind the other, as the search reads them.

    Parameters
    ----------
    chunk_ptr : (n_chunks + 1,)
        Rows of each chunk.
    features : (n_rows,)
        Ascending within a chunk.
    entry_ptr : (n_chunks + 1,)
        Bytes of each chunk.
    row_ptr : (n_rows + n_chunks,)
        For each chunk its rows' first bytes and one end, counted from the chunk's first byte.
    entries : (n_bytes,)
    scales : (n_chunks,)
    slot_size : int
    n_features : int

    Returns
    -------
    level : dict
        See `join_chunks`.
    """
    cdef int64_t n_chunks = chunk_ptr.shape[0] - 1, k, n
    cdef int status = 0
    cdef Chunk* chunks = <Chunk*> calloc(n_chunks + 1, sizeof(Chunk))
    cdef Chunk* chunk
    try:
        if chunks == NULL:
            raise MemoryError
        for k in range(n_chunks):
            chunk = chunks + k
            chunk.slot_size = slot_size
            chunk.scale = scales[k]
            chunk.n_rows = n = chunk_ptr[k + 1] - chunk_ptr[k]
            chunk.n_bytes = entry_ptr[k + 1] - entry_ptr[k]
            if allocate_rows(chunk):
                raise MemoryError
            if n:
                memcpy(chunk.features, &features[chunk_ptr[k]], n * sizeof(int32_t))
                memcpy(chunk.entries, &entries[entry_ptr[k]], chunk.n_bytes)
            memcpy(chunk.row_ptr, &row_ptr[chunk_ptr[k] + k], (n + 1) * sizeof(uint32_t))
            status = arrange_rows(chunk, n_features)
            if status == -1:
                raise MemoryError
            if status == -2:
                raise ValueError(f"The weights of a cluster take more than 4 GB: {n} features.")
        return join_chunks(chunks, n_chunks, n_features)
    finally:
        if chunks != NULL:
            for k in range(n_chunks):
                free_chunk(chunks + k)
        free(chunks)


def list_rows(
    const int64_t[::1] entry_ptr, const uint8_t[::1] entries, const int64_t[::1] word_ptr,
    const uint64_t[::1] words, const uint8_t[::1] word_shift, int slot_size, int64_t first, int64_t last,
):
    """Rows of the chunks from `first` to `last`, as they lie.

    Returns
    -------
    chunk : ndarray of shape (n_rows,), dtype int32
        Of each row.
    feature : ndarray of shape (n_rows,), dtype int32
    start, end : ndarray of shape (n_rows,), dtype int64
        Bytes of each row's values and slots in `entries`.
    """
    cdef int64_t c, w, place, stop, n_rows, header
    cdef bint is_bitmap
    cdef int bit, pass_number, size = start_size(slot_size)
    cdef int32_t[::1] chunk = np.empty(0, dtype=np.int32), feature = chunk
    cdef int64_t[::1] start = np.empty(0, dtype=np.int64), end = start
    cdef uint16_t low
    for pass_number in range(2):  # counts, then lists
        n_rows = 0
        for c in range(first, last):
            is_bitmap = word_shift[c] == BITMAP_SHIFT
            for w in range(word_ptr[c], word_ptr[c + 1] - 1):
                place = entry_ptr[c] + <int64_t> (words[w] >> 32)
                header = place
                stop = entry_ptr[c] + <int64_t> (words[w + 1] >> 32)
                for bit in range(32 if is_bitmap else 0):
                    if not words[w] >> bit & 1:
                        continue
                    if pass_number:
                        chunk[n_rows] = <int32_t> c
                        feature[n_rows] = <int32_t> (((w - word_ptr[c]) << BITMAP_SHIFT) + bit)
                        start[n_rows] = place + read_start(&entries[header], size)
                        end[n_rows] = place + read_start(&entries[header + size], size)
                    header += size
                    n_rows += 1
                while not is_bitmap and place < stop:
                    header = read_start(&entries[place + 2], size)
                    if pass_number:
                        memcpy(&low, &entries[place], 2)
                        chunk[n_rows] = <int32_t> c
                        feature[n_rows] = <int32_t> (
                            ((w - word_ptr[c]) << word_shift[c] >> MOST_SHIFT << MOST_SHIFT) + low)
                        start[n_rows] = place + 2 + size
                        end[n_rows] = place + 2 + size + header
                    place += 2 + size + header
                    n_rows += 1
        if pass_number == 0:
            chunk, feature = np.empty(n_rows, dtype=np.int32), np.empty(n_rows, dtype=np.int32)
            start, end = np.empty(n_rows, dtype=np.int64), np.empty(n_rows, dtype=np.int64)
    return np.asarray(chunk), np.asarray(feature), np.asarray(start), np.asarray(end)


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
    free(chunk.words)
    chunk.features, chunk.row_ptr, chunk.entries, chunk.words = NULL, NULL, NULL, NULL


cdef int allocate_rows(Chunk* chunk) noexcept nogil:
    """Room for rows that are yet to be arranged; returns 0, or -1 without memory."""
    chunk.features = <int32_t*> malloc((chunk.n_rows + 1) * sizeof(int32_t))
    chunk.row_ptr = <uint32_t*> malloc((chunk.n_rows + 1) * sizeof(uint32_t))
    chunk.entries = <uint8_t*> malloc(chunk.n_bytes + 1)
    return -1 if chunk.features == NULL or chunk.row_ptr == NULL or chunk.entries == NULL else 0


cdef int build_chunk(Block* blocks, int64_t n_blocks, int64_t n_features, Chunk* chunk) noexcept nogil:
    """Merge the blocks of a cluster, which are freed, into its chunk.

    Returns 0, -1 without memory, or -2 if the chunk is larger than addresses in it can tell.
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
    if allocate_rows(chunk):
        free(cursors)
        return -1
    write_chunk(blocks, n_blocks, cursors, ends, chunk)
    free(cursors)
    for b in range(n_blocks):
        free_block(blocks + b)
    return arrange_rows(chunk, n_features)


cdef join_chunks(Chunk* chunks, int64_t n_chunks, int64_t n_features):
    """The arrays of a level's chunks, which are freed, by their names in `ChunkedWeights`."""
    cdef int64_t k
    cdef int64_t[:, ::1] ptr = np.zeros((2, n_chunks + 1), dtype=np.int64)
    for k in range(n_chunks):
        if chunks[k].entries == NULL and build_chunk(NULL, 0, n_features, chunks + k):  # without children
            raise MemoryError
        ptr[0, k + 1] = ptr[0, k] + chunks[k].n_bytes
        ptr[1, k + 1] = ptr[1, k] + chunks[k].n_words
    # one element more than needed, so that the address of the first one always exists
    cdef uint8_t[::1] entries = np.empty(ptr[0, n_chunks] + 1, dtype=np.uint8)
    cdef uint64_t[::1] words = np.empty(ptr[1, n_chunks] + 1, dtype=np.uint64)
    cdef uint8_t[::1] shifts = np.zeros(n_chunks, dtype=np.uint8)
    cdef float[::1] scales = np.empty(n_chunks, dtype=np.float32)
    for k in range(n_chunks):
        scales[k] = chunks[k].scale
        shifts[k] = <uint8_t> chunks[k].shift
        memcpy(&entries[ptr[0, k]], chunks[k].entries, chunks[k].n_bytes)
        memcpy(&words[ptr[1, k]], chunks[k].words, chunks[k].n_words * sizeof(uint64_t))
        free_chunk(chunks + k)
    entry_ptr, word_ptr = (np.array(ptr[i]) for i in range(2))
    return {
        "entry_ptr": entry_ptr, "entries": np.asarray(entries)[:entry_ptr[n_chunks]],
        "word_ptr": word_ptr, "words": np.asarray(words)[:word_ptr[n_chunks]],
        "word_shift": np.asarray(shifts), "scales": np.asarray(scales),
    }
