import numpy as np
import pytest
import scipy.sparse as sp
from _data import random_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from reference.label_embedding import pifa, pii

from sklearn_xmr import PIFA, PII
from sklearn_xmr.label_embedding import _pifa


def dense(Z):
    return Z.toarray() if sp.issparse(Z) else Z


@st.composite
def problems(draw):
    n_samples, n_features, n_labels = (draw(st.integers(1, 6)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    # few distinct values, so that ties and cancellations occur
    X = rng.integers(-2, 3, size=(n_samples, n_features)).astype(np.float64)
    Y = rng.integers(0, 2, size=(n_samples, n_labels))
    Y[rng.integers(n_samples), rng.integers(n_labels)] = 1
    return X, Y


@given(problems())
@settings(deadline=None, max_examples=50)
def test_pii_equals_reference(problem):
    _, Y = problem
    assert_allclose(PII().fit_transform(None, Y).toarray(), pii(Y.tolist()), atol=1e-6)


@given(problems(), st.booleans(), st.none() | st.integers(1, 4), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=150)
def test_pifa_equals_reference(problem, normalize_labels, max_features, weighted, sparse):
    X, Y = problem
    # powers of four have exact roots: sums that cancel or tie here do so in floating point as well
    if normalize_labels:
        Y[:, 1:] = 0
        Y[0, 0] = 1
    weight = np.resize([1.0, 2.0, 0.0, 0.5], len(X)) if weighted else None
    if weighted and not np.any(weight[Y.sum(axis=1) > 0]):
        weight[:] = 1
    expected = pifa(
        X.tolist(), Y.tolist(), normalize_labels=normalize_labels, max_features=max_features,
        sample_weight=weight,
    )  # fmt: skip
    embedding = PIFA(normalize_labels=normalize_labels, max_features=max_features)
    Z = embedding.fit_transform(sp.csr_array(X) if sparse else X, Y, sample_weight=weight)
    assert_allclose(dense(Z), expected, atol=1e-6)


@pytest.mark.parametrize("max_features", [None, 3, 10, 2**70])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_pifa_equals_reference_when_rows_have_several_labels(max_features, weighted, sparse):
    X, Y = random_problem(random_state=3)
    weight = np.random.default_rng(0).random(X.shape[0]) if weighted else None
    expected = pifa(
        X.toarray().tolist(), Y.toarray().tolist(), max_features=max_features, sample_weight=weight
    )
    embedding = PIFA(max_features=max_features)
    Z = embedding.fit_transform(X if sparse else X.toarray(), Y, sample_weight=weight)
    assert_allclose(dense(Z), expected, atol=1e-6)


def test_pifa_by_hand():
    X = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    Y = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]])
    # instance 1 has two labels, so it counts 1/sqrt(2) for label 0
    a, b = 1 / np.sqrt(1.5), np.sqrt(0.5) / np.sqrt(1.5)
    embedding = PIFA().fit(X, Y)
    assert_allclose(embedding.embedding_, [[a, b, 0], [0, 1, 0], [0, 0, 0]], rtol=1e-6)
    # label 2 has a positive, but that row of X is empty
    assert_array_equal(embedding.has_embedding_, [True, True, False])
    plain = PIFA(normalize_labels=False).fit_transform(X, Y)
    assert_allclose(plain[0], [np.sqrt(0.5), np.sqrt(0.5), 0], rtol=1e-6)


def test_max_features_bounds_every_label_whatever_the_block_size(monkeypatch):
    X, Y = random_problem(n_samples=200, n_labels=25)
    whole = PIFA(max_features=4).fit_transform(X, Y)
    assert whole.nnz == 25 * 4
    monkeypatch.setattr(_pifa, "LABELS_PER_BLOCK", 7)
    assert_array_equal(PIFA(max_features=4).fit_transform(X, Y).toarray(), whole.toarray())
    assert_array_equal(PIFA(max_features=4).fit_transform(X.toarray(), Y) != 0, whole.toarray() != 0)


def test_max_features_keeps_the_smaller_index_on_ties():
    X = np.array([[1.0, -1.0, 1.0, 3.0, 1.0]])
    for X_like in (X, sp.csr_array(X), sp.csr_array(X)[:, [4, 3, 2, 1, 0]][:, [4, 3, 2, 1, 0]]):
        Z = dense(PIFA(max_features=3).fit_transform(X_like, [[1]]))
        assert_allclose(Z, np.array([[1, -1, 0, 3, 0]]) / np.sqrt(11), rtol=1e-6)


