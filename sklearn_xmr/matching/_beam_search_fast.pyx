"""Beam search down a label tree: a query, its beam, one chunk of weights per beam node.

Path scores stay in log space until the answer; the product of many small factors would be 0 in float32
and lose the order of weak candidates. A row is searched by one thread from the root to its labels, so
its result depends on nothing but the row.
"""

from cython.parallel cimport parallel, prange
from libc.math cimport INFINITY, expf, nextafterf
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

import numpy as np

from sklearn_xmr.utils._ordered_keys cimport (
    key_identifier, key_score, pack_key, select_largest, sort_descending,
)

from sklearn_xmr.utils._simd import SIMD_VARIANT

# The smallest normal float32: a label that was reached never scores 0, which a CSR would drop.
cdef float LOG_SMALLEST = -87.33654


cdef extern from "_chunk_scores.h" nogil:
    ctypedef struct xmr_chunks
    ctypedef void (*xmr_transformer)(const xmr_chunks*, float, float*, int64_t) noexcept
    ctypedef float (*xmr_bounder)(const float*, int64_t, int64_t) noexcept
    ctypedef int64_t (*xmr_gatherer)(
        const xmr_chunks*, const float*, int64_t, int64_t, float, uint64_t*, int64_t) noexcept
    ctypedef struct xmr_chunks:
        const int64_t* child_ptr
        const int64_t* entry_ptr
        const uint8_t* entries
        const float* scales
        const float* intercepts
        const int64_t* word_ptr
        const uint64_t* words
        const uint8_t* word_shift
        const int32_t* identifiers
        int64_t max_fan_out
        int64_t n_children
        int kind
        float parameter
        xmr_transformer transform
        xmr_gatherer gather
        xmr_bounder bound
    ctypedef struct xmr_products:
        pass
    void xmr_open_products(
        xmr_products*, const xmr_chunks*, const uint64_t*, int64_t, const int32_t*, const float*, int64_t)
    void xmr_next_product(xmr_products*, float, float*)
    void xmr_choose_functions(xmr_chunks* level, int variant, int value_size, int slot_size)
    float xmr_log_sigmoid(float)
    int XMR_IDENTITY


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

    cdef xmr_chunks chunks
    cdef object owners  # keeps the arrays alive

    def __cinit__(self, weights, identifiers):
        cdef xmr_chunks* c = &self.chunks
        cdef int64_t i
        self.owners = (weights, identifiers)
        c.child_ptr = <const int64_t*> address(weights.child_ptr)
        c.entry_ptr = <const int64_t*> address(weights.entry_ptr)
        c.entries = <const uint8_t*> address(weights.entries)
        c.scales = <const float*> address(weights.scales)
        c.intercepts = <const float*> address(weights.intercepts)
        c.word_ptr = <const int64_t*> address(weights.word_ptr)
        c.words = <const uint64_t*> address(weights.words)
        c.word_shift = <const uint8_t*> address(weights.word_shift)
        c.identifiers = NULL if identifiers is None else <const int32_t*> address(identifiers)
        c.n_children = weights.intercepts.size
        c.max_fan_out = 0
        for i in range(weights.child_ptr.size - 1):
            c.max_fan_out = max(c.max_fan_out, c.child_ptr[i + 1] - c.child_ptr[i])
        xmr_choose_functions(
            c, SIMD_VARIANT, np.dtype(weights.value_dtype).itemsize, weights.slot_dtype.itemsize)


cdef const void* address(array) except? NULL:
    """Address of a contiguous array; the caller knows its dtype and keeps it alive."""
    cdef const uint8_t[::1] view = array.view(np.uint8)
    return &view[0] if view.shape[0] else NULL


cdef inline float answer_score(float score, int kind, float parameter) noexcept nogil:
    """Score handed out, in (0, 1], or the margin itself."""
    if kind == XMR_IDENTITY:
        if parameter == 0:
            return score
        score = xmr_log_sigmoid(score)
    return expf(max(score, LOG_SMALLEST))


