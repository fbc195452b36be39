"""The parallel sparse product against SciPy's."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from sklearn_xmr.utils._sparse_product import sparse_product


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 30), st.integers(1, 30), st.integers(1, 300), st.floats(0, 1), st.floats(0, 0.6),
    st.integers(0, 2**31),
)  # fmt: skip
def test_equals_scipy(n_rows, n_inner, n_columns, density_a, density_b, seed):
    rng = np.random.default_rng(seed)
    A = sp.random_array((n_rows, n_inner), density=density_a, rng=rng, format="csr", dtype=np.float32)
    B = sp.random_array((n_inner, n_columns), density=density_b, rng=rng, format="csr", dtype=np.float32)
    product = sparse_product(A, B)
    wanted = A @ B
    np.testing.assert_allclose(product.toarray(), wanted.toarray(), rtol=1e-5, atol=1e-6)
    assert product.nnz == wanted.nnz and product.dtype == np.float32
    assert product.indices.dtype == product.indptr.dtype == np.int32
    for start, end in zip(product.indptr[:-1], product.indptr[1:], strict=True):
        assert np.all(np.diff(product.indices[start:end]) > 0)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_threads_do_not_matter(n_threads):
    rng = np.random.default_rng(0)
    A = sp.random_array((200, 150), density=0.1, rng=rng, format="csr", dtype=np.float32)
    B = sp.random_array((150, 5000), density=0.05, rng=rng, format="csr", dtype=np.float32)
    wanted = sparse_product(A, B)
    with threadpool_limits(n_threads):
        again = sparse_product(A, B)
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(again, name), getattr(wanted, name))
