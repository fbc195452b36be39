"""XRLinearClassifier: targets, predictors, parameters that act, plug-ins, edge cases."""

import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from _data import classifier, random_problem, small_tree
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.beam_search import search
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_digits
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.svm import SVC, LinearSVC
from threadpoolctl import threadpool_limits

from sklearn_xmr import (
    PIFA,
    PII,
    GraphSpectralEmbedding,
    HierarchicalKMeans,
    LabelTextEmbedding,
    LabelTree,
    XMREnsembleClassifier,
    XRLinearClassifier,
)
from sklearn_xmr._base import BaseXMRClassifier
from sklearn_xmr.datasets import make_xmc_classification
from sklearn_xmr.metrics import precision_at_k, recall_at_k
from sklearn_xmr.utils._validation import as_kernel_csr, is_clean_csr


def matches_reference(model, X, k=6, beam_width=10, transform="l3_hinge"):
    labels, scores = model.predict_topk(X, k=k, beam_width=beam_width)
    coefs = [coef.toarray() for coef in model.coefs_]
    transforms = [transform] * model.tree_.n_levels
    for i, row in enumerate(X[:15].toarray()):
        wanted = search(
            row, model.tree_.child_ptr, model.tree_.slot_labels, coefs, model.intercepts_, transforms,
            beam_width, k,
        )  # fmt: skip
        np.testing.assert_allclose(scores[i][: len(wanted)], [s for _, s in wanted], rtol=1e-3, atol=1e-30)
        assert labels[i][: len(wanted)].tolist() == [label for label, _ in wanted]


# ---------------------------------------------------------------------- the model is what it says


@pytest.mark.parametrize("beam_width", [1, 3, 50])
def test_prediction_is_a_beam_search_with_the_published_weights(problem, fitted, beam_width):
    matches_reference(fitted, problem[0], beam_width=beam_width)


@settings(deadline=None, max_examples=20)
@given(
    n_labels=st.integers(2, 40),
    n_features=st.sampled_from([3, 31, 400]),
    weight_dtype=st.sampled_from(["int8", "int16", "float32"]),
    loss=st.sampled_from(["squared_hinge", "hinge", "log_loss"]),
    seed=st.integers(0, 2**16),
)
def test_coefs_and_intercepts_give_every_score(n_labels, n_features, weight_dtype, loss, seed):
    """X @ coefs_ + intercepts_, level by level, is what a beam that cuts nothing answers."""
    X, Y = random_problem(30, n_features, max(n_labels, 3), random_state=seed)
    model = classifier(weight_dtype=weight_dtype, loss=loss, random_state=seed, tol=0.1).fit(X, Y)
    log_path = np.zeros((30, 1))
    for t, (coef, intercept) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        assert coef.shape == (n_features, model.tree_.n_nodes[t + 1]) and coef.has_canonical_format
        margins = X.astype(np.float64) @ coef.astype(np.float64).toarray() + intercept.astype(np.float64)
        if loss == "log_loss":
            log_factor = -np.logaddexp(0, -margins)
        else:
            log_factor = -(np.maximum(0, 1 - margins) ** 3)
        log_path = log_path[:, model.tree_.parent_of(t + 1)] + log_factor
    wanted = np.zeros((30, Y.shape[1]))
    wanted[:, model.tree_.slot_labels] = np.exp(log_path)
    reached = model.set_params(beam_width=1000).decision_function(X).toarray()
    np.testing.assert_allclose(reached, wanted, rtol=2e-3, atol=1e-30)


def test_every_level_is_trained_on_the_rows_of_its_parents(problem):
    """coefs_ against LinearSVC, node by node, rows chosen in plain loops."""
    X, Y = problem
    model = classifier(tol=1e-9, weight_threshold=0, max_iter=5000).fit(X, Y)
    tree, dense = model.tree_, Y.toarray() > 0
    below = [None] * (tree.n_levels + 1)  # label sets below each node, by level
    below[-1] = [{int(label)} for label in tree.slot_labels]
    for t in range(tree.n_levels - 1, -1, -1):
        ptr = tree.child_ptr[t]
        below[t] = [set().union(*below[t + 1][ptr[k] : ptr[k + 1]]) for k in range(len(ptr) - 1)]
    for t in range(tree.n_levels):
        coef = model.coefs_[t].toarray()
        for node in range(0, tree.n_nodes[t + 1], 3):
            parent = int(tree.parent_of(t + 1)[node])
            rows = [i for i in range(300) if t == 0 or any(dense[i, label] for label in below[t][parent])]
            y = [int(any(dense[i, label] for label in below[t + 1][node])) for i in rows]
            if len(set(y)) < 2:
                continue
            oracle = LinearSVC(tol=1e-9, max_iter=10**6).fit(X[rows], y)
            np.testing.assert_allclose(coef[:, node], oracle.coef_[0], atol=5e-6)
            np.testing.assert_allclose(model.intercepts_[t][node], oracle.intercept_[0], atol=5e-6)


def test_learns_a_planted_hierarchy():
    X, Y = make_xmc_classification(3000, 800, 300, random_state=0)
    model = XRLinearClassifier(indexer=HierarchicalKMeans(8, 20), random_state=0).fit(X[:2400], Y[:2400])
    ranked = model.predict_topk(X[2400:], k=5)
    prior = np.asarray(Y[:2400].sum(axis=0)).ravel().argmax()
    baseline = Y[2400:, [prior]].mean()
    assert precision_at_k(Y[2400:], ranked, k=1) > max(0.7, 1.5 * baseline)
    assert recall_at_k(Y[2400:], ranked, k=5) > 0.5


# ---------------------------------------------------------------------- forms of y


@pytest.mark.parametrize(
    "container", [sp.csr_array, sp.csc_array, sp.coo_array, sp.csr_matrix, sp.csc_matrix, sp.lil_matrix]
)
def test_sparse_indicator_gives_sparse_answers(problem, fitted, container):
    X, Y = problem
    model = classifier().fit(X, container(Y))
    scores, chosen = model.decision_function(X), model.predict(X)
    for answer in (scores, chosen):
        assert sp.issparse(answer) and answer.format == "csr" and answer.shape == Y.shape
        assert isinstance(answer, sp.sparray) == issubclass(container, sp.sparray)
    assert scores.dtype == np.float32 and scores.data.min() > 0 and scores.data.max() <= 1
    np.testing.assert_array_equal(scores.toarray(), fitted.decision_function(X).toarray())
    np.testing.assert_array_equal(chosen.toarray(), (scores.toarray() > 0.5).astype(int))


@pytest.mark.parametrize("dtype", [np.int64, np.float64, np.bool_, np.uint8])
def test_dense_indicator_gives_dense_answers(problem, fitted, dtype):
    X, Y = problem
    model = classifier(threshold=0.3).fit(X, Y.toarray().astype(dtype))
    scores = model.decision_function(X)
    assert isinstance(scores, np.ndarray)
    np.testing.assert_allclose(scores + np.float32(0.3), fitted.decision_function(X).toarray(), atol=1e-7)
    np.testing.assert_array_equal(model.predict(X), (scores > 0).astype(int))