cdef int64_t search_row(
    xmr_chunks** levels, int n_levels, const Mask* masks, int64_t row, const int32_t* indices,
    const float* data,
    int64_t n, int64_t beam_width, int64_t k, int64_t max_copies, uint64_t* keys, uint64_t* beam,
    float* margins, uint32_t* table,
) noexcept nogil:
    """Search one row; leaves the ranked answers in `beam` and returns their number.

    Beam nodes are taken best first. Once as many candidates as wanted are at hand, the weakest of them is a
    floor: a candidate below it cannot get in, and as no factor exceeds 1, neither can any child of a node
    whose own path score lies below it. The answer is the same as without the floor. Of a label with
    several copies only the best one counts.
    """
    cdef int64_t n_beam = 1, n_candidates, i, first, last, width
    cdef int32_t node
    cdef float path, floor, needed
    cdef const xmr_chunks* level
    cdef xmr_products products
    cdef bint has_copies
    cdef int t
    beam[0] = pack_key(0, 0)
    for t in range(n_levels):
        level = levels[t]
        width = k if t == n_levels - 1 else beam_width
        has_copies = max_copies > 1 and t == n_levels - 1
        n_candidates = 0
        floor = -INFINITY
        xmr_open_products(&products, level, beam, n_beam, indices, data, n)
        for i in range(n_beam):
            path = key_score(beam[i])
            needed = -INFINITY if level.kind == XMR_IDENTITY else floor
            if path < needed:
                break
            node = <int32_t> key_identifier(beam[i])
            first = level.child_ptr[node]
            last = level.child_ptr[node + 1]
            xmr_next_product(&products, needed, margins)
            level.transform(level, path, margins, last - first)
            if masks != NULL:
                mark_forbidden(&masks[t], row, first, last, margins)
            if floor == -INFINITY and not has_copies:
                floor = level.bound(margins, last - first, width)
            n_candidates = level.gather(level, margins, first, last - first, floor, keys, n_candidates)
            if n_candidates > width:
                if has_copies:
                    n_candidates = keep_best_copies(keys, n_candidates, k, max_copies, table)
                else:
                    select_largest(keys, n_candidates, width)
                    n_candidates = width
                if n_candidates == width:
                    floor = key_score(smallest(keys, width))
        if has_copies:
            n_candidates = keep_best_copies(keys, n_candidates, k, max_copies, table)
        else:
            sort_descending(keys, n_candidates)
        n_beam = n_candidates
        memcpy(beam, keys, n_beam * sizeof(uint64_t))
    return n_beam


cdef int64_t keep_best_copies(
    uint64_t* keys, int64_t n, int64_t k, int64_t max_copies, uint32_t* table,
) noexcept nogil:
    """Move the best copies of the k best labels to the front, best first; returns their number."""
    cdef int64_t n_kept = 0, i
    cdef uint32_t slot, label, mask
    i = min(n, k * max_copies)  # enough for k labels
    select_largest(keys, n, i)
    n = i
    sort_descending(keys, n)
    mask = <uint32_t> (table_size(n) - 1)
    memset(table, 0xff, (<size_t> mask + 1) * sizeof(uint32_t))  # no label is 2 ** 32 - 1
    for i in range(n):
        label = key_identifier(keys[i])
        slot = (label * <uint32_t> 2654435769) & mask
        while table[slot] != label and table[slot] != <uint32_t> 0xffffffff:
            slot = (slot + 1) & mask
        if table[slot] == label:
            continue
        table[slot] = label
        keys[n_kept] = keys[i]
        n_kept += 1
        if n_kept == k:
            break
    return n_kept


cdef inline int64_t table_size(int64_t n) noexcept nogil:
    """Places of a hash table for `n` labels that stays at most half full: a power of two."""
    cdef int64_t size = 2
    while size < 2 * n:
        size *= 2
    return size


cdef inline uint64_t smallest(const uint64_t* keys, int64_t n) noexcept nogil:
    cdef uint64_t least = keys[0]
    cdef int64_t i
    for i in range(1, n):
        least = min(least, keys[i])
    return least


