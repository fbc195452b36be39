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
    matrix : csr_array of shape (n_rows, n_columns)
        In canonical format.
    rows, columns : ndarray of int
        Of shapes that broadcast. Negative columns are never stored.

    Returns
    -------
    is_stored : ndarray of bool
    """
    width = np.int64(matrix.shape[1])
    starts = np.arange(matrix.shape[0]) * width
    stored = np.repeat(starts, np.diff(matrix.indptr)) + matrix.indices
    wanted = rows * width + columns
    found = np.searchsorted(stored, wanted)
    return (columns >= 0) & (np.append(stored, -1)[found] == wanted)
