"""Checks of CSR arrays in one pass."""

from libc.math cimport isfinite
from libc.stdint cimport int32_t, int64_t

ctypedef fused integral:
    int32_t
    int64_t


def is_clean(const integral[::1] indptr, const int32_t[::1] indices, const float[::1] data,
             int64_t n_columns):
    """Whether pointers never fall, indices lie in [0, n_columns) and values are finite."""
    cdef int64_t i, n = indptr.shape[0], nnz = indices.shape[0]
    cdef bint clean = indptr[0] == 0 and indptr[n - 1] == nnz == data.shape[0]
    with nogil:
        for i in range(n - 1):
            clean &= indptr[i] <= indptr[i + 1]
        for i in range(nnz):
            clean &= (0 <= indices[i] < n_columns) & isfinite(data[i])
    return clean