cdef void mark_forbidden(
    const Mask* mask, int64_t row, int64_t first, int64_t last, float* scores,
) noexcept nogil:
    """Score children that the mask does not allow -inf."""
    cdef int64_t j = 0 if mask.is_shared else row, child
    cdef const int32_t* end = mask.indices + mask.indptr[j + 1]
    cdef const int32_t* allowed = lower_bound(mask.indices + mask.indptr[j], end, <int32_t> first)
    for child in range(first, last):
        if allowed < end and allowed[0] == child:
            allowed += 1
        else:
            scores[child - first] = -INFINITY


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
    transforms : list of tuple of (int, float)
        Kind and parameter of the score transform per level; the parameter 0 of an identity on the last
        one asks for margins in place of scores.
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
    beam_width = min(beam_width, <int64_t> 1 << 31)  # no level is wider; products stay in range
    cdef int64_t k = labels.shape[1]
    cdef int64_t beam_size = max(beam_width, k) + 1, widest = 1, width = 1
    cdef int kind
    cdef float parameter
    cdef xmr_chunks tables[64]
    cdef xmr_chunks* pointers[64]
    cdef Mask mask_table[64]
    cdef Mask* mask_p = NULL
    cdef const int64_t[::1] mask_indptr
    cdef const int32_t[::1] mask_indices
    cdef LevelKernel level
    cdef uint64_t* keys
    cdef uint64_t* beam
    cdef float* margins
    cdef uint32_t* table
    cdef int failure = 0
    cdef int* failed = &failure
    cdef const int32_t* indices_p = &indices[0] if indices.shape[0] else NULL
    cdef const float* data_p = &data[0] if data.shape[0] else NULL

    if n_samples == 0:
        return
    for t in range(n_levels):
        level = levels[t]
        tables[t] = level.chunks
        tables[t].kind, tables[t].parameter = transforms[t]
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
    kind, parameter = tables[n_levels - 1].kind, tables[n_levels - 1].parameter
    beam_size = min(beam_size, most + 1)

    with nogil, parallel(num_threads=n_threads):
        keys = <uint64_t*> malloc((most + 1) * sizeof(uint64_t))  # a child may be written and not counted
        beam = <uint64_t*> malloc(beam_size * sizeof(uint64_t))
        margins = <float*> malloc(2 * widest * sizeof(float))
        table = <uint32_t*> malloc(table_size(min(most, k * max_copies)) * sizeof(uint32_t))
        for i in prange(n_samples, schedule="dynamic", chunksize=16):
            if keys == NULL or beam == NULL or margins == NULL or table == NULL:
                failed[0] = 1
            else:
                n_found = search_row(
                    pointers, n_levels, mask_p, i, indices_p + indptr[i], data_p + indptr[i],
                    indptr[i + 1] - indptr[i], beam_width, k, max_copies, keys, beam, margins, table)
                write_answers(beam, n_found, kind, parameter, &labels[i, 0], &scores[i, 0], k)
        free(keys)
        free(beam)
        free(margins)
        free(table)
    if failure:
        raise MemoryError("Not enough memory to search the label tree.")


cdef void write_answers(
    const uint64_t* keys, int64_t n_found, int kind, float parameter, int32_t* labels, float* scores,
    int64_t k,
) noexcept nogil:
    """Ranked keys to labels and scores; what differs in its logarithm differs in its score."""
    cdef int64_t i
    for i in range(n_found):
        labels[i] = <int32_t> key_identifier(keys[i])
        scores[i] = answer_score(key_score(keys[i]), kind, parameter)
        if i and scores[i] >= scores[i - 1]:
            scores[i] = scores[i - 1]
            if key_score(keys[i]) < key_score(keys[i - 1]):
                scores[i] = nextafterf(scores[i], 0)
    for i in range(n_found, k):
        labels[i] = -1
        scores[i] = -INFINITY
