"""Selection of the k best labels from dense and sparse scores."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reference.metrics import topk_row

import sklearn_xmr.metrics._topk as topk_module
from sklearn_xmr.metrics import precision_at_k, topk

INF = np.inf
# few distinct values, so that ties are the rule
TIED_SCORES = hnp.arrays(
    np.float64,
    st.tuples(st.integers(0, 6), st.integers(1, 20)),
    elements=st.sampled_from([-2.0, -0.0, 0.0, 0.5, 1.0, -INF, INF]),
)


def assert_is_topk(labels, scores, candidates, k):
    for row, (got_labels, got_scores) in enumerate(zip(labels, scores, strict=True)):
        expected = topk_row(candidates[row], k)
        score_of = dict(candidates[row])
        n_padded = k - len(expected)
        assert got_labels.tolist() == expected + [-1] * n_padded
        assert got_scores.tolist() == [score_of[label] for label in expected] + [-INF] * n_padded


@settings(deadline=None, max_examples=150)
@given(TIED_SCORES, st.integers(1, 25))
def test_dense_agrees_with_sorting_each_row(matrix, k):
    labels, scores = topk(matrix, k)
    assert labels.shape == scores.shape == (len(matrix), k)
    candidates = [[(j, v) for j, v in enumerate(row) if v != -INF] for row in matrix.tolist()]
    assert_is_topk(labels, scores, candidates, k)


@settings(deadline=None, max_examples=150)
@given(TIED_SCORES, st.integers(1, 25), st.integers(0, 2**32 - 1))
def test_sparse_ranks_stored_entries_only(matrix, k, seed):
    stored = np.random.default_rng(seed).random(matrix.shape) < 0.5
    rows, columns = np.nonzero(stored)
    entries = sp.coo_array((matrix[rows, columns], (rows, columns)), shape=matrix.shape)
    labels, scores = topk(entries, k)
    candidates = [
        [(j, v) for j, v in enumerate(row) if keep[j] and v != -INF]
        for row, keep in zip(matrix.tolist(), stored, strict=True)
    ]
    assert_is_topk(labels, scores, candidates, k)


def test_hand_computed_ties_padding_and_dtypes():
    matrix = sp.csr_array((np.float32([3, 5, 5, -1, 0]), [4, 7, 2, 0, 1], [0, 3, 3, 5]), shape=(3, 9))
    labels, scores = topk(matrix, 3)
    np.testing.assert_array_equal(labels, [[2, 7, 4], [-1, -1, -1], [1, 0, -1]])
    np.testing.assert_array_equal(scores, [[5, 5, 3], [-INF, -INF, -INF], [0, -1, -INF]])
    assert labels.dtype == np.int32
    assert scores.dtype == np.float32
    assert topk(np.arange(6).reshape(2, 3), 1)[1].dtype == np.float64
    assert topk(np.eye(2, dtype=bool), 1)[0].tolist() == [[0], [1]]


def test_dense_blocks_do_not_change_the_result(monkeypatch):
    matrix = np.random.default_rng(0).integers(0, 5, (23, 11))
    whole = topk(matrix, 4)
    monkeypatch.setattr(topk_module, "_BLOCK_ENTRIES", 30)
    np.testing.assert_array_equal(topk(matrix, 4), whole)


@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csc_array, sp.lil_array, sp.dok_array])
def test_any_sparse_format(container):
    matrix = sp.random_array((7, 13), density=0.4, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(topk(container(matrix), 3), topk(matrix, 3))


def test_duplicate_entries_add_up_and_input_stays_untouched():
    matrix = sp.csr_array((np.array([1.0, 2.0, 2.5]), [1, 1, 0], [0, 3]), shape=(1, 2))
    matrix.data.flags.writeable = False
    labels, scores = topk(matrix, 2)
    assert labels.tolist() == [[1, 0]]
    assert scores.tolist() == [[3.0, 2.5]]
    assert matrix.indices.tolist() == [1, 1, 0]


def test_very_uneven_rows_take_memory_of_the_order_of_the_entries():
    # one full row among many short ones: a plain rectangle would have 10**10 entries
    n = 100_000
    rows = np.concatenate([np.zeros(n, int), np.arange(1, n)])
    columns = np.concatenate([np.arange(n), np.arange(1, n)])
    matrix = sp.csr_array((np.ones(rows.size), (rows, columns)), shape=(n, n))
    labels, _ = topk(matrix, 2)
    assert labels[0].tolist() == [0, 1]
    assert labels[1:, 0].tolist() == list(range(1, n))
    assert (labels[1:, 1] == -1).all()


def test_no_columns_gives_only_padding():
    labels, scores = topk(np.empty((2, 0)), 2)
    assert labels.tolist() == [[-1, -1]] * 2
    assert scores.tolist() == [[-INF, -INF]] * 2


@pytest.mark.parametrize(
    ("scores", "match"),
    [
        (np.array([[0.1, np.nan]]), "scores must not contain NaN"),
        (sp.csr_array([[0.1, np.nan]]), "scores must not contain NaN"),
        ([0.1, 0.2], r"scores must have shape \(n_samples, n_labels\), got shape \(2,\)"),
        (sp.coo_array([0.1, 0.2]), r"got shape \(2,\)"),
        (np.array([["a"]]), "scores must be numeric, got dtype <U1"),
        (np.array([[1j]]), "scores must be numeric, got dtype complex128"),
    ],
)
def test_bad_scores_are_refused(scores, match):
    with pytest.raises(ValueError, match=match):
        topk(scores, 1)


@pytest.mark.parametrize(
    ("k", "error", "match"),
    [
        (0, ValueError, "k must be at least 1, got 0"),
        (1.0, TypeError, "k must be an integer, got 1.0"),
        (True, TypeError, "k must be an integer, got True"),
    ],
)
def test_bad_k_is_refused(k, error, match):
    with pytest.raises(error, match=match):
        topk([[0.1]], k)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_integers_that_float64_rounds_are_refused(container):
    largest = 2**53
    scores = np.array([[largest - 1, largest], [-largest, 1]])
    assert topk(container(scores), 1)[0].tolist() == [[1], [1]]
    for wrong in (scores.astype(np.uint64) + np.uint64(1), scores - 1):
        with pytest.raises(ValueError, match=r"scores must be at most 2 \*\* 53 where they are integers"):
            topk(container(wrong), 1)


def test_nullable_columns_of_pandas():
    pd = pytest.importorskip("pandas")
    scores = pd.DataFrame([[0.1, 0.9, 0.5], [0.3, 0.2, 0.7]])
    for frame in (scores.astype("Float64"), (10 * scores).astype("Int64")):
        assert topk(frame, 2)[0].tolist() == [[1, 2], [2, 0]]
        assert precision_at_k([[0, 1, 0], [0, 0, 1]], frame, k=1) == 1
    pair = np.array([[1], [2]]), pd.DataFrame([[0.9], [0.7]], dtype="Float64")
    assert precision_at_k([[0, 1, 0], [0, 0, 1]], pair, k=1) == 1
    missing = pd.DataFrame([[0.1, None]], dtype="Float64")
    for objects in (missing, np.array([[10**400, 1]], dtype=object)):
        with pytest.raises(ValueError, match="scores must be numeric, got dtype object"):
            topk(objects, 1)