@pytest.mark.parametrize(
    "names", [["no", "yes"], [3, 7], [False, True], ["a", "b", "c"], [10, 20, 30, 40], [0.0, 1.0, 2.0]]
)
def test_one_dimensional_targets(names):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, len(names), size=120)
    X = rng.normal(size=(120, 6)) + 3 * np.eye(len(names), 6)[codes]
    y = np.array(names)[codes]
    model = XRLinearClassifier(random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.classes_, np.unique(y))
    assert model.predict(X).dtype == y.dtype
    assert model.score(X, y) == np.mean(model.predict(X) == y) > 0.9
    scores = model.decision_function(X)
    if len(names) == 2:
        assert scores.shape == (120,)
        np.testing.assert_array_equal(model.classes_[(scores > 0).astype(int)], model.predict(X))
    else:
        np.testing.assert_array_equal(model.classes_[scores.argmax(axis=1)], model.predict(X))


def test_score_is_precision_at_one(problem, fitted):
    X, Y = problem
    assert fitted.score(X, Y) == pytest.approx(precision_at_k(Y, fitted.predict_topk(X, k=1), k=1))
    weight = np.random.default_rng(0).uniform(size=300)
    weighted = precision_at_k(Y, fitted.predict_topk(X, k=1), k=1, sample_weight=weight)
    assert fitted.score(X, Y, sample_weight=weight) == pytest.approx(weighted)
    with pytest.raises(ValueError, match="y must have 40 columns"):
        fitted.score(X, Y[:, :30])
    assert fitted.score(X, sp.csr_array(Y.shape)) == 0
    one_label = classifier().fit(X, Y[:, [0]])
    assert one_label.score(X, Y[:, [0]].toarray()) == one_label.score(X, Y[:, [0]]) == Y[:, [0]].mean()


