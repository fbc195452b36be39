"""Look-ups of entries against the dense matrix."""

import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_xmr.utils._sparse_entries import contains_entries


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_contains_entries(density, dtype):
    rng = np.random.default_rng(0)
    dense = rng.random((5, 7)) < density
    columns = rng.integers(-1, 7, size=(5, 20)).astype(dtype)
    rows = np.arange(5, dtype=dtype)[:, None]
    wanted = dense[rows, columns] & (columns >= 0)
    matrix = sp.csr_array(dense.astype(np.float32))
    np.testing.assert_array_equal(contains_entries(matrix, rows, columns), wanted)
    rows = np.broadcast_to(rows, columns.shape).ravel()
    np.testing.assert_array_equal(contains_entries(matrix, rows, columns.ravel()), wanted.ravel())


def test_the_column_before_the_first_is_not_the_last_of_the_row_above():
    matrix = sp.csr_array(np.array([[0, 1], [0, 0]]))
    assert contains_entries(matrix, np.array([0, 1]), np.array([1, -1])).tolist() == [True, False]


def test_keys_beyond_int32():
    matrix = sp.csr_array(([1.0], ([2], [2_000_000_000])), shape=(3, 2_000_000_001))
    rows, columns = np.array([2, 1], np.int32), np.array([2_000_000_000] * 2, np.int32)
    assert contains_entries(matrix, rows, columns).tolist() == [True, False]
