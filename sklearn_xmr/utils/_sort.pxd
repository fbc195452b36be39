# Radix sort of column indices.

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset


cdef inline void sort_indices(int32_t* values, int32_t* scratch, int64_t n) noexcept nogil:
    """Sort non-negative integers, 11 bits a pass; short lists by insertion."""
    cdef int64_t counts[2048]
    cdef int64_t i, j, total, count
    cdef int shift, digit
    cdef int32_t value
    cdef int32_t* source = values
    cdef int32_t* target = scratch
    if n <= 48:
        for i in range(1, n):
            value = values[i]
            j = i
            while j > 0 and values[j - 1] > value:
                values[j] = values[j - 1]
                j -= 1
            values[j] = value
        return
    for shift in range(0, 33, 11):
        memset(counts, 0, sizeof(counts))
        for i in range(n):
            counts[(source[i] >> shift) & 2047] += 1
        total = 0
        for digit in range(2048):
            count = counts[digit]
            counts[digit] = total
            total += count
        for i in range(n):
            digit = (source[i] >> shift) & 2047
            target[counts[digit]] = source[i]
            counts[digit] += 1
        source, target = target, source
    memcpy(values, source, n * sizeof(int32_t))  # three passes end in scratch
