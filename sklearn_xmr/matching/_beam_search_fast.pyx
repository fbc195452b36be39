"""Beam search down a label tree: a query, its beam, one chunk of weights per beam node.

Path scores stay in log space until the answer; the product of many small factors would be 0 in float32
and lose the order of weak candidates. A row is searched by one thread from the root to its labels, so
its result depends on nothing but the row.
"""

from cython.parallel cimport parallel, prange
from libc.math cimport INFINITY, expf, fabsf, log1pf
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from sklearn_xmr.utils._ordered_keys cimport (
    key_identifier, key_score, pack_key, select_largest, sort_descending,
)

cdef enum:
    IDENTITY = 0
    SIGMOID = 1
    HINGE = 2

# The smallest normal float32: a label that was reached never scores 0, which a CSR would drop.
cdef float LOG_SMALLEST = -87.33654


cdef struct Chunks:
    const int64_t* child_ptr
    const int64_t* chunk_ptr
    const int32_t* features
    const int64_t* entry_ptr
    const uint32_t* row_ptr
    const uint16_t* short_slots  # one of the two is NULL
    const uint32_t* wide_slots
    const float* values
    const float* intercepts
    const int64_t* bucket_ptr
    const uint8_t* bucket_shift
    const uint32_t* buckets
    const int32_t* identifiers   # label of each child, NULL: its own number
    int32_t n_features
    int64_t max_fan_out
    int64_t n_children
    int kind
    int power


cdef struct Mask:
    # Allowed children per row, ascending; a single row stands for all.
    const int64_t* indptr
    const int32_t* indices
    bint is_shared


cdef class LevelKernel:
    """A level's weights with their addresses taken, ready for the search.

    Parameters
    ----------
    weights : ChunkedWeights
        Weights of the level.
    identifiers : ndarray of shape (n_children,), dtype int32, or None
        What to report for each child: labels at the lowest level; None for the child's number.
    """

    cdef Chunks chunks
    cdef object owners  # keeps the arrays alive

    def __cinit__(self, weights, identifiers):
        cdef const int64_t[::1] child_ptr = weights.child_ptr
        cdef const int64_t[::1] chunk_ptr = weights.chunk_ptr
        cdef const int32_t[::1] features = weights.features
        cdef const int64_t[::1] entry_ptr = weights.entry_ptr
        cdef const uint32_t[::1] row_ptr = weights.row_ptr
        cdef const float[::1] values = weights.values
        cdef const float[::1] intercepts = weights.intercepts
        cdef const int64_t[::1] bucket_ptr = weights.bucket_ptr
        cdef const uint8_t[::1] bucket_shift = weights.bucket_shift
        cdef const uint32_t[::1] buckets = weights.buckets
        cdef const int32_t[::1] labels
        cdef const uint16_t[::1] short_slots
        cdef const uint32_t[::1] wide_slots
        cdef int64_t i
        self.owners = (weights, identifiers)
        self.chunks.child_ptr = &child_ptr[0]
        self.chunks.chunk_ptr = &chunk_ptr[0]
        self.chunks.features = &features[0] if features.shape[0] else NULL
        self.chunks.entry_ptr = &entry_ptr[0]
        self.chunks.row_ptr = &row_ptr[0]
        self.chunks.short_slots = NULL
        self.chunks.wide_slots = NULL
        if weights.slots.dtype.itemsize == 2:
            short_slots = weights.slots
            self.chunks.short_slots = &short_slots[0] if short_slots.shape[0] else NULL
        else:
            wide_slots = weights.slots
            self.chunks.wide_slots = &wide_slots[0] if wide_slots.shape[0] else NULL
        self.chunks.values = &values[0] if values.shape[0] else NULL
        self.chunks.intercepts = &intercepts[0]
        self.chunks.bucket_ptr = &bucket_ptr[0]
        self.chunks.bucket_shift = &bucket_shift[0]
        self.chunks.buckets = &buckets[0]
        self.chunks.identifiers = NULL
        if identifiers is not None:
            labels = identifiers
            self.chunks.identifiers = &labels[0]
        self.chunks.n_features = weights.n_features
        self.chunks.n_children = intercepts.shape[0]
        self.chunks.max_fan_out = 0
        for i in range(child_ptr.shape[0] - 1):
            self.chunks.max_fan_out = max(self.chunks.max_fan_out, child_ptr[i + 1] - child_ptr[i])


