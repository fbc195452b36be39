"""Sparse times sparse."""

import scipy.sparse as sp

from sklearn_xmr.utils._sparse_product_fast import multiply_csr_csr
from sklearn_xmr.utils._threads import effective_n_threads
from sklearn_xmr.utils._validation import as_csr_array, as_kernel_csr


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
    product = as_csr_array(sp.csr_array((data, indices, indptr), shape=(A.shape[0], B.shape[1])))
    product.has_canonical_format = True
    return product
