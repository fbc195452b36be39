# Keys of candidates, see _ordered_keys.h, and their order.

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy


cdef extern from "../utils/_ordered_keys.h" nogil:
    uint64_t pack_key "xmr_pack_key"(float score, uint32_t identifier) noexcept
    float key_score "xmr_key_score"(uint64_t key) noexcept
    uint32_t key_identifier "xmr_key_identifier"(uint64_t key) noexcept


# Up to so many keys are sorted by counting.
cdef enum:
    FEW = 32


cdef inline void sort_few(uint64_t* keys, int64_t n) noexcept nogil:
    """Sort at most `FEW` keys, largest first, each to the place that the number of larger ones says.

    As many comparisons as pairs, but no branch depends on them, and a wrong guess costs as much as twenty.
    """
    cdef uint64_t[FEW] ordered
    cdef int64_t i, j, n_larger
    for i in range(n):
        n_larger = 0
        for j in range(i):
            n_larger += keys[j] >= keys[i]
        for j in range(i + 1, n):
            n_larger += keys[j] > keys[i]
        ordered[n_larger] = keys[i]
    memcpy(keys, ordered, n * sizeof(uint64_t))


cdef inline void select_largest(uint64_t* keys, int64_t n, int64_t k) noexcept nogil:
    """Move the `k` largest of `n` keys to the front, in any order (quickselect)."""
    cdef int64_t left = 0, right = n - 1, i, j
    cdef uint64_t pivot, a, b, c
    if k >= n:
        return
    if n <= FEW:
        sort_few(keys, n)
        return
    while left < right:
        a, b, c = keys[left], keys[(left + right) >> 1], keys[right]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = left, right
        while i <= j:
            while keys[i] > pivot:
                i += 1
            while keys[j] < pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            right = j
        elif k - 1 >= i:
            left = i
        else:
            return


cdef inline void sort_descending(uint64_t* keys, int64_t n) noexcept nogil:
    """Largest first. Many are sorted by a heap: no recursion, no worst case."""
    cdef int64_t start = n // 2, end = n, root, child
    cdef uint64_t key
    if n <= FEW:
        sort_few(keys, n)
        return
    while end > 1:
        if start > 0:
            start -= 1
        else:
            end -= 1
            keys[0], keys[end] = keys[end], keys[0]
            if end == 1:
                return
        root = start
        key = keys[root]
        while True:
            child = 2 * root + 1
            if child >= end:
                break
            if child + 1 < end and keys[child + 1] < keys[child]:
                child += 1
            if keys[child] >= key:
                break
            keys[root] = keys[child]
            root = child
        keys[root] = key
