"""One pass over CSR arrays, without the temporaries of NumPy."""

from libc.math cimport isfinite
from libc.stdint cimport int32_t, int64_t, uintptr_t

import numpy as np


def is_clean(const int32_t[::1] indptr, const int32_t[::1] indices, const float[::1] data,
             int64_t n_columns):
    """Whether pointers never fall, indices lie in [0, n_columns), values are finite, and all is aligned."""
    cdef int64_t i, n = indptr.shape[0], nnz = indices.shape[0]
    cdef bint clean = indptr[0] == 0 and indptr[n - 1] == nnz == data.shape[0]
    if clean and nnz > 0:  # each has numbers of four bytes
        clean = ((<uintptr_t> &indptr[0]) | (<uintptr_t> &indices[0]) | (<uintptr_t> &data[0])) % 4 == 0
    if not clean:
        return False
    with nogil:
        for i in range(n - 1):
            clean &= indptr[i] <= indptr[i + 1]
        for i in range(nnz):
            clean &= (0 <= indices[i] < n_columns) & isfinite(data[i])
    return clean


def squared_row_norms(const int64_t[::1] indptr, const float[::1] data):
    """Squared l2 norm of each row, summed in float64: ndarray of shape (n_rows,)."""
    cdef int64_t n_rows = indptr.shape[0] - 1, i, j
    cdef double[::1] norms = np.zeros(n_rows)
    with nogil:
        for i in range(n_rows):
            for j in range(indptr[i], indptr[i + 1]):
                norms[i] += <double> data[j] * data[j]
    return np.asarray(norms)
