"""Label vectors as the clustering reads them, and the centres of their leaves."""

import numpy as np
import scipy.sparse as sp
from sklearn.preprocessing import normalize

from sklearn_xmr.utils._csr_fast import squared_row_norms
from sklearn_xmr.utils._sparse_product import sparse_product
from sklearn_xmr.utils._validation import as_kernel_array, as_kernel_csr


def row_factors(rows, spherical):
    """Factor of each row, so that no entry exceeds 1: 0 for a zero row, or one too short for float32.

    Otherwise the inverse length if `spherical`, else one power of two for all rows.
    """
    indptr, _, data = kernel_arrays(rows)
    norms = np.sqrt(squared_row_norms(indptr, data))
    scales = norms if spherical else 2.0 ** np.frexp(norms.max())[1]
    is_known = (norms > 0) & (scales >= np.finfo(np.float32).tiny)
    return np.divide(1.0, scales, out=np.zeros(norms.size), where=is_known)


def fixed_point_scale(n_rows):
    """Power of two by which sums of `n_rows` numbers up to 1 stay below 2 ** 62, at most 2 ** 40."""
    return 2.0 ** min(40, 61 - n_rows.bit_length())


def kernel_arrays(rows):
    """(indptr, indices, data) of a CSR matrix; of a dense one, `indices` is empty."""
    if sp.issparse(rows):
        return as_kernel_csr(rows)
    n_rows, n_columns = rows.shape
    indptr = np.arange(n_rows + 1, dtype=np.int64) * n_columns
    return indptr, np.empty(0, dtype=np.int32), as_kernel_array(rows, np.float32).reshape(-1)


def leaf_centers(rows, factors, leaves, n_leaves, spherical):
    """Normalised sum (`spherical`) or mean of the rows of each leaf, zero rows left out.

    `factors` are those of `row_factors`. A leaf of zero rows alone has a zero centre. Sparse if `rows`
    are.
    """
    known = np.flatnonzero(factors)
    counts = np.bincount(leaves[known], minlength=n_leaves)
    weights = factors[known] if spherical else 1.0 / counts[leaves[known]]
    indicator = sp.csr_array(
        (weights.astype(np.float32), (leaves[known], known)), shape=(n_leaves, rows.shape[0])
    )
    centers = sparse_product(indicator, rows) if sp.issparse(rows) else indicator @ rows
    return normalize(centers, copy=False) if spherical else centers
