# Ranking by one integer comparison. A candidate (score, id) becomes a 64-bit key whose unsigned order
# is "higher score first, then smaller id": the tie rule of the whole library in one place.

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy


cdef inline uint64_t pack_key(float score, uint32_t identifier) noexcept nogil:
    """Key that grows with `score` and, among equal scores, shrinks with `identifier`."""
    cdef uint32_t bits
    score += <float> 0.0  # -0.0 and 0.0 are one score
    memcpy(&bits, &score, 4)
    # IEEE floats order like sign-magnitude integers: flip all bits of negatives, the sign of others.
    bits = ~bits if bits >> 31 else bits | <uint32_t> 0x80000000
    return (<uint64_t> bits << 32) | <uint32_t> ~identifier


cdef inline float key_score(uint64_t key) noexcept nogil:
    cdef uint32_t bits = <uint32_t> (key >> 32)
    cdef float score
    bits = bits & <uint32_t> 0x7fffffff if bits >> 31 else ~bits
    memcpy(&score, &bits, 4)
    return score


cdef inline uint32_t key_identifier(uint64_t key) noexcept nogil:
    return ~<uint32_t> key


cdef inline void select_largest(uint64_t* keys, int64_t n, int64_t k) noexcept nogil:
    """Move the `k` largest of `n` distinct keys to the front, in any order (quickselect)."""
    cdef int64_t left = 0, right = n - 1, i, j
    cdef uint64_t pivot, a, b, c
    if k >= n:
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
    """Heap sort: no recursion, no worst case, and `n` is a beam width or a small k."""
    cdef int64_t start = n // 2, end = n, root, child
    cdef uint64_t key
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
