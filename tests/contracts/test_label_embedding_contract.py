"""What every label embedding must do, and scikit-learn's own checks."""

import pickle
from inspect import signature

import numpy as np
import pytest
import scipy.sparse as sp
from _data import random_problem
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import (
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
    parametrize_with_checks,
)

from sklearn_xmr import PIFA, PII, GraphSpectralEmbedding, LabelTextEmbedding

ROWS_ARE_LABELS = "fit_transform returns one row per label, transform one per instance"
NO_TRANSFORM = "the check calls transform, and this embedding places labels, not instances"


def expected_failed_checks(estimator):
    failed = {"check_transformer_general": ROWS_ARE_LABELS}
    if isinstance(estimator, PIFA):
        return {**failed, "check_transformer_data_not_an_array": ROWS_ARE_LABELS}
    calls_transform = [
        "check_dict_unchanged",
        "check_estimators_dtypes",
        "check_estimators_pickle",
        "check_f_contiguous_array_estimator",
        "check_fit_idempotent",
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
    ]
    return {**failed, **dict.fromkeys(calls_transform, NO_TRANSFORM)}


@parametrize_with_checks(
    [PII(), PIFA(), PIFA(normalize_labels=False, max_features=2), GraphSpectralEmbedding()],
    expected_failed_checks=expected_failed_checks,
    # scikit-learn 1.8 and later: a check that passes though it is listed is an error
    **({"xfail_strict": True} if "xfail_strict" in signature(parametrize_with_checks).parameters else {}),
)
def test_sklearn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "check",
    [
        check_parameters_default_constructible,
        check_no_attributes_set_in_init,
        check_get_params_invariance,
        check_set_params,
    ],
)
def test_sklearn_checks_that_need_no_data_for_text(check):
    # scikit-learn runs no check on estimators of texts by itself
    check("LabelTextEmbedding", LabelTextEmbedding(["tax", "law"]))


N_LABELS = 12
NO_POSITIVE = 5
EMBEDDINGS = {
    "PII": PII(),
    "PIFA": PIFA(),
    "PIFA-max_features": PIFA(max_features=6),
    "GraphSpectralEmbedding": GraphSpectralEmbedding(n_dims=4, random_state=0),
    # names that leave the label without positives without a name as well, so that one contract holds
    "LabelTextEmbedding": LabelTextEmbedding(
        [f"group {l % 4} name {l}" if l != NO_POSITIVE else "" for l in range(N_LABELS)]  # noqa: E741
    ),
}
every_embedding = pytest.mark.parametrize("embedding", EMBEDDINGS.values(), ids=EMBEDDINGS)
needs_y = pytest.mark.parametrize(
    "embedding", [EMBEDDINGS[name] for name in EMBEDDINGS if name != "LabelTextEmbedding"]
)


@pytest.fixture
def problem():
    X, Y = random_problem(n_labels=N_LABELS)
    X, Y = X.tolil(), Y.tolil()
    X[3] = 0
    Y[:, NO_POSITIVE] = 0
    return sp.csr_array(X), sp.csr_array(Y)


def dense(Z):
    return Z.toarray() if sp.issparse(Z) else Z


def fit_transform(embedding, *args, **kwargs):
    return dense(clone(embedding).fit_transform(*args, **kwargs))


@every_embedding
def test_rows_are_labels_of_unit_length(embedding, problem):
    embedding = clone(embedding)
    Z = embedding.fit_transform(*problem)
    assert Z is embedding.embedding_
    assert Z.dtype == np.float32
    assert Z.shape[0] == N_LABELS
    assert isinstance(Z, (np.ndarray, sp.csr_array))
    assert embedding.has_embedding_.dtype == bool
    assert_array_equal(embedding.has_embedding_, np.arange(N_LABELS) != NO_POSITIVE)
    assert_allclose(np.linalg.norm(dense(Z), axis=1), embedding.has_embedding_, atol=1e-6)


@every_embedding
def test_fit_equals_fit_transform(embedding, problem):
    fitted = clone(embedding)
    assert fitted.fit(*problem) is fitted
    assert_array_equal(dense(fitted.embedding_), fit_transform(embedding, *problem))


@every_embedding
@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_array, sp.coo_array, sp.csr_array.toarray])
def test_container_of_x_and_y_does_not_matter(embedding, problem, kind):
    X, Y = problem
    expected = fit_transform(embedding, X, Y)
    assert_allclose(fit_transform(embedding, kind(X), Y), expected, atol=1e-6)
    assert_allclose(fit_transform(embedding, X, kind(Y)), expected, atol=1e-6)
    assert_allclose(fit_transform(embedding, X, kind(Y.astype(np.int64))), expected, atol=1e-6)


