"""Features of several kinds side by side."""

import numpy as np
import scipy.sparse as sp
from sklearn.preprocessing import normalize

from sklearn_xmr.utils._csr_fast import squared_row_norms
from sklearn_xmr.utils._validation import as_kernel_csr


def join_features(features, embeddings, embedding_weight):
    """[features, embedding_weight * unit embeddings] as csr_array of float32; features may be None."""
    indptr, indices, data = as_kernel_csr(np.float32(embedding_weight) * normalize(embeddings))
    dense = sp.csr_array((data, indices, indptr), shape=embeddings.shape)
    return dense if features is None else sp.csr_array(sp.hstack([features, dense], format="csr"))


#: Solvers compute with squares of lengths, in float32.
LONGEST_ROW = 1e18


def mean_row_length(X, sample_weight):
    """Mean Euclidean length of the rows of a matrix of float32; a row of weight n counts as n rows do.

    Raises
    ------
    ValueError
        If a row is too long to learn from.
    """
    if isinstance(X, np.ndarray):
        squares = np.einsum("ij,ij->i", X, X, dtype=np.float64)
    else:
        indptr, _, data = as_kernel_csr(X)
        squares = squared_row_norms(indptr, data)
    lengths = np.sqrt(squares)
    if lengths.max() > LONGEST_ROW:
        raise ValueError(
            f"X must have rows of a length up to {LONGEST_ROW:g}, got one of {lengths.max():g}; scale the "
            "features, such as by sklearn.preprocessing.MaxAbsScaler."
        )
    return float(np.average(lengths, weights=sample_weight))


#: Fewer dense columns are not worth a path of their own.
FEWEST_DENSE = 16
#: Share of the rows that must store all of them.
SHARE_DENSE = 0.9


def trailing_dense_columns(indptr, indices, n_columns):
    """How many of the last columns most rows store all of, 0 if fewer than FEWEST_DENSE.

    Embeddings appended to sparse features are such columns. A row with a zero among them does without.

    Parameters
    ----------
    indptr, indices : ndarrays
        Of a canonical CSR matrix.
    n_columns : int

    Returns
    -------
    n_dense : int
    """
    lengths = np.diff(indptr)

    def is_dense(n):
        # a row that stores the last n columns, and no other, has the first of them n entries before its end
        ends = indptr[1:][lengths >= n]
        return np.count_nonzero(indices[ends - n] == n_columns - n) >= max(SHARE_DENSE * lengths.size, 1)

    if n_columns < FEWEST_DENSE or not is_dense(FEWEST_DENSE):
        return 0
    low, high = FEWEST_DENSE, n_columns + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_dense(middle) else (low, middle)
    return low