def test_sample_weight_counts_like_repetition_and_only_in_ratio():
    X, Y = random_problem()
    weight = np.random.default_rng(1).integers(0, 3, size=X.shape[0])
    repeated = np.repeat(np.arange(X.shape[0]), weight)
    Z = PIFA().fit_transform(X, Y, sample_weight=weight).toarray()
    assert_allclose(Z, PIFA().fit_transform(X[repeated], Y[repeated]).toarray(), atol=1e-6)
    huge = PIFA().fit_transform(X, Y, sample_weight=weight * 1e60).toarray()
    assert_allclose(huge, Z, atol=1e-6)
    assert_allclose(PIFA().fit(X, Y, sample_weight=weight).embedding_.toarray(), Z)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1.0, -1.0], "Negative values"),
        ([1.0], "sample_weight.shape"),
        ([np.nan, 1.0], "sample_weight contains NaN"),
        ([0.0, 1.0], "sample_weight must be positive for some instance that has a label"),
    ],
)
def test_bad_sample_weight(weight, message):
    with pytest.raises(ValueError, match=message):
        PIFA().fit([[1.0], [1.0]], [[1], [0]], sample_weight=weight)


@pytest.mark.parametrize("params", [{"max_features": 0}, {"max_features": 1.5}, {"normalize_labels": "no"}])
def test_bad_parameters(params):
    with pytest.raises(ValueError, match=f"The '{next(iter(params))}' parameter of PIFA"):
        PIFA(**params).fit([[1.0]], [[1]])


def test_pifa_transform_scales_instances_and_leaves_them_alone():
    X, Y = random_problem()
    X = sp.csr_array(X * 3)
    before = X.copy()
    embedding = PIFA().fit(X, Y)
    Q = embedding.transform(X)
    norms = np.sqrt((X.toarray() ** 2).sum(axis=1, keepdims=True))
    assert_allclose(Q.toarray(), X.toarray() / np.where(norms == 0, 1, norms), atol=1e-6)
    assert_allclose(embedding.transform(X.toarray()), Q.toarray(), atol=1e-6)
    assert (X != before).nnz == 0
    with pytest.raises(ValueError, match="X has 2 features, but PIFA is expecting 40"):
        embedding.transform([[1.0, 2.0]])


def test_pifa_transform_adds_up_duplicate_entries():
    X = sp.csr_array((np.array([1.0, 2.0, 4.0]), np.array([0, 0, 1]), np.array([0, 3])), shape=(1, 2))
    assert_allclose(PIFA().fit(X, [[1]]).transform(X).toarray(), [[0.6, 0.8]], rtol=1e-6)


def test_tiny_and_huge_rows_get_unit_length():
    X = np.array([[3e-25, 4e-25], [3e25, 4e25]])
    for X_like in (X, sp.csr_array(X)):
        Z = dense(PIFA().fit_transform(X_like, np.eye(2)))
        assert_allclose(Z, [[0.6, 0.8], [0.6, 0.8]], rtol=1e-5)


def test_int64_indices_and_float64_give_the_same_with_int32_indices():
    X, Y = random_problem()
    wide = sp.csr_array(X, dtype=np.float64)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    for embedding in (PIFA(), PIFA(max_features=5), PII()):
        expected = embedding.fit_transform(X, Y)
        Z = embedding.fit_transform(wide, Y)
        assert Z.indices.dtype == expected.indices.dtype == np.int32
        assert_allclose(Z.toarray(), expected.toarray(), atol=1e-7)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_sums_beyond_single_precision_are_refused(kind):
    with pytest.raises(ValueError, match="The vector of row 0 exceeds the range of float32"):
        PIFA().fit(kind([[3e38], [3e38]]), [[1], [1]])


def test_feature_names():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"tax": [1.0, 0.0], "trade": [1.0, 1.0]})
    embedding = PIFA().fit(X, np.eye(2))
    assert_array_equal(embedding.feature_names_in_, ["tax", "trade"])
    assert_array_equal(embedding.get_feature_names_out(), ["tax", "trade"])


def test_max_features_of_numpy():
    X, Y = sp.csr_array(np.arange(1.0, 13).reshape(3, 4)), np.eye(3, dtype=int)
    few, same = (PIFA(max_features=number).fit_transform(X, Y) for number in (2, np.uint64(2)))
    assert (few != same).nnz == 0