cdef inline int64_t find_row(const Chunks* level, int64_t chunk, int32_t feature) noexcept nogil:
    """Row of a feature within a chunk, -1 if it has none."""
    cdef const int32_t* features = level.features + level.chunk_ptr[chunk]
    cdef const uint32_t* bucket = (
        level.buckets + level.bucket_ptr[chunk] + (feature >> level.bucket_shift[chunk]))
    cdef int64_t low = bucket[0], high = bucket[1], middle
    while high - low > 8:  # crowded bucket: features are not spread evenly over their numbers
        middle = (low + high) >> 1
        if features[middle] < feature:
            low = middle + 1
        else:
            high = middle + 1
    while low < high and features[low] < feature:
        low += 1
    return low if low < high and features[low] == feature else -1


cdef inline void add_chunk(const Chunks* level, int64_t chunk, const int32_t* indices, const float* data,
                           int64_t n, float* margins) noexcept nogil:
    """Margins of a node's children: their intercepts plus the query times the chunk."""
    cdef int64_t first_child = level.child_ptr[chunk]
    cdef const uint32_t* row_ptr = level.row_ptr + level.chunk_ptr[chunk] + chunk
    cdef int64_t base = level.entry_ptr[chunk], j, row, e
    cdef float x
    memcpy(margins, level.intercepts + first_child,
           (level.child_ptr[chunk + 1] - first_child) * sizeof(float))
    if level.chunk_ptr[chunk] == level.chunk_ptr[chunk + 1]:
        return
    for j in range(n):
        row = find_row(level, chunk, indices[j])
        if row < 0:
            continue
        x = data[j]
        if level.short_slots != NULL:
            for e in range(base + row_ptr[row], base + row_ptr[row + 1]):
                margins[level.short_slots[e]] += x * level.values[e]
        else:
            for e in range(base + row_ptr[row], base + row_ptr[row + 1]):
                margins[level.wide_slots[e]] += x * level.values[e]


cdef inline float log_factor(float margin, int kind, int power) noexcept nogil:
    """Log of the score transform; the margin itself for the identity."""
    cdef float slack, result
    cdef int _i
    if kind == HINGE:
        if margin >= 1:
            return 0
        slack = 1 - margin
        result = slack
        for _i in range(power - 1):
            result = result * slack
        return -result
    if kind == SIGMOID:
        return (margin if margin < 0 else 0) - log1pf(expf(-fabsf(margin)))
    return margin


cdef inline float answer_score(float score, int kind) noexcept nogil:
    """Score handed out, in (0, 1]."""
    if kind == IDENTITY:
        score = log_factor(score, SIGMOID, 1)
    return expf(max(score, LOG_SMALLEST))


cdef int64_t search_row(
    Chunks** levels, int n_levels, const Mask* masks, int64_t row, const int32_t* indices,
    const float* data,
    int64_t n, int64_t beam_width, int64_t n_answers, uint64_t* keys, uint64_t* beam, float* margins,
) noexcept nogil:
    """Search one row; leaves the ranked answers in `keys` and returns their number."""
    cdef int64_t n_beam = 1, n_candidates = 0, i, j, child, first, last, width
    cdef int32_t node
    cdef float path, score
    cdef const Chunks* level
    cdef const Mask* mask
    cdef const int32_t* allowed
    cdef const int32_t* allowed_end
    cdef int t
    beam[0] = pack_key(0, 0)
    for t in range(n_levels):
        level = levels[t]
        mask = &masks[t] if masks != NULL else NULL
        n_candidates = 0
        for i in range(n_beam):
            node = <int32_t> key_identifier(beam[i])
            path = 0 if level.kind == IDENTITY else key_score(beam[i])
            first = level.child_ptr[node]
            last = level.child_ptr[node + 1]
            add_chunk(level, node, indices, data, n, margins)
            if mask != NULL:
                j = 0 if mask.is_shared else row
                allowed = mask.indices + mask.indptr[j]
                allowed_end = mask.indices + mask.indptr[j + 1]
                allowed = lower_bound(allowed, allowed_end, <int32_t> first)
            for child in range(first, last):
                if mask != NULL:
                    if allowed == allowed_end or allowed[0] >= last:
                        break
                    if allowed[0] != child:
                        continue
                    allowed += 1
                score = path + log_factor(margins[child - first], level.kind, level.power)
                if score == -INFINITY:
                    continue
                keys[n_candidates] = pack_key(
                    score, <uint32_t> (child if level.identifiers == NULL else level.identifiers[child]))
                n_candidates += 1
        width = n_answers if t == n_levels - 1 else beam_width
        n_beam = min(width, n_candidates)
        select_largest(keys, n_candidates, width)
        memcpy(beam, keys, n_beam * sizeof(uint64_t))
    sort_descending(keys, n_beam)
    return n_beam


