"""Look up many entries of a sparse matrix at once."""

import numpy as np


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
