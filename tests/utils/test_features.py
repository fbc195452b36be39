"""Features of several kinds side by side, and what the kernels read of them."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_xmr.utils import _features
from sklearn_xmr.utils._features import FEWEST_DENSE, SHARE_DENSE, join_features, mean_row_length
from sklearn_xmr.utils._validation import as_kernel_csr


def trailing_dense_columns(X):
    return _features.trailing_dense_columns(X.indptr, X.indices, X.shape[1])


def naive_trailing_dense_columns(X):
    best, dense = 0, X.toarray()
    for n in range(FEWEST_DENSE, X.shape[1] + 1):
        if sum(bool(np.all(row[-n:] != 0)) for row in dense) >= max(1, SHARE_DENSE * X.shape[0]):
            best = n
    return best


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 25), st.integers(0, 30), st.integers(0, 24), st.integers(0, 3), st.integers(0, 2**31))
def test_dense_columns_are_counted(n_rows, n_sparse, n_dense, n_zeros, seed):
    rng = np.random.default_rng(seed)
    X = np.hstack([(rng.random((n_rows, n_sparse)) < 0.5) * 1.0, np.ones((n_rows, n_dense))])
    if X.size:
        for _ in range(n_zeros):
            X[rng.integers(n_rows), rng.integers(X.shape[1])] = 0
    X = sp.csr_array(X.astype(np.float32))
    assert trailing_dense_columns(X) == naive_trailing_dense_columns(X)


def test_hand_counted_dense_columns():
    X = np.ones((20, 30), dtype=np.float32)
    X[:, 9] = 0
    assert trailing_dense_columns(sp.csr_array(X)) == 20
    X[:2, 15] = 0  # a tenth of the rows
    assert trailing_dense_columns(sp.csr_array(X)) == 20
    X[2, 14] = 0  # more than that
    assert trailing_dense_columns(sp.csr_array(X)) == 0
    X[:3, 12] = 0
    X[:3, 14:16] = 1
    assert trailing_dense_columns(sp.csr_array(X)) == 17


def test_embeddings_are_joined_as_a_block_of_scaled_unit_rows():
    X = sp.csr_array(np.array([[0, 2.0], [1, 0]], dtype=np.float32))
    E = np.array([[3.0, 4.0], [0, -2.0]], dtype=np.float32)
    wanted = [[0, 2, 0.3, 0.4], [1, 0, 0, -0.5]]
    for features, joined in ((X, wanted), (None, np.array(wanted)[:, 2:])):
        found = join_features(features, E, 0.5)
        assert found.format == "csr" and found.dtype == np.float32 and found.has_canonical_format
        assert found.nnz == np.count_nonzero(joined)
        np.testing.assert_allclose(found.toarray(), joined, rtol=1e-6)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (30, 7)])
def test_arrays_become_csr(shape, dtype, order):
    rng = np.random.default_rng(0)
    X = np.array(rng.normal(size=shape) * (rng.random(shape) < 0.6), dtype=dtype, order=order)
    wanted = sp.csr_array(X)
    indptr, indices, data = as_kernel_csr(X)
    assert (indptr.dtype, indices.dtype, data.dtype) == (np.int64, np.int32, np.float32)
    np.testing.assert_array_equal(indptr, wanted.indptr)
    np.testing.assert_array_equal(indices, wanted.indices)
    np.testing.assert_array_equal(data, wanted.data.astype(np.float32))


def test_rows_count_for_their_length_by_weight():
    """A weight of n is n rows to the threshold, too."""
    X = sp.csr_array(np.array([[1, 0], [0, 9], [1, 1]], dtype=np.float32))
    weight = np.array([3, 1, 2])
    repeated = X[np.repeat(np.arange(3), weight)]
    mean = (3 * 1 + 9 + 2 * np.sqrt(2)) / 6
    assert mean_row_length(X, weight) == pytest.approx(mean)
    assert (
        mean_row_length(repeated, None) == mean_row_length(repeated.toarray(), None) == pytest.approx(mean)
    )
