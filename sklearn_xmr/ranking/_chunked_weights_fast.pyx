"""Feature directories of weight chunks."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

import numpy as np


def build_buckets(const int64_t[::1] chunk_ptr, const int32_t[::1] features, const int64_t[::1] bucket_ptr,
                  const uint8_t[::1] bucket_shift):
    """First row of each bucket of each chunk.

    Parameters
    ----------
    chunk_ptr : (n_chunks + 1,)
        Rows of each chunk.
    features : (n_rows,)
        Ascending within a chunk.
    bucket_ptr : (n_chunks + 1,)
        Room of each chunk in the result: its number of buckets and one end.
    bucket_shift : (n_chunks,)
        A feature's bucket is ``feature >> shift``.

    Returns
    -------
    buckets : ndarray of shape (bucket_ptr[-1],), dtype uint32
        Row numbers within the chunk.
    """
    cdef int64_t n_chunks = chunk_ptr.shape[0] - 1, c, row, first, n_rows, b, n_buckets
    cdef uint32_t[::1] buckets = np.empty(bucket_ptr[n_chunks], dtype=np.uint32)
    for c in range(n_chunks):
        first = chunk_ptr[c]
        n_rows = chunk_ptr[c + 1] - first
        n_buckets = bucket_ptr[c + 1] - bucket_ptr[c]
        row = 0
        for b in range(n_buckets):
            while row < n_rows and (features[first + row] >> bucket_shift[c]) < b:
                row += 1
            buckets[bucket_ptr[c] + b] = <uint32_t> row
    return np.asarray(buckets)