def test_score_refuses_what_does_not_fit(problem, fitted):
    X, Y = problem
    classes = np.arange(300) % 40
    one_dimensional = XRLinearClassifier(random_state=0).fit(X, classes)
    for model, y, message in [
        (fitted, classes, r"y must be an indicator matrix .* got an array of shape \(300,\)"),
        (fitted, None, "y must be an indicator matrix"),
        (one_dimensional, classes[:1], "same number of rows, got 300 and 1"),
        (one_dimensional, Y.toarray(), "1d array"),
        (one_dimensional, None, "1d array"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.score(X, y)
    for weight in (-np.ones(300), np.full(300, np.nan), np.ones(5), np.ones((300, 1))):
        with pytest.raises(ValueError, match=r"sample_weight|Sample weights"):
            fitted.score(X, Y, sample_weight=weight)


@pytest.mark.parametrize("loss", ["log_loss", "squared_hinge"])
def test_predict_proba(problem, loss):
    X, Y = problem
    sparse_model = classifier(loss=loss, score_transform="sigmoid").fit(X, Y)
    probabilities = sparse_model.predict_proba(X)
    np.testing.assert_array_equal(probabilities.toarray(), sparse_model.decision_function(X).toarray())
    dense = classifier(loss=loss, score_transform="sigmoid").fit(X, Y.toarray()).predict_proba(X)
    assert dense.min() > 0 and dense.max() < 1
    np.testing.assert_allclose(dense, probabilities.toarray(), atol=1e-6)
    classes = np.arange(300) % 3
    rows = classifier(loss=loss, score_transform="sigmoid").fit(X, classes).predict_proba(X)
    assert rows.shape == (300, 3)
    np.testing.assert_allclose(rows.sum(axis=1), 1)


def test_slope_of_probabilities():
    X, y = np.array([[0.0], [1.0], [5.0], [6.0]]), np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    model = XRLinearClassifier(indexer=LabelTree.flat(2), loss="log_loss").fit(X, y)
    margins = X @ model.coefs_[0].toarray() + model.intercepts_[0]
    for slope in (1.0, 2.5):
        wanted = 1 / (1 + np.exp(-slope * margins))
        np.testing.assert_allclose(model.set_params(score_slope=slope).predict_proba(X), wanted, rtol=1e-5)


def test_predict_proba_needs_probabilities(fitted):
    assert not hasattr(fitted, "predict_proba")
    with pytest.raises(AttributeError, match="predict_proba"):
        fitted.predict_proba
    assert hasattr(XRLinearClassifier(loss="log_loss"), "predict_proba")
    assert hasattr(XRLinearClassifier(score_transform=["sigmoid", "sigmoid"]), "predict_proba")
    assert not hasattr(XRLinearClassifier(score_transform=["l3_hinge", "sigmoid"]), "predict_proba")


# ---------------------------------------------------------------------- X


def test_containers_of_x_do_not_matter(problem, fitted):
    X, _ = problem
    wanted = fitted.predict_topk(X, k=4)
    wide = sp.csr_array((X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), shape=X.shape)
    read_only = X.copy()
    for array in (read_only.data, read_only.indices, read_only.indptr):
        array.flags.writeable = False
    for other in (
        X.toarray(),
        X.astype(np.float64),
        sp.csc_matrix(X),
        wide,
        np.asfortranarray(X.toarray()),
        read_only,
    ):
        labels, scores = fitted.predict_topk(other, k=4)
        np.testing.assert_array_equal(labels, wanted[0])
        np.testing.assert_array_equal(scores, wanted[1])


def test_dense_and_sparse_x_train_the_same_model(problem, fitted):
    X, Y = problem
    model = classifier(indexer=fitted.tree_).fit(X.toarray(), Y)
    for ours, theirs in zip(model.coefs_, fitted.coefs_, strict=True):
        np.testing.assert_array_equal(ours.toarray(), theirs.toarray())


def test_unsorted_and_duplicated_entries(problem, fitted):
    X, _ = problem
    row = X[[0]]
    order = np.argsort(-row.indices)
    halves = np.concatenate([row.data[order] / 2, row.data[order] / 2])
    messy = sp.csr_array((halves, np.tile(row.indices[order], 2), [0, halves.size]), shape=row.shape)
    labels, scores = fitted.predict_topk(messy, k=3)
    wanted = fitted.predict_topk(row, k=3)
    np.testing.assert_array_equal(labels, wanted[0])
    np.testing.assert_allclose(scores, wanted[1], rtol=1e-5)


@pytest.mark.parametrize("loss", ["squared_hinge", "hinge"])
def test_split_entries_train_the_same_model(problem, loss):
    """Entries that come in eighths: a solver that took them one by one would step eight times too far."""
    X, Y = problem
    rows, columns = np.tile(X.nonzero(), 8)
    order = np.argsort(rows, kind="stable")
    split = sp.csr_array(
        (np.tile(X.data / 8, 8)[order], columns[order].astype(np.int32), 8 * X.indptr), shape=X.shape
    )
    assert split.nnz == 8 * X.nnz
    settings = {"loss": loss, "bias": 0.0, "tol": 1e-9, "max_iter": 10_000, "weight_threshold": 0}
    wanted = classifier(**settings).fit(X, Y)
    model = classifier(indexer=wanted.tree_, **settings).fit(split, Y)
    assert split.nnz == 8 * X.nnz  # the caller's matrix is as it was
    for ours, theirs in zip(model.coefs_, wanted.coefs_, strict=True):
        np.testing.assert_allclose(ours.toarray(), theirs.toarray(), atol=1e-4)


# ---------------------------------------------------------------------- prediction details


def test_k_beyond_the_beam_is_padded(problem, fitted):
    X, _ = problem
    labels, scores = fitted.predict_topk(X[:3], k=45, beam_width=1)
    reached = (labels >= 0).sum(axis=1)
    assert np.all(reached <= 5)
    assert np.all(scores[labels < 0] == -np.inf) and np.all(np.diff((labels >= 0).astype(int), axis=1) <= 0)


@pytest.mark.parametrize("beam_width", [10**6, 2**62, 2**70])
def test_a_beam_wider_than_the_tree_is_as_wide_as_the_tree(problem, fitted, beam_width):
    X, Y = problem
    for ours, theirs in zip(
        fitted.predict_topk(X, k=5, beam_width=beam_width), fitted.predict_topk(X, k=5, beam_width=40),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(ours, theirs)
    settings = {"negative_sampling": "man", "indexer": fitted.tree_}
    wide = classifier(beam_width=beam_width, **settings).fit(X, Y).decision_function(X)
    assert (wide != classifier(beam_width=40, **settings).fit(X, Y).decision_function(X)).nnz == 0


def test_allowed_labels(problem, fitted):
    X, _ = problem
    allowed = [3, 5, 8, 21, 39]
    everyone, _ = fitted.predict_topk(X, k=5, labels=allowed, beam_width=1)
    assert np.all(np.isin(everyone, [-1, *allowed]))
    full, scores = fitted.predict_topk(X, k=5, labels=allowed)
    assert np.all(np.sort(full, axis=1) == allowed)  # a beam of ten reaches them all
    np.testing.assert_array_equal(fitted.predict_topk(X, labels=np.isin(np.arange(40), allowed))[0], full)
    indicator = np.zeros((300, 40))
    indicator[:, allowed] = 1
    for mask in (indicator, sp.csr_array(indicator), sp.csc_matrix(indicator)):
        by_row = fitted.predict_topk(X, k=5, labels=mask)
        np.testing.assert_array_equal(by_row[0], full)
        np.testing.assert_array_equal(by_row[1], scores)
    nothing = fitted.predict_topk(X[:2], k=2, labels=np.array([], dtype=int))
    assert np.all(nothing[0] == -1)


def test_results_do_not_depend_on_threads_batches_or_order(problem, fitted):
    X, Y = problem
    labels, scores = fitted.predict_topk(X, k=7)
    order = np.random.default_rng(0).permutation(300)
    np.testing.assert_array_equal(fitted.predict_topk(X[order], k=7)[1], scores[order])
    np.testing.assert_array_equal(
        np.vstack([fitted.predict_topk(X[[i]], k=7)[0] for i in range(20)]), labels[:20]
    )
    with threadpool_limits(1):
        single = clone(fitted).fit(X, Y)
        np.testing.assert_array_equal(single.predict_topk(X, k=7)[1], scores)
    assert single.tree_ == fitted.tree_


def test_decision_function_holds_every_label_that_is_reached(problem):
    tree = LabelTree([[0, 3], [0, 10, 22, 40]], np.arange(40))  # leaves of 10, 12, 18 labels
    model = classifier(indexer=tree, beam_width=1).fit(*problem)
    labels, scores = model.predict_topk(problem[0], k=40)
    reached = labels >= 0
    assert reached.sum(axis=1).max() == 18
    wanted = np.zeros((300, 40), dtype=np.float32)
    wanted[np.nonzero(reached)[0], labels[reached]] = scores[reached]
    np.testing.assert_array_equal(model.decision_function(problem[0]).toarray(), wanted)


def test_reached_scores_are_assembled_from_blocks(problem, fitted, monkeypatch):
    X, _ = problem
    wanted = fitted.decision_function(X)
    monkeypatch.setattr("sklearn_xmr._base.ROWS_PER_BLOCK", 7)
    assert (fitted.decision_function(X) != wanted).nnz == 0


# ---------------------------------------------------------------------- every parameter acts


@pytest.mark.parametrize(
    "changes",
    [
        {"C": 0.01},
        {"loss": "hinge"},
        {"loss": "log_loss", "score_transform": "l3_hinge"},
        {"positive_weight": 5.0},
        {"negative_weight": 5.0},
        {"bias": 0.0},
        {"weight_threshold": 0.5},
        {"negative_sampling": "tfn+man", "beam_width": 2},
        {"negative_sampling": "man", "beam_width": 1},
        {"negative_sampling": ["tfn", "tfn", "tfn+man"], "beam_width": 3},
        {"score_transform": "sigmoid"},
        {"score_transform": ["l3_hinge", "l3_hinge", "sigmoid"], "score_slope": 3.0},
        {"score_transform": ["l3_hinge", "l3_hinge", "identity"]},
        {"beam_width": 1},
        {"label_embedding": PII()},
        {"indexer": HierarchicalKMeans(max_leaf_size=10)},
        {"ranker": LogisticRegression()},
    ],
    ids=repr,
)
def test_parameter_changes_the_answers(problem, fitted, changes):
    X, Y = problem
    assert fitted.tree_.n_levels == 3
    scores = classifier(**changes).fit(X, Y).decision_function(X)
    assert not np.allclose(scores.toarray(), fitted.decision_function(X).toarray(), atol=1e-4)


def test_random_state_seeds_the_defaults(problem):
    X, Y = problem
    trees = [classifier(random_state=seed).fit(X, Y).tree_ for seed in (0, 0, 1)]
    assert trees[0] == trees[1] != trees[2]


def test_tol_and_max_iter(problem):
    X, Y = problem
    with pytest.warns(ConvergenceWarning, match=r"52 of 52 node problems did not reach tol in 1 pass"):
        quick = classifier(max_iter=1, tol=1e-3).fit(X, Y)
    assert quick.n_iter_ == 1
    assert classifier(tol=1e-3, max_iter=1000).fit(X, Y).n_iter_ > classifier(tol=0.1).fit(X, Y).n_iter_ > 1


@pytest.mark.parametrize("loss", ["squared_hinge", "hinge", "log_loss"])
def test_max_iter_of_tiny_problems(loss):
    X, y = load_digits(return_X_y=True)
    X, y = X[:300, ::4], y[:300]
    free = classifier(loss=loss, indexer=LabelTree.flat(10)).fit(X, y)
    assert free.n_iter_ > 200
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert clone(free).set_params(max_iter=7).fit(X, y).n_iter_ == 7


def test_sample_weight_is_repetition(problem):
    X, Y = problem
    weight = np.random.default_rng(0).integers(0, 3, size=300)
    params = {"indexer": small_tree(), "tol": 1e-10, "max_iter": 10_000, "weight_threshold": 0}
    weighted = classifier(**params).fit(X, Y, sample_weight=weight)
    repeated = classifier(**params).fit(
        X[np.repeat(np.arange(300), weight)], Y[np.repeat(np.arange(300), weight)]
    )
    assert weighted.tree_ == repeated.tree_
    for ours, theirs in zip(weighted.coefs_, repeated.coefs_, strict=True):
        np.testing.assert_allclose(ours.toarray(), theirs.toarray(), atol=1e-6)


@pytest.mark.parametrize("transform", ["l3_hinge", "sigmoid"])
def test_matcher_aware_negatives(problem, transform):
    """The leaf level learns from the rows whose beam holds the leaf, chosen here in plain loops."""
    X, Y = problem
    for scheme in ("man", "tfn+man"):
        model = classifier(
            negative_sampling=scheme, score_transform=transform, beam_width=2, tol=1e-9,
            weight_threshold=0, max_iter=5000,
        )  # fmt: skip
        model.fit(X, Y)
        tree = model.tree_
        leaves = LabelTree(tree.child_ptr[:-1], np.arange(tree.n_nodes[-2]))
        coefs = [coef.toarray() for coef in model.coefs_]
        beams = [
            {node for node, _ in search(row, leaves.child_ptr, leaves.slot_labels, coefs, model.intercepts_,
                                        [transform] * 2, 2, 2)}
            for row in X.toarray()
        ]  # fmt: skip
        leaf_of_label = tree.label_leaves()
        truth = [set(leaf_of_label[Y[[i]].indices].tolist()) for i in range(300)]
        for slot in range(0, tree.n_nodes[-1], 7):
            label, leaf = int(tree.slot_labels[slot]), int(leaf_of_label[tree.slot_labels[slot]])
            y = Y[:, [label]].toarray().ravel() > 0
            rows = [
                i for i in range(300) if leaf in beams[i] or y[i] or (scheme != "man" and leaf in truth[i])
            ]
            oracle = LinearSVC(tol=1e-9, max_iter=10**6).fit(X[rows], y[rows])
            np.testing.assert_allclose(coefs[-1][:, slot], oracle.coef_[0], atol=1e-5)


# ---------------------------------------------------------------------- plug-ins


@pytest.mark.parametrize(
    "embedding",
    [
        PIFA(),
        PII(),
        GraphSpectralEmbedding(n_dims=5),
        LabelTextEmbedding([f"label {i} group {i % 7}" for i in range(40)]),
        make_pipeline(PIFA(), TruncatedSVD(8), Normalizer()),
        np.random.default_rng(0).normal(size=(40, 5)),
        sp.csr_matrix(np.random.default_rng(0).normal(size=(40, 5))),
    ],
    ids=lambda embedding: type(embedding).__name__,
)
def test_label_embeddings_plug_in(problem, embedding):
    X, Y = problem
    for data in (X, X.toarray()):
        model = classifier(label_embedding=embedding).fit(data, Y)
        assert model.tree_.n_levels == 3
        matches_reference(model, X)
        clone(model)


class OwnEmbedding(BaseEstimator):
    """The smallest label embedding: fit_transform alone, whatever it returns."""

    def __init__(self, convert):
        self.convert = convert

    def fit_transform(self, X, Y):
        return self.convert(PIFA().fit_transform(X, Y))


class OnlyFits(BaseEstimator):
    def fit(self, X, Y):
        return self


@pytest.mark.parametrize("weight", [None, np.ones(300)], ids=["plain", "weighted"])
def test_own_label_embedding(problem, fitted, weight):
    for convert in (sp.coo_array, sp.csc_matrix, lambda Z: Z.toarray().tolist()):
        own = classifier(label_embedding=OwnEmbedding(convert)).fit(*problem, sample_weight=weight)
        assert own.tree_ == fitted.tree_


def test_output_container_of_scikit_learn_does_not_matter(problem, fitted):
    with config_context(transform_output="pandas"):  # which refuses sparse vectors
        model = classifier(label_embedding=make_pipeline(PIFA(), Normalizer())).fit(*problem)
    assert model.tree_ == fitted.tree_


def test_label_embedding_that_gives_no_vectors_is_refused(problem):
    frozen_pipeline = FrozenEstimator(make_pipeline(PIFA(), TruncatedSVD(3)).fit(*problem))
    for embedding in (OwnEmbedding(lambda Z: None), OwnEmbedding(np.shape), OnlyFits(), frozen_pipeline):
        with pytest.raises(TypeError, match="label_embedding must have fit_transform"):
            classifier(label_embedding=embedding).fit(*problem)


def test_fitted_indexer_and_tree_are_reused(problem, fitted):
    X, Y = problem
    indexer = small_tree().set_params(random_state=5).fit(PIFA().fit_transform(X, Y))
    for prepared in (FrozenEstimator(indexer), indexer.tree_):
        model = XRLinearClassifier(indexer=prepared).fit(X, Y)
        assert model.tree_ is indexer.tree_
    frozen = FrozenEstimator(PIFA().fit(X, Y))
    assert classifier(label_embedding=frozen).fit(X, Y).tree_ == fitted.tree_


class RoundRobin(BaseEstimator):
    """The smallest indexer: label l goes to leaf l % 4."""

    def fit(self, Z):
        leaf = np.arange(Z.shape[0]) % 4
        self.tree_ = LabelTree(
            [[0, 4], np.concatenate([[0], np.cumsum(np.bincount(leaf))])], np.argsort(leaf, kind="stable")
        )
        return self


def test_own_indexer(problem):
    model = XRLinearClassifier(indexer=RoundRobin()).fit(*problem)
    assert model.tree_.n_nodes == (1, 4, 40)
    matches_reference(model, problem[0])


class ReversedKMeans(HierarchicalKMeans):
    """A subclass whose fit says which label is which in the other order."""

    def fit(self, Z, y=None):
        super().fit(Z[::-1])
        self.tree_ = LabelTree(self.tree_.child_ptr, self.tree_.n_labels - 1 - self.tree_.slot_labels)
        return self


def test_fit_of_a_subclass_counts(problem):
    X, Y = problem
    Z = PIFA().fit_transform(X, Y)
    settings = {"branching_factor": 4, "max_leaf_size": 10, "random_state": 3}
    model = XRLinearClassifier(indexer=ReversedKMeans(**settings)).fit(X, Y)
    assert model.tree_ == ReversedKMeans(**settings).fit(Z).tree_
    assert model.tree_ != HierarchicalKMeans(**settings).build_tree(Z)


class Plain:
    """An indexer and an embedding that know nothing of scikit-learn."""

    def fit(self, Z):
        self.tree_ = LabelTree.flat(Z.shape[0])

    def fit_transform(self, X, Y):
        return (Y.T @ X).toarray()


def test_steps_need_not_be_estimators(problem):
    model = classifier(label_embedding=Plain(), indexer=Plain()).fit(*problem)
    assert model.tree_ == LabelTree.flat(40)
    assert not hasattr(model.indexer, "tree_")  # a copy was fitted
    with pytest.raises(TypeError, match="class"):
        classifier(indexer=Plain).fit(*problem)


def test_taxonomy_with_overlap(problem):
    X, Y = problem
    leaves = np.arange(40) % 4
    assignment = np.eye(4)[leaves]
    assignment[:8, 3] = 1  # eight labels also live in the last leaf
    tree = LabelTree.from_assignments([np.ones((4, 1)), assignment])
    model = XRLinearClassifier(indexer=tree).fit(X, Y)
    matches_reference(model, X)
    labels, _ = model.predict_topk(X, k=40)
    assert all(len(set(row.tolist())) == 40 for row in labels)


@pytest.mark.parametrize(
    "ranker", [LinearSVC(tol=1e-8, max_iter=10**5), RidgeClassifier(), LogisticRegression()]
)
def test_own_ranker(problem, ranker):
    X, Y = problem
    model = classifier(ranker=ranker, weight_threshold=0, indexer=HierarchicalKMeans(max_leaf_size=10)).fit(
        X, Y
    )
    matches_reference(model, X)
    if isinstance(ranker, LinearSVC):
        own = classifier(weight_threshold=0, tol=1e-9, max_iter=5000, indexer=model.tree_).fit(X, Y)
        for ours, theirs in zip(own.coefs_, model.coefs_, strict=True):
            np.testing.assert_allclose(ours.toarray(), theirs.toarray(), atol=1e-5)


def test_own_ranker_with_matcher_aware_negatives_and_weights(problem):
    X, Y = problem
    weight = np.random.default_rng(0).uniform(0.5, 2, size=300)
    settings = {"negative_sampling": "man", "beam_width": 2, "weight_threshold": 0}
    settings["indexer"] = HierarchicalKMeans(max_leaf_size=10)
    theirs = classifier(ranker=LinearSVC(tol=1e-9, max_iter=10**6), **settings).fit(
        X, Y, sample_weight=weight
    )
    ours = classifier(tol=1e-9, max_iter=5000, **settings).fit(X, Y, sample_weight=weight)
    for a, b in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(a.toarray(), b.toarray(), atol=1e-5)


def test_own_ranker_is_seeded(problem, fitted):
    ranker = SGDClassifier(max_iter=3, tol=None)
    scores = [
        classifier(ranker=ranker, indexer=fitted.tree_, random_state=seed)
        .fit(*problem)
        .decision_function(problem[0])
        for seed in (0, 0, 1)
    ]
    assert (scores[0] != scores[1]).nnz == 0 < (scores[0] != scores[2]).nnz
    assert ranker.random_state is None


def test_own_ranker_with_a_sparse_coef(problem):
    X, Y = problem
    settings = {"weight_threshold": 0, "indexer": HierarchicalKMeans(max_leaf_size=10)}
    ours = classifier(ranker=SVC(kernel="linear", tol=1e-9), **settings)
    for a, b in zip(ours.fit(X, Y).coefs_, clone(ours).fit(X.toarray(), Y).coefs_, strict=True):
        np.testing.assert_allclose(a.toarray(), b.toarray(), atol=1e-5)


class FixedRanker(BaseEstimator):
    def __init__(self, coef, intercept):
        self.coef = coef
        self.intercept = intercept

    def fit(self, X, y):
        self.coef_, self.intercept_ = self.coef, self.intercept
        return self


@pytest.mark.parametrize(
    "coef, intercept, message",
    [
        (np.ones(3), 0.0, r"got 3 and 1 for 60 feature\(s\)"),
        (np.ones(60), [0.0, 1.0], "got 60 and 2"),
        (np.full(60, np.nan), 0.0, "finite coef_ and intercept_"),
        (np.ones(60), -np.inf, "finite coef_ and intercept_"),
    ],
)
def test_own_ranker_that_fails_is_refused(problem, coef, intercept, message):
    with pytest.raises(ValueError, match=f"ranker must have .*{message}"):
        classifier(ranker=FixedRanker(coef, intercept)).fit(*problem)


# ---------------------------------------------------------------------- edge cases


def test_label_without_positives_is_never_returned(problem):
    X, Y = problem
    keep = np.ones(40)
    keep[[0, 17]] = 0
    model = classifier().fit(X, sp.csr_array(Y.multiply(keep)))
    labels, _ = model.predict_topk(X, k=40, beam_width=40)
    assert not np.isin(labels, [0, 17]).any()
    assert np.all((labels >= 0).sum(axis=1) == 38)


def test_empty_rows_and_rows_without_labels(problem):
    X, Y = problem
    X, Y = X.copy().tolil(), Y.copy().tolil()
    X[5], Y[9] = 0, 0
    model = classifier().fit(sp.csr_array(X), sp.csr_array(Y))
    labels, scores = model.predict_topk(sp.csr_array((2, 60)), k=3)
    assert np.all(labels >= 0) and np.all(np.isfinite(scores))
    matches_reference(model, sp.csr_array(X))


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (5, 1), (4, 2), (30, 7)])
def test_small_shapes(shape):
    n_samples, n_labels = shape
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(n_samples, 4))
    Y = np.zeros(shape)
    Y[np.arange(n_samples), np.arange(n_samples) % n_labels] = 1
    model = XRLinearClassifier(indexer=HierarchicalKMeans(max_leaf_size=2), random_state=0)
    model.fit(X, sp.csr_array(Y))
    labels, scores = model.predict_topk(X, k=2)
    assert labels.shape == scores.shape == (n_samples, 2)
    assert np.all(labels[:, 0] >= 0)
    assert model.decision_function(X).shape == shape