cdef inline const int32_t* lower_bound(
    const int32_t* begin, const int32_t* end, int32_t value,
) noexcept nogil:
    cdef const int32_t* middle
    while begin < end:
        middle = begin + (end - begin) // 2
        if middle[0] < value:
            begin = middle + 1
        else:
            end = middle
    return begin


def beam_search_csr(
    list levels,
    list transforms,
    masks,
    const int64_t[::1] indptr,
    const int32_t[::1] indices,
    const float[::1] data,
    int64_t beam_width,
    int64_t max_copies,
    int32_t[:, ::1] labels,
    float[:, ::1] scores,
    int n_threads,
):
    """Rank the labels of every row.

    Parameters
    ----------
    levels : list of LevelKernel
        From the top.
    transforms : list of tuple of (int, int)
        Kind and power of the score transform per level.
    masks : list of tuple of (indptr, indices), or None
        Allowed children per level, as CSR patterns of one row or of n_samples rows.
    indptr, indices, data : CSR arrays of X
        Column indices are smaller than the number of features.
    beam_width : int
        Nodes kept per inner level.
    max_copies : int
        Most slots that one label has in the tree.
    labels : ndarray of shape (n_samples, k), dtype int32
        Output: best labels first, -1 where there are fewer.
    scores : ndarray of shape (n_samples, k), dtype float32
        Output: their scores in (0, 1], -inf where there are fewer.
    n_threads : int
        1 starts no thread team.
    """
    cdef int n_levels = len(levels), t
    cdef int64_t n_samples = indptr.shape[0] - 1, i, n_found, most = 1
    cdef int64_t k = labels.shape[1], n_answers = k * max_copies
    cdef int64_t beam_size = max(beam_width, n_answers) + 1, widest = 1, width = 1
    cdef int kind
    cdef Chunks tables[64]
    cdef Chunks* pointers[64]
    cdef Mask mask_table[64]
    cdef Mask* mask_p = NULL
    cdef const int64_t[::1] mask_indptr
    cdef const int32_t[::1] mask_indices
    cdef LevelKernel level
    cdef uint64_t* keys
    cdef uint64_t* beam
    cdef float* margins
    cdef int failure = 0
    cdef int* failed = &failure
    cdef const int32_t* indices_p = &indices[0] if indices.shape[0] else NULL
    cdef const float* data_p = &data[0] if data.shape[0] else NULL

    if n_samples == 0:
        return
    for t in range(n_levels):
        level = levels[t]
        tables[t] = level.chunks
        tables[t].kind, tables[t].power = transforms[t]
        pointers[t] = &tables[t]
        widest = max(widest, tables[t].max_fan_out)
        most = max(most, min(tables[t].n_children, width * tables[t].max_fan_out))
        width = beam_width
        if masks is not None:
            mask_indptr, mask_indices = masks[t]
            mask_table[t].indptr = &mask_indptr[0]
            mask_table[t].indices = &mask_indices[0] if mask_indices.shape[0] else NULL
            mask_table[t].is_shared = mask_indptr.shape[0] == 2
            mask_p = mask_table
    kind = tables[n_levels - 1].kind
    beam_size = min(beam_size, most + 1)

    with nogil, parallel(num_threads=n_threads):
        keys = <uint64_t*> malloc(most * sizeof(uint64_t))
        beam = <uint64_t*> malloc(beam_size * sizeof(uint64_t))
        margins = <float*> malloc(widest * sizeof(float))
        for i in prange(n_samples, schedule="dynamic", chunksize=16):
            if keys == NULL or beam == NULL or margins == NULL:
                failed[0] = 1
            else:
                n_found = search_row(
                    pointers, n_levels, mask_p, i, indices_p + indptr[i], data_p + indptr[i],
                    indptr[i + 1] - indptr[i], beam_width, n_answers, keys, beam, margins)
                write_answers(keys, n_found, kind, max_copies, &labels[i, 0], &scores[i, 0], k)
        free(keys)
        free(beam)
        free(margins)
    if failure:
        raise MemoryError("Not enough memory to search the label tree.")


cdef void write_answers(
    const uint64_t* keys, int64_t n_found, int kind, int64_t max_copies, int32_t* labels, float* scores,
    int64_t k,
) noexcept nogil:
    """Ranked keys to labels and scores; a label with several copies keeps its best one."""
    cdef int64_t i, j, n = 0
    cdef int32_t label
    for i in range(n_found):
        if n == k:
            break
        label = <int32_t> key_identifier(keys[i])
        if max_copies > 1:
            j = 0
            while j < n and labels[j] != label:
                j = j + 1
            if j < n:
                continue
        labels[n] = label
        scores[n] = answer_score(key_score(keys[i]), kind)
        n += 1
    for i in range(n, k):
        labels[i] = -1
        scores[i] = -INFINITY
