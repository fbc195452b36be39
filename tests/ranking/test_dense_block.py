"""Features that every row has are read as a block, rows of large clusters in place: same weights."""

import numpy as np
import pytest
import scipy.sparse as sp
from _data import random_problem
from reference.solver import primal_objective, solve_smooth

from sklearn_xmr import LabelTree
from sklearn_xmr.ranking import _dual_cd_fast
from sklearn_xmr.ranking._linear_ranker import LevelProblem, _kernel_features, fit_linear_rankers
from sklearn_xmr.utils._simd import available_simd

N_ROWS, N_SPARSE, N_LABELS = 200, 40, 60
TREE = LabelTree([[0, 3], [0, 10, 30, 60]], np.random.default_rng(0).permutation(N_LABELS))
DEFAULTS = {
    "sample_weight": None, "loss": "squared_hinge", "C": 1.0, "positive_weight": 1.0,
    "negative_weight": 1.0, "bias": 1.0, "tol": 0.01, "max_iter": 500, "weight_threshold": 0.0,
    "weight_dtype": "float32", "seed": 0,
}  # fmt: skip


def n_dense_columns(X):
    return _kernel_features(X)[-1]


def fit(X, Y, relevance=False, **changes):
    """Weights and intercepts of both levels."""
    patterns = TREE.propagate(Y)
    if relevance:
        for pattern in patterns[1:]:
            pattern.data[:] = np.random.default_rng(1).uniform(0.2, 3, size=pattern.nnz)
    problems = [
        LevelProblem(TREE.child_ptr[0], patterns[1], sp.csr_array(np.ones((X.shape[0], 1)))),
        LevelProblem(TREE.child_ptr[1], patterns[2], patterns[1].astype(bool).astype(np.float32)),
    ]
    weights, _, _ = fit_linear_rankers(X, problems, **{**DEFAULTS, **changes})
    return [(level.to_csc().toarray(), level.intercepts) for level in weights]


def both_kinds(n_dense, *, n_sparse=N_SPARSE, n_rows=N_ROWS):
    """Sparse features with `n_dense` embeddings appended, and labels."""
    X, Y = random_problem(n_rows, max(n_sparse, 1), N_LABELS)
    E = np.random.default_rng(5).normal(0, n_dense**-0.5, size=(n_rows, n_dense)).astype(np.float32)
    return sp.csr_array(sp.hstack([X[:, :n_sparse], E], format="csr")), sp.csr_array(Y)


def without_block(X):
    """The same problem with a last column that no row stores."""
    padded = X.copy()
    padded.resize(X.shape[0], X.shape[1] + 1)
    assert n_dense_columns(padded) == 0
    return padded


def assert_same(found, wanted, n_features):
    for (weights, intercepts), (wanted_weights, wanted_intercepts) in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(weights[:n_features], wanted_weights[:n_features])
        np.testing.assert_array_equal(intercepts, wanted_intercepts)
        assert np.count_nonzero(weights[:n_features]) == np.count_nonzero(weights) > 0


@pytest.mark.parametrize("n_dense", [16, 17, 18, 19, 64])
@pytest.mark.parametrize("loss", ["squared_hinge", "hinge", "log_loss"])
def test_same_bits_with_and_without_the_block(loss, n_dense):
    X, Y = both_kinds(n_dense)
    assert n_dense_columns(X) == n_dense
    assert len(set(np.diff(X.indptr) % 4)) == 4  # the four sums meet the block at every place
    assert_same(fit(X, Y, loss=loss), fit(without_block(X), Y, loss=loss), X.shape[1])


@pytest.mark.parametrize(
    "changes",
    [
        {"sample_weight": np.random.default_rng(2).uniform(0.2, 3, size=N_ROWS).astype(np.float32)},
        {"relevance": True},
        {"tol": 1e-6},
        {"weight_threshold": 0.1},
        {"bias": 0.0, "positive_weight": 2.0, "negative_weight": 0.5, "C": 0.3},
    ],
)
def test_same_bits_in_other_settings(changes):
    X, Y = both_kinds(24)
    assert_same(fit(X, Y, **changes), fit(without_block(X), Y, **changes), X.shape[1])