def test_a_feature_that_training_never_saw(problem):
    X, Y = problem
    wide = sp.csr_array(sp.hstack([X, sp.csr_array((300, 3))]))
    model = classifier().fit(wide, Y)
    query = wide[:5].tolil()
    wanted = model.predict_topk(sp.csr_array(query), k=3)
    query[:, 60:] = 1
    np.testing.assert_array_equal(model.predict_topk(sp.csr_array(query), k=3)[1], wanted[1])


def test_no_rows_to_predict_is_an_error_not_a_crash(fitted):
    with pytest.raises(ValueError, match="0 sample"):
        fitted.predict_topk(np.empty((0, 60)))


def test_largest_integers_are_taken_as_passes(problem):
    assert classifier(max_iter=2**40).fit(*problem).n_iter_ < 1000


@pytest.mark.parametrize("later", [{"loss": "log_loss"}, {"loss": "log_loss", "ranker": LinearSVC()}])
def test_transform_of_a_fitted_model_waits_for_the_next_fit(problem, later):
    """The margins stay those of the loss that they were trained with."""
    X, _ = problem
    model = classifier(loss="squared_hinge").fit(*problem)
    before = model.predict_topk(X, k=3)
    model.set_params(**later)
    np.testing.assert_array_equal(model.predict_topk(X, k=3), before)
    assert not hasattr(model, "predict_proba")
    assert hasattr(model.set_params(ranker=None).fit(*problem), "predict_proba")