@every_embedding
def test_order_of_samples_does_not_matter(embedding, problem):
    X, Y = problem
    order = np.random.default_rng(0).permutation(X.shape[0])
    Z, permuted = fit_transform(embedding, X, Y), fit_transform(embedding, X[order], Y[order])
    assert_allclose(permuted @ permuted.T, Z @ Z.T, atol=1e-5)
    if isinstance(embedding, PII):  # one dimension per sample
        assert_allclose(permuted, Z[:, order], atol=1e-6)
    elif not isinstance(embedding, GraphSpectralEmbedding):  # vectors are determined up to sign
        assert_allclose(permuted, Z, atol=1e-6)


@every_embedding
def test_order_of_labels_carries_over(embedding, problem):
    if isinstance(embedding, LabelTextEmbedding):
        pytest.skip("labels are ordered by its texts; see its own tests")
    X, Y = problem
    order = np.random.default_rng(0).permutation(N_LABELS)
    Z, permuted = fit_transform(embedding, X, Y)[order], fit_transform(embedding, X, Y[:, order])
    assert_allclose(permuted @ permuted.T, Z @ Z.T, atol=1e-5)


@every_embedding
def test_arguments_are_left_alone_and_may_be_read_only(embedding, problem):
    copies = [matrix.copy() for matrix in problem]
    for matrix in problem:
        for array in (matrix.data, matrix.indices, matrix.indptr):
            array.flags.writeable = False
    fit_transform(embedding, *problem)
    for matrix, copy in zip(problem, copies, strict=True):
        assert (matrix != copy).nnz == 0


@needs_y
def test_one_class_per_row_stands_for_an_indicator(embedding):
    X = np.random.default_rng(0).random((40, 12))
    classes = np.array(["wine", "tax", "law", "cats", "dogs", "hens"])
    codes = np.random.default_rng(1).integers(6, size=40)
    expected = fit_transform(embedding, X, np.eye(6)[codes])
    y = np.sort(classes)[codes]
    for y_like in (y, y.astype(object), list(y), codes, codes * 1.5 // 1.5):
        assert_array_equal(fit_transform(embedding, X, y_like), expected)
    assert fit_transform(PIFA(), X, codes % 2).shape == (2, 12)


@every_embedding
def test_clone_and_pickle(embedding, problem):
    fitted = clone(embedding).fit(*problem)
    loaded = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(dense(loaded.embedding_), dense(fitted.embedding_))
    assert_array_equal(loaded.has_embedding_, fitted.has_embedding_)
    assert not hasattr(clone(fitted), "embedding_")


@every_embedding
@pytest.mark.parametrize("n_features", ["sparse", "dense"])
def test_pipeline_is_a_label_embedding(embedding, problem, n_features):
    X, Y = problem
    X = X if n_features == "sparse" else X.toarray()
    with config_context(transform_output="default"):
        pipeline = make_pipeline(clone(embedding), TruncatedSVD(3, random_state=0), Normalizer())
        Z = pipeline.fit_transform(X, Y)
    assert Z.shape == (N_LABELS, 3)
    assert_allclose(np.linalg.norm(Z, axis=1), pipeline[0].has_embedding_, atol=1e-6)


@every_embedding
def test_pandas_output_leaves_label_rows_alone(embedding, problem):
    pd = pytest.importorskip("pandas")
    X, Y = problem
    with config_context(transform_output="pandas"):
        Z = clone(embedding).fit_transform(pd.DataFrame(X.toarray()), pd.DataFrame(Y.toarray()))
    assert isinstance(Z, (np.ndarray, sp.csr_array))
    assert not hasattr(embedding, "set_output")


@every_embedding
def test_transform_before_fit(embedding):
    with pytest.raises(NotFittedError):
        clone(embedding).transform([[1.0]])


@pytest.mark.parametrize("embedding", [PII(), GraphSpectralEmbedding()])
def test_embeddings_of_labels_only_say_so(embedding, problem):
    fitted = clone(embedding).fit(*problem)
    with pytest.raises(NotImplementedError, match=f"{type(embedding).__name__} places labels only"):
        fitted.transform(problem[0])


@pytest.mark.parametrize("embedding", [e for e in EMBEDDINGS.values() if not isinstance(e, PIFA)])
def test_x_is_only_counted_where_it_is_not_used(embedding, problem):
    X, Y = problem
    expected = fit_transform(embedding, X, Y)
    for X_like in (None, ["text"] * X.shape[0], np.full(X.shape, np.nan)):
        assert_array_equal(fit_transform(embedding, X_like, Y), expected)


@every_embedding
def test_rows_must_match(embedding, problem):
    X, Y = problem
    with pytest.raises(
        ValueError, match=r"same number of rows, got 59 rows in X and y of shape \(60, 12\)"
    ):
        clone(embedding).fit(X[:-1], Y)


@every_embedding
@pytest.mark.parametrize("value", [-1.0, 2.0, 0.5, np.nan])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_y_must_be_binary(embedding, problem, value, kind):
    X, Y = problem
    Y = Y.toarray()
    Y[0, 0] = value
    with pytest.raises(ValueError, match=f"y must contain only 0 and 1, got the value {value:g}"):
        clone(embedding).fit(X, kind(Y))


@every_embedding
@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([[0, 1], [2], []], "rows of different lengths; .*MultiLabelBinarizer"),
        ([0.1, 0.2, 0.3], "Unknown label type"),
        ([0.0, 1.0, np.nan], "contains NaN"),
        (np.zeros((3, 2, 2)), "y must be an indicator matrix"),
        (np.zeros((3, 0)), "at least one label"),
        (np.array([["a", "b"]] * 3), "y must be numeric or boolean"),
    ],
)
def test_bad_y(embedding, y, message):
    with pytest.raises(ValueError, match=message):
        clone(embedding).fit(np.ones((3, 2)), y)


