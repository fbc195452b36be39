"""Product of two CSR matrices, row by row in parallel, with sorted rows.

SciPy's product runs on one thread and leaves its rows unsorted, and sorting them costs as much again.
"""

from cython.parallel cimport parallel, prange
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free, malloc

import numpy as np

from sklearn_xmr.utils._sort cimport sort_indices


cdef int64_t count_row(
    int64_t row, const int64_t* a_ptr, const int32_t* a_indices, const int64_t* b_ptr,
    const int32_t* b_indices, int64_t* seen,
) noexcept nogil:
    """Number of distinct columns of a row of the product; `seen` holds row + 1 where one was met."""
    cdef int64_t i, j, n = 0
    for i in range(a_ptr[row], a_ptr[row + 1]):
        for j in range(b_ptr[a_indices[i]], b_ptr[a_indices[i] + 1]):
            if seen[b_indices[j]] != row + 1:
                seen[b_indices[j]] = row + 1
                n += 1
    return n


cdef void fill_row(
    int64_t row, const int64_t* a_ptr, const int32_t* a_indices, const float* a_data, const int64_t* b_ptr,
    const int32_t* b_indices, const float* b_data, int64_t* seen, float* sums, int32_t* scratch,
    int32_t* indices, float* data,
) noexcept nogil:
    cdef int64_t i, j, n = 0
    cdef int32_t column
    for i in range(a_ptr[row], a_ptr[row + 1]):
        for j in range(b_ptr[a_indices[i]], b_ptr[a_indices[i] + 1]):
            column = b_indices[j]
            if seen[column] != row + 1:
                seen[column] = row + 1
                sums[column] = 0
                indices[n] = column
                n += 1
            sums[column] += a_data[i] * b_data[j]
    sort_indices(indices, scratch, n)
    for i in range(n):
        data[i] = sums[indices[i]]


def multiply_csr_csr(
    const int64_t[::1] a_indptr, const int32_t[::1] a_indices, const float[::1] a_data,
    const int64_t[::1] b_indptr, const int32_t[::1] b_indices, const float[::1] b_data, int64_t n_columns,
    int n_threads,
):
    """CSR arrays of A @ B.

    Parameters
    ----------
    a_indptr, a_indices, a_data : CSR arrays of A
    b_indptr, b_indices, b_data : CSR arrays of B
    n_columns : int
        Columns of B.
    n_threads : int
        Does not change the result: a row is summed by one thread, in the order of A's row.

    Returns
    -------
    indptr, indices, data : ndarray of int64, int32, float32
        Rows are sorted, without duplicates.
    """
    cdef int64_t n_rows = a_indptr.shape[0] - 1, row
    cdef int64_t[::1] indptr = np.zeros(n_rows + 1, dtype=np.int64)
    # the address of a first element exists even where there is none to read
    cdef const int32_t[::1] a_safe = a_indices if a_indices.shape[0] else np.zeros(1, dtype=np.int32)
    cdef const float[::1] a_values = a_data if a_data.shape[0] else np.zeros(1, dtype=np.float32)
    cdef const int32_t[::1] b_safe = b_indices if b_indices.shape[0] else np.zeros(1, dtype=np.int32)
    cdef const float[::1] b_values = b_data if b_data.shape[0] else np.zeros(1, dtype=np.float32)
    cdef const int64_t* a_ptr = &a_indptr[0]
    cdef const int64_t* b_ptr = &b_indptr[0]
    cdef int64_t* seen
    cdef float* sums
    cdef int32_t* scratch
    cdef int failure = 0
    cdef int* failed = &failure

    with nogil, parallel(num_threads=n_threads):
        seen = <int64_t*> calloc(n_columns + 1, sizeof(int64_t))
        for row in prange(n_rows, schedule="dynamic", chunksize=16):
            if seen == NULL:
                failed[0] = 1
            else:
                indptr[row + 1] = count_row(row, a_ptr, &a_safe[0], b_ptr, &b_safe[0], seen)
        free(seen)
    if failure:
        raise MemoryError
    np.cumsum(indptr, out=np.asarray(indptr))
    cdef int64_t nnz = indptr[n_rows]
    cdef int32_t[::1] indices = np.empty(nnz + 1, dtype=np.int32)
    cdef float[::1] data = np.empty(nnz + 1, dtype=np.float32)
    with nogil, parallel(num_threads=n_threads):
        seen = <int64_t*> calloc(n_columns + 1, sizeof(int64_t))
        sums = <float*> malloc((n_columns + 1) * sizeof(float))
        scratch = <int32_t*> malloc((n_columns + 1) * sizeof(int32_t))
        for row in prange(n_rows, schedule="dynamic", chunksize=16):
            if seen == NULL or sums == NULL or scratch == NULL:
                failed[0] = 1
            else:
                fill_row(row, a_ptr, &a_safe[0], &a_values[0], b_ptr, &b_safe[0], &b_values[0], seen, sums,
                         scratch, &indices[indptr[row]], &data[indptr[row]])
        free(seen)
        free(sums)
        free(scratch)
    if failure:
        raise MemoryError
    return np.asarray(indptr), np.asarray(indices)[:nnz], np.asarray(data)[:nnz]