def test_negatives_of_a_second_fit_are_of_its_own_transform(problem):
    X, _ = problem
    settings = {"loss": "squared_hinge", "negative_sampling": "man", "beam_width": 3}
    again = classifier(loss="log_loss").fit(*problem).set_params(**settings).fit(*problem)
    fresh = classifier(**settings).fit(*problem)
    np.testing.assert_array_equal(again.predict_topk(X, k=3), fresh.predict_topk(X, k=3))


def test_scores_that_round_to_one_keep_their_order():
    """A batch of ones would leave it to the numbers of the classes which is best."""
    model = XRLinearClassifier(loss="log_loss", C=1e3, negative_weight=1e-3, random_state=0)
    model.fit(np.eye(3), [0, 1, 2])
    query = [[6.0, 8.0, 0.0]]
    labels, scores = model.predict_topk(query, 3)
    assert labels.tolist() == [[1, 0, 2]]
    assert scores[0, 0] == 1 and np.all(np.diff(scores) < 0)
    assert model.predict(query) == model.decision_function(query).argmax(axis=1) == [1]
    assert model.predict_proba(query).argmax(axis=1) == [1]
    ensemble = XMREnsembleClassifier(model, random_state=0).fit(np.eye(3), [0, 1, 2])
    assert ensemble.predict(query) == [1]
    twins = classifier().fit(np.eye(3), np.array([[1, 1], [0, 0], [0, 0]]))
    labels, scores = twins.predict_topk([[2.0, 0.0, 0.0]], 2)
    assert labels.tolist() == [[0, 1]] and scores[0, 0] == scores[0, 1]  # equal logarithms


