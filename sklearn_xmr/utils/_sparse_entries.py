"""Entries of sparse matrices: where they are, not what they hold."""

import numpy as np
import scipy.sparse as sp


def pattern_of(matrix):
    """CSR matrix of float32 ones where `matrix`, which shares its index arrays, stores something."""
    return sp.csr_array(
        (np.ones(matrix.nnz, np.float32), matrix.indices.astype(np.int32, copy=False), matrix.indptr),
        shape=matrix.shape,
    )


def contains_entries(matrix, rows, columns):
    """Whether a matrix stores an entry, position by position.

    Parameters
    ----------
    matrix : csr_array
        In canonical format.
    rows, columns : ndarray of int of shape (n_positions,)

    Returns
    -------
    is_stored : ndarray of bool of shape (n_positions,)
    """
    if matrix.nnz == 0:
        return np.zeros(rows.size, dtype=bool)
    width = np.int64(matrix.shape[1])
    stored = np.repeat(np.arange(matrix.shape[0]) * width, np.diff(matrix.indptr)) + matrix.indices
    wanted = rows * width + columns
    return stored[np.minimum(np.searchsorted(stored, wanted), stored.size - 1)] == wanted