@pytest.mark.parametrize("loss", ["squared_hinge", "log_loss"])
def test_rows_with_a_zero_in_the_block_do_without(loss):
    X, Y = both_kinds(24)
    dense = X.toarray()
    dense[::13, N_SPARSE + 3] = 0
    dense[5, N_SPARSE:] = 0
    dense[7] = 0
    X = sp.csr_array(dense)
    assert n_dense_columns(X) == 24 and np.diff(X.indptr)[7] == 0
    assert_same(fit(X, Y, loss=loss), fit(without_block(X), Y, loss=loss), X.shape[1])


@pytest.mark.parametrize("n_dense", [3, 16, 33])
@pytest.mark.parametrize("n_zeros", [0, 1])
def test_dense_array_like_its_csr(n_dense, n_zeros):
    """An array without a zero needs no indices; with one it becomes a CSR."""
    X, Y = both_kinds(n_dense, n_sparse=0)
    dense = X.toarray()
    dense[3, :n_zeros] = 0
    X = sp.csr_array(dense)
    wanted = fit(without_block(X), Y)
    for form in (dense, np.asfortranarray(dense), X):
        assert_same(fit(form, Y), wanted, n_dense)


def test_rows_out_of_order_have_no_block():
    X, Y = both_kinds(24)
    shuffled = X.copy()
    for start, end in zip(X.indptr[:-1], X.indptr[1:], strict=True):
        shuffled.indices[start:end] = np.roll(X.indices[start:end], 1)
        shuffled.data[start:end] = np.roll(X.data[start:end], 1)
    shuffled = sp.csr_array((shuffled.data, shuffled.indices, shuffled.indptr), shape=X.shape)
    assert n_dense_columns(X) == 24 and n_dense_columns(shuffled) == 0
    for (found, _), (wanted, _) in zip(fit(shuffled, Y, tol=1e-9), fit(X, Y, tol=1e-9), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_instruction_sets_agree_to_the_bit(monkeypatch):
    X, Y = both_kinds(24)
    for loss in ("squared_hinge", "log_loss"):
        results = []
        for variant in range(len(available_simd())):
            monkeypatch.setattr(_dual_cd_fast, "SIMD_VARIANT", variant)
            results.append(fit(X, Y, loss=loss))
        for other in results[1:]:
            assert_same(other, results[0], X.shape[1])


@pytest.mark.parametrize("loss", ["squared_hinge", "log_loss"])
def test_optimum_with_a_block(loss):
    X, Y = both_kinds(16, n_sparse=10, n_rows=80)
    [(coefs, intercepts), _] = fit(X, Y, loss=loss, tol=1e-9, max_iter=5000)
    positives, dense = TREE.propagate(Y)[1].toarray(), X.toarray()
    for node in range(3):
        y = np.where(positives[:, node] > 0, 1, -1)
        oracle = solve_smooth(dense, y, np.ones(80), loss, 1.0)
        ours = np.append(coefs[:, node], intercepts[node])
        arguments = (dense, y, np.ones(80), loss, 1.0)
        assert primal_objective(ours, *arguments) <= primal_objective(oracle, *arguments) * (1 + 1e-6)


@pytest.mark.parametrize("n_dense", [0, 24])
@pytest.mark.parametrize("loss", ["squared_hinge", "hinge", "log_loss"])
def test_rows_read_in_place_give_the_bits_of_gathered_ones(loss, n_dense):
    """Unused columns raise the number of nonzeros from which a cluster is read in place."""
    X, Y = both_kinds(n_dense, n_rows=400, n_sparse=20) if n_dense else random_problem(400, 20, N_LABELS)
    n_sparse = X.shape[1] - n_dense
    sparse_nnz = X[:, :n_sparse].nnz
    assert sparse_nnz >= 24 * n_sparse  # the root at least
    unused = 1000
    assert sparse_nnz < 24 * unused
    gathered = sp.csr_array(sp.hstack([sp.csr_array((400, unused), dtype=np.float32), X], format="csr"))
    assert n_dense_columns(X) == n_dense_columns(gathered) == n_dense
    wanted = [(weights[unused:], intercepts) for weights, intercepts in fit(gathered, Y, loss=loss)]
    assert_same(fit(X, Y, loss=loss), wanted, X.shape[1])