@pytest.mark.parametrize("bias", [np.uint8(16), np.int8(16)])
def test_bias_of_a_small_type(problem, bias):
    X, Y = problem
    model, same = (classifier(bias=value).fit(X, Y) for value in (bias, float(bias)))
    np.testing.assert_array_equal(model.intercepts_[-1], same.intercepts_[-1])


# ---------------------------------------------------------------------- bad input


def test_stored_zeros_of_X_change_nothing():
    """The number of nonzeros decides how weights are stored: 12,000 are few, 120,000 would not be."""
    rng = np.random.default_rng(1)
    dense = np.where(rng.random((300, 400)) < 0.1, rng.random((300, 400)), 0).astype(np.float32)
    Y = sp.csr_array((rng.random((300, 40)) < 0.1).astype(int))
    X, stored = sp.csr_array(dense), sp.csr_array(np.ones_like(dense))
    stored.data[:] = dense.ravel()
    model, other = (XRLinearClassifier(random_state=0).fit(data, Y) for data in (X, stored))
    assert [weights.value_dtype for weights in other.chunked_weights_] == ["float32"]
    np.testing.assert_array_equal(other.predict_topk(X)[1], model.predict_topk(X)[1])
    for a, b in zip(model.chunked_weights_, other.chunked_weights_, strict=True):
        np.testing.assert_array_equal(a.entries, b.entries)
    assert stored.nnz == dense.size  # the caller's array is as it was


@pytest.mark.parametrize(
    "missing", [None, np.nan, pd.NA, np.datetime64("NaT", "s")], ids=["None", "nan", "NA", "NaT"]
)
def test_missing_classes_are_refused(missing):
    X = np.eye(4)
    y = np.array(["a", "b", "a", "b"], dtype=object)
    model = classifier().fit(X, y)
    before = model.predict_topk(X)
    y[2] = missing
    for call in (model.fit, PIFA().fit_transform):
        with pytest.raises(ValueError, match=r"y must have a class for each row|Input y contains NaN"):
            call(X, y)
    with pytest.raises(ValueError, match=r"y must have a class for each row|Input y contains NaN"):
        model.fit(X, pd.Series(y))
    np.testing.assert_array_equal(model.predict_topk(X)[1], before[1])


KNOWN_AS_OTHERS = [
    (np.array(["a", "b", "a", "b"]), np.arange(4)),
    (np.array(["1", "2", "1", "2"]), np.array([1, 2, 1, 2])),
    (np.array(["a", "b", "a", "b"], dtype=object), np.array([True, False, True, False])),
    (np.array([1, 2, 1, 2]), np.array(["1", "2", "1", "2"], dtype=object)),
    (np.array([False, True, False, True]), np.array(["False"] * 4)),
    (np.array(["2020-01-01", "2021-01-01"] * 2, dtype="M8[D]"), np.array(["2020-01-01"] * 4)),
]


@pytest.mark.parametrize("known, other", KNOWN_AS_OTHERS, ids=range(len(KNOWN_AS_OTHERS)))
@pytest.mark.parametrize("meta", [False, True])
def test_score_of_classes_of_another_kind(known, other, meta):
    model = XMREnsembleClassifier(classifier(), n_estimators=2) if meta else classifier()
    model.fit(np.eye(4), known)
    assert model.score(np.eye(4), known) == 1
    for y in (other, list(other)):
        with pytest.raises(ValueError, match="y must have classes like those of fit, such as"):
            model.score(np.eye(4), y)


def test_score_takes_classes_that_are_equal_or_new():
    model = classifier().fit(np.eye(4), [1, 2, 1, 2])
    assert model.score(np.eye(4), [1.0, 2.0, 3.0, 2.0]) == 0.75
    assert classifier().fit(np.eye(4), [True, False] * 2).score(np.eye(4), [1, 0, 0, 0]) == 0.75
    assert classifier().fit(np.eye(4), ["a", "b"] * 2).score(np.eye(4), ["a", "b", "a", "c"]) == 0.75
    for wrong, message in (
        ([1, None, 1, 2], "y must have a class for each row, got None"),
        ([1, np.nan, 1, 2], "y contains NaN"),
        ([0.5, 1.5, 1.1, 2], "continuous"),
    ):
        with pytest.raises(ValueError, match=message):
            model.score(np.eye(4), wrong)


@pytest.mark.parametrize("y", [
    [["tax", "law"], ["tax", "vat"], ["law", "vat"], ["law", "tax"]],
    [{"tax"}, {"tax", "law"}, {"law"}, {"vat"}],
    [["tax"], ["tax", "law"], ["law"], ["vat"]],
], ids=["pairs", "sets", "ragged"])  # fmt: skip
def test_labels_in_lists_get_a_hint(y):
    with pytest.raises(ValueError, match="MultiLabelBinarizer"):
        classifier().fit(np.eye(4), y)


@pytest.mark.parametrize("meta", [False, True])
@pytest.mark.parametrize("threshold", [7, -1, None, np.nan, "a"])
def test_threshold_set_after_fit(problem, threshold, meta):
    model = XMREnsembleClassifier(classifier(), n_estimators=2) if meta else classifier()
    model.fit(problem[0], problem[1].toarray()).set_params(threshold=threshold)
    for method in (model.predict, model.decision_function):
        with pytest.raises(ValueError, match="threshold must be a number between 0 and 1, got"):
            method(problem[0])


def test_transform_set_after_fit(problem):
    model = classifier().fit(*problem).set_params(score_transform=None)
    with pytest.raises(ValueError, match="score_transform must be a str or a list of these, got None"):
        model.predict_topk(problem[0])


@pytest.mark.parametrize("meta", [False, True])
def test_mixed_column_names_are_refused_before_the_fit(problem, monkeypatch, meta):
    monkeypatch.setattr(XRLinearClassifier, "_fit_indexer", lambda *args: pytest.fail("was fitted"))
    X = pd.DataFrame(problem[0].toarray()).rename(columns={0: "a"})
    model = XMREnsembleClassifier(classifier(), n_estimators=2) if meta else classifier()
    with pytest.raises(TypeError, match="string names"):
        model.fit(X, problem[1])


def test_weights_beyond_float32_are_refused(problem):
    with pytest.raises(ValueError, match=r"sample_weight must fit into float32, got 1e\+300"):
        classifier().fit(*problem, sample_weight=np.full(300, 1e300))


def test_classes_that_do_not_compare_are_refused():
    with pytest.raises(ValueError, match="y must have classes that can be sorted"):
        classifier().fit(np.eye(4), np.array(["a", 1, "a", 1], dtype=object))


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_rows_too_long_to_learn_from_are_refused(container):
    """A step is the inverse of a squared length, which float32 rounds to 0."""
    X = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    y = np.argmax(X, axis=1)
    with pytest.warns(ConvergenceWarning):
        model = classifier(indexer=LabelTree.flat(5), tol=0.1, max_iter=50).fit(container(1e17 * X), y)
    assert model.chunked_weights_[0].entries.size
    with pytest.raises(ValueError, match=r"X must have rows of a length up to 1e\+18, got one of 3"):
        classifier().fit(container(1e25 * X), y)


