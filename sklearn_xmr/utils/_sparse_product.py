"""Sparse times sparse."""

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.utils._sparse_product_fast import multiply_csr_csr
from sklearn_xmr.utils._threads import effective_n_threads
from sklearn_xmr.utils._validation import MAX_INT32, as_kernel_csr


def sparse_product(A, B):
    """A @ B in float32, in parallel, in canonical form.

    Parameters
    ----------
    A : csr_array of shape (n_rows, n_inner)
    B : csr_array of shape (n_inner, n_columns)

    Returns
    -------
    product : csr_array of shape (n_rows, n_columns), dtype float32
        Rows sorted, without duplicates. The same for any number of threads.
    """
    arrays = multiply_csr_csr(*as_kernel_csr(A), *as_kernel_csr(B), B.shape[1], effective_n_threads())
    indptr, indices, data = arrays
    if indices.size <= MAX_INT32:
        indptr = indptr.astype(np.int32)  # or SciPy would make the indices as wide, a copy of them all
    product = sp.csr_array((data, indices, indptr), shape=(A.shape[0], B.shape[1]))
    product.has_canonical_format = True
    return product