@needs_y
@pytest.mark.parametrize("kind", [np.zeros, sp.csr_array])
def test_y_without_any_positive_is_refused(embedding, kind):
    message = r"y must hold at least one positive label, got none in shape \(3, 2\)"
    with pytest.raises(ValueError, match=message):
        clone(embedding).fit(np.ones((3, 2)), kind((3, 2)))


@needs_y
def test_y_is_required(embedding):
    assert get_tags(embedding).target_tags.required
    with pytest.raises(ValueError, match="requires y to be passed"):
        clone(embedding).fit(np.ones((3, 2)))


def test_y_is_not_required_where_labels_are_described_otherwise():
    assert not get_tags(LabelTextEmbedding(["tax"])).target_tags.required
    assert not get_tags(GraphSpectralEmbedding(graph=np.ones((2, 2)))).target_tags.required


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_x_must_be_finite_where_it_is_used(value, kind):
    with pytest.raises(ValueError, match="Input X contains"):
        PIFA().fit(kind([[1.0, value]]), [[1]])


@pytest.mark.parametrize("embedding", [PII(), PIFA(), LabelTextEmbedding(["tax"])])
def test_one_label_and_one_sample(embedding):
    assert_allclose(fit_transform(embedding, [[2.0]], [[1]]), [[1.0]])
    assert fit_transform(embedding, [[2.0], [0.0]], [[1], [0]]).shape[0] == 1


@every_embedding
def test_failed_fit_leaves_the_earlier_fit(embedding, problem):
    X, Y = problem
    fitted = clone(embedding).fit(X, Y)
    before = dict(vars(fitted))
    bad_X, bad_Y = X[:, :7], Y.toarray() * 2
    with pytest.raises(ValueError, match="y must contain only 0 and 1"):
        fitted.fit(bad_X, bad_Y)
    assert vars(fitted).keys() == before.keys()
    assert all(vars(fitted)[name] is value for name, value in before.items())


@pytest.mark.parametrize("bad_X", [np.full((60, 7), 3e38), np.full((60, 7), np.nan)])
def test_failed_fit_on_bad_features_leaves_the_earlier_fit(problem, bad_X):
    X, Y = problem
    fitted = PIFA().fit(X, Y)
    before = dict(vars(fitted))
    with pytest.raises(ValueError, match=r"exceeds the range of float32|contains NaN"):
        fitted.fit(bad_X, Y)
    assert vars(fitted).keys() == before.keys()
    assert all(vars(fitted)[name] is value for name, value in before.items())


def test_sample_weight_can_be_routed_through_a_pipeline(problem):
    X, Y = problem
    weight = np.random.default_rng(0).random(X.shape[0])
    with config_context(enable_metadata_routing=True):
        first = PIFA().set_fit_request(sample_weight=True)
        pipeline = make_pipeline(first, TruncatedSVD(3, random_state=0))
        Z = pipeline.fit_transform(X, Y, sample_weight=weight)
    expected = TruncatedSVD(3, random_state=0).fit_transform(PIFA().fit_transform(X, Y, weight))
    assert_allclose(Z, expected, atol=1e-6)