def test_weights_that_are_not_finite_are_refused(problem):
    with pytest.raises(ValueError, match="not finite: X, C"):
        classifier(loss="log_loss", C=1e300, tol=1e-3, max_iter=2).fit(*problem)


def test_positives_of_weight_zero_alone_are_refused(problem):
    X, Y = problem
    Y = sp.csr_array(Y.multiply(np.arange(300).reshape(-1, 1) < 10))
    weight = (np.arange(300) >= 10).astype(float)
    with pytest.raises(ValueError, match="sample_weight must be positive for at least one row with"):
        classifier(indexer=LabelTree.flat(40)).fit(X, Y, sample_weight=weight)


@pytest.mark.parametrize(
    "X, Y, message",
    [
        (np.ones((4, 2)), np.ones((3, 2)), r"4 rows in X and y of shape \(3, 2\)"),
        (np.ones((4, 2)), sp.csr_array(np.ones((3, 2))), r"4 rows in X and y of shape \(3, 2\)"),
        (np.ones((4, 2)), np.ones(3), "4 rows in X"),
        (np.array([[np.nan, 1]] * 4), np.ones((4, 2)), "X contains NaN"),
        (np.array([[np.inf, 1]] * 4), np.ones((4, 2)), "X contains infinity"),
        (np.full((4, 2), 1e300), np.ones((4, 2)), "X must fit into float32"),
        (sp.csr_array(np.array([[np.nan, 1]] * 4)), np.ones((4, 2)), "X contains NaN"),
        (np.ones((4, 2)), -np.ones((4, 2)), "y must contain only 0 and 1, got the value -1"),
        (
            np.ones((4, 2)),
            sp.csr_array(2 * np.ones((4, 2))),
            "y must contain only 0 and 1, got the value 2",
        ),
        (
            np.ones((4, 2)),
            sp.csr_array(np.full((4, 2), np.nan)),
            "y must contain only 0 and 1, got the value nan",
        ),
        (np.ones((4, 2)), np.full((4, 2), np.nan), "y contains NaN"),
        (np.ones((4, 2)), np.zeros((4, 2)), "no positive label"),
        (np.ones((4, 2)), sp.csr_array((4, 2)), "no positive label"),
        (np.ones((4, 2)), sp.csr_array((4, 0)), "at least one label"),
        (np.ones((4, 2)), np.array([0.5, 1.5, 2.5, 3.5]), "continuous"),
        (np.ones((4, 2)), np.array([["a", "b"]] * 4), "y must be numeric or boolean"),
        (np.ones((4, 2)), None, "y"),
        (np.ones((4, 2)), [[1], [0, 1], [0], [1]], "y must be an array, got rows of different lengths"),
        (np.ones((4, 2)), np.ones((4, 2, 2)), r"y must be an indicator matrix .* shape \(4, 2, 2\)"),
        (np.ones(4), np.ones((4, 2)), "2D array"),
        (np.ones((0, 2)), np.ones((0, 2)), "0 sample"),
        (np.array([["a", "b"]] * 4), np.ones((4, 2)), "could not convert string|dtype='numeric'"),
    ],
)
def test_bad_data_is_refused(X, Y, message):
    with pytest.raises(ValueError, match=message):
        XRLinearClassifier().fit(X, Y)


@pytest.mark.parametrize(
    "params, message",
    [
        ({"C": 0}, "'C' parameter"),
        ({"loss": "hinges"}, "'loss' parameter"),
        ({"beam_width": 0}, "'beam_width' parameter"),
        ({"beam_width": 2.5}, "'beam_width' parameter"),
        ({"weight_threshold": -1}, "'weight_threshold' parameter"),
        ({"max_iter": 0}, "'max_iter' parameter"),
        ({"tol": 0}, "'tol' parameter"),
        ({"tol": "tight"}, "'tol' parameter"),
        ({"threshold": 2}, "'threshold' parameter"),
        ({"bias": -1}, "'bias' parameter"),
        ({"bias": 1e19}, "'bias' parameter"),
        ({"positive_weight": 0}, "'positive_weight' parameter"),
        ({"random_state": "zero"}, "'random_state' parameter"),
        ({"negative_sampling": "tnf"}, "negative_sampling must be one of .* got 'tnf'"),
        ({"negative_sampling": ["tfn"] * 9}, "negative_sampling must be one name or one per level, got 9"),
        ({"score_slope": 0}, "'score_slope' parameter"),
        ({"score_transform": "l9_hinge"}, "score_transform must be one of .* got 'l9_hinge'"),
        ({"score_transform": ["sigmoid"] * 9}, "score_transform must be one name or one per level, got 9"),
        ({"score_transform": ["identity", "l3_hinge", "l3_hinge"]}, "must not return from 'identity'"),
        ({"indexer": "kmeans"}, "'indexer' parameter"),
        ({"label_embedding": "pifa"}, "'label_embedding' parameter"),
        ({"label_embedding": np.ones((3, 2))}, "label_embedding must give one row per label"),
        ({"indexer": LabelTree.flat(39)}, r"label tree has 39 label\(s\), but y has 40"),
        ({"indexer": LabelTree([[0, 1]] * 64 + [[0, 40]], np.arange(40))}, "65 levels; at most 64"),
        ({"indexer": TruncatedSVD(2)}, "indexer must set tree_ to a LabelTree"),
        ({"ranker": "svm"}, "'ranker' parameter"),
        ({"ranker": TruncatedSVD(2)}, "ranker must be a linear classifier"),
    ],
    ids=str,
)
def test_bad_parameters_are_refused(problem, params, message):
    with pytest.raises((ValueError, TypeError), match=message):
        classifier(**params).fit(*problem)


@pytest.mark.parametrize("weight", [np.ones(3), -np.ones(300), np.full(300, np.nan), np.zeros(300)])
def test_bad_sample_weight_is_refused(problem, weight):
    with pytest.raises(ValueError, match=r"sample_weight|Sample weights|weights|NaN"):
        classifier().fit(*problem, sample_weight=weight)


def test_bad_queries_are_refused(problem, fitted):
    X, _ = problem
    for k in (0, -1):
        with pytest.raises(ValueError, match="k must be at least 1"):
            fitted.predict_topk(X, k=k)
    for k in (2.0, "5", True, None):
        with pytest.raises(TypeError, match="k must be an integer"):
            fitted.predict_topk(X, k=k)
    with pytest.raises(ValueError, match="beam_width must be at least 1"):
        fitted.predict_topk(X, beam_width=0)
    with pytest.raises(ValueError, match="59 features, but XRLinearClassifier is expecting 60"):
        fitted.predict_topk(X[:, :59])
    with pytest.raises(ValueError, match="NaN"):
        fitted.predict(np.full((2, 60), np.nan))
    with pytest.raises(ValueError, match=r"labels must be in \[0, 40\), got 40"):
        fitted.predict_topk(X, labels=[1, 40])
    with pytest.raises(ValueError, match=r"labels must be in \[0, 40\), got -1"):
        fitted.predict_topk(X, labels=[-1])
    with pytest.raises(ValueError, match=f"got {2**63}"):
        fitted.predict_topk(X, labels=np.array([2**63], dtype=np.uint64))
    for labels in ([0.5], np.ones(39, dtype=bool), ["a"]):
        with pytest.raises(TypeError, match="labels must be integers, or 40 of bool, got shape"):
            fitted.predict_topk(X, labels=labels)
    for labels in (3, {1, 2}, np.ones((2, 2, 2)), sp.coo_array(np.ones(40))):
        with pytest.raises(ValueError, match=r"labels must be an array of label numbers \(1-D\)"):
            fitted.predict_topk(X, labels=labels)
    with pytest.raises(ValueError, match="labels must be an array, got rows of different lengths"):
        fitted.predict_topk(X, labels=[[1, 2], [3]])
    with pytest.raises(ValueError, match="labels must have 40 columns"):
        fitted.predict_topk(X, labels=np.ones((300, 39)))
    with pytest.raises(ValueError, match="300 rows in X and labels of shape"):
        fitted.predict_topk(X, labels=np.ones((299, 40)))
    with pytest.raises(ValueError, match="score_transform must be one of"):
        clone(fitted).set_params(score_transform="x").fit(*problem)
    with pytest.raises(NotFittedError):
        XRLinearClassifier().predict_topk(X)


def test_failed_fit_leaves_the_model_usable(problem, fitted):
    X, Y = problem
    model = clone(fitted).fit(X, Y)
    before = model.predict_topk(X, k=5)
    for bad_X, bad_Y in ((X[:, :30], Y[:200]), (X, sp.csr_array((300, 40))), (X[:, :30], 2 * Y)):
        with pytest.raises(ValueError, match="y"):
            model.fit(bad_X, bad_Y)
    with pytest.raises(ValueError, match="label tree"):
        model.set_params(indexer=LabelTree.flat(3)).fit(X[:, :20], Y[:, :10])
    with pytest.raises(ValueError, match="label tree has 65 levels"):
        model.set_params(indexer=LabelTree([[0, 1]] * 64 + [[0, 40]], np.arange(40))).fit(X[:, :20], Y)
    after = model.predict_topk(X, k=5)
    np.testing.assert_array_equal(before[0], after[0])
    np.testing.assert_array_equal(before[1], after[1])
    assert model.n_features_in_ == 60


def test_dense_rows_are_stored_as_equal_sparse_ones():
    X, Y = make_xmc_classification(300, 400, 60, features_per_sample=30, random_state=0)
    tree = small_tree()
    sparse, dense = (classifier(indexer=tree).fit(features, Y) for features in (X, X.toarray()))
    for model in (sparse, dense):
        assert {level.value_dtype for level in model.chunked_weights_} == {"float32"}


def smallest_weight(model):
    return min(np.abs(coef.data[coef.data != 0]).min() for coef in model.coefs_)


@pytest.mark.parametrize("container", [sp.csr_array, sp.csr_array.toarray])
@pytest.mark.parametrize("ranker", [None, LogisticRegression()])
def test_weight_threshold_shrinks_as_rows_grow(problem, container, ranker):
    X, Y = problem
    X = Normalizer().fit_transform(X)
    for length, threshold in ((0.5, 0.1), (2, 0.1), (8, 0.025), (20, 0.01)):
        model = classifier(ranker=ranker).fit(container(sp.csr_array(np.float32(length) * X)), Y)
        assert threshold <= smallest_weight(model) * (1 + 1e-5) < 1.2 * threshold


def test_scaled_long_rows_give_the_same_scores(problem):
    """With C and bias to suit: by powers of two weights, and what is dropped, are the same to the bit."""
    X, Y = problem
    X = 2 * Normalizer().fit_transform(X)
    once, more = (
        classifier(weight_threshold=0.2, bias=scale, C=1 / scale**2).fit(scale * X, Y)
        for scale in (1.0, 16.0)
    )
    assert smallest_weight(once) >= 0.2
    ours, theirs = once.predict_topk(X), more.predict_topk(np.float32(16) * X)
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])


@pytest.mark.parametrize("cast", ["Int64", "boolean", "object"])
def test_indicators_of_python_objects(problem, cast):
    pd = pytest.importorskip("pandas")
    X, Y = problem
    frame = pd.DataFrame(Y.toarray().astype(int)).astype(cast)
    before = classifier().fit(X, Y.toarray()).predict_topk(X)
    for ours, theirs in zip(classifier().fit(X, frame).predict_topk(X), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="must be numeric or boolean, got dtype object"):
        classifier().fit(X, frame.astype(str).to_numpy(dtype=object))
    frame.iloc[0, 0] = pd.NA
    with pytest.raises(ValueError, match=r"must be numeric or boolean, got dtype object|only 0 and 1, got"):
        classifier().fit(X, frame)


def unaligned(array):
    """The same array one byte off, as parts of mapped files may be."""
    copy = np.ndarray(array.shape, array.dtype, buffer=np.zeros(array.nbytes + 1, np.uint8), offset=1)
    copy[...] = array
    assert not copy.flags.aligned
    return copy


def test_arrays_that_are_not_aligned(problem):
    X, Y = problem
    odd = sp.csr_array(X, copy=True)
    odd.data, odd.indices, odd.indptr = map(unaligned, (X.data, X.indices, X.indptr))
    assert not is_clean_csr(odd, X.shape[1]) and is_clean_csr(X, X.shape[1])
    assert all(array.flags.aligned for array in as_kernel_csr(odd))
    model = classifier(random_state=0).fit(X, Y)
    wanted = model.predict_topk(X)
    for features in (odd, unaligned(X.toarray())):
        for found in (
            model.predict_topk(features),
            classifier(random_state=0).fit(features, Y).predict_topk(X),
        ):
            np.testing.assert_array_equal(found[0], wanted[0])
            np.testing.assert_array_equal(found[1], wanted[1])


def test_interrupted_anywhere_a_fit_leaves_one_model(problem):
    """Ctrl-C before every line of `fit` after the training, as a trace function sees them."""
    X, Y = problem
    narrow, wide = (pd.DataFrame(X[:, :3].toarray()).add_prefix("x"), Y[:, :5]), (X, Y)
    model = classifier(random_state=0)
    answers = [model.fit(*data).predict_topk(data[0]) for data in (narrow, wide)]
    seen = 0
    for stop in range(1, 200):
        model.fit(*narrow)
        lines = 0

        def trace(frame, event, arg, stop=stop):
            nonlocal lines
            if frame.f_code is BaseXMRClassifier.fit.__wrapped__.__code__:
                lines += event == "line" and "search" in frame.f_locals
                if lines == stop:
                    sys.settrace(None)
                    raise KeyboardInterrupt
                return trace
            return None

        sys.settrace(trace)
        try:
            model.fit(*wide)
            break
        except KeyboardInterrupt:
            seen += 1
        finally:
            sys.settrace(None)
        is_new = model.n_features_in_ == X.shape[1]
        assert hasattr(model, "feature_names_in_") != is_new
        found = model.predict_topk((wide if is_new else narrow)[0])
        np.testing.assert_array_equal(found[0], answers[is_new][0])
        np.testing.assert_array_equal(found[1], answers[is_new][1])
    assert seen > 10


def test_a_search_of_another_width_is_refused(problem):
    X, Y = problem
    model = classifier(random_state=0).fit(X, Y)
    for features, transforms in ((X[:, :3], [(0, 1.0)] * model.tree_.n_levels), (X, [])):
        with pytest.raises(
            ValueError, match=f"X must have {X.shape[1]} columns and .* score transforms, got"
        ):
            model._search.topk(features, 1, 1, transforms)
