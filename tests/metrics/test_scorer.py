"""Scorers inside scikit-learn's model selection."""

import pickle
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from _data import random_problem
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    LearningCurveDisplay,
    RandomizedSearchCV,
    ValidationCurveDisplay,
    cross_val_score,
    cross_validate,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler
from sklearn.svm import LinearSVC

from sklearn_xmr.metrics import (
    coverage_at_k,
    jain_propensity,
    make_topk_scorer,
    ndcg_at_5_scorer,
    ndcg_at_k,
    precision_at_1_scorer,
    precision_at_3_scorer,
    precision_at_5_scorer,
    precision_at_k,
    propensity_scored_precision_at_k,
    recall_at_k,
    topk,
)


class FakeRanker(ClassifierMixin, BaseEstimator):
    """Ranks labels by training frequency, rotated by `shift`; refuses everything but predict_topk."""

    def __init__(self, shift=0):
        self.shift = shift

    def fit(self, X, y, sample_weight=None):
        weights = np.ones(X.shape[0]) if sample_weight is None else np.asarray(sample_weight)
        self.counts_ = weights @ sp.csr_array(y)
        self.classes_ = np.arange(y.shape[1])
        return self

    def predict_topk(self, X, k=5):
        if k > self.counts_.size:
            raise ValueError("k is more than there are labels")
        self.last_X_ = X
        return topk(np.tile(np.roll(self.counts_, self.shift), (X.shape[0], 1)), k)


@pytest.fixture(params=["sparse", "dense"])
def data(request):
    X, Y = random_problem(n_samples=60, n_labels=8)
    return (X, Y) if request.param == "sparse" else (X.toarray(), Y.toarray().astype(int))


def test_asks_predict_topk_first(data):
    X, Y = data
    ranker = FakeRanker().fit(X, Y)
    ranker.decision_function = None  # would fail if it were called
    expected = recall_at_k(Y, ranker.predict_topk(X, k=3), k=3)
    assert make_topk_scorer(recall_at_k, k=3)(ranker, X, Y) == expected
    assert make_topk_scorer(recall_at_k, k=3)(FrozenEstimator(ranker), X, Y) == expected
    frozen = FrozenEstimator(make_pipeline("passthrough", ranker))  # has neither method
    assert make_topk_scorer(recall_at_k, k=3)(frozen, X, Y) == expected


def test_k_above_the_number_of_labels_still_divides_by_k(data):
    X, Y = data
    score = make_topk_scorer(precision_at_k, k=100)(FakeRanker().fit(X, Y), X, Y)
    assert score == pytest.approx(Y.sum() / Y.shape[0] / 100)


def test_pipeline_transforms_before_predict_topk(data):
    X, Y = data
    pipe = make_pipeline(FunctionTransformer(lambda X: 2 * X), "passthrough", FakeRanker()).fit(X, Y)
    score = make_topk_scorer(recall_at_k, k=3)(pipe, X, Y)
    assert abs(pipe[-1].last_X_ - 2 * X).max() == 0
    assert score == recall_at_k(Y, pipe[-1].predict_topk(X, k=3), k=3)
    assert make_topk_scorer(recall_at_k, k=3)(make_pipeline(pipe[-1]), X, Y) == score


def test_grid_search_over_a_pipeline_with_predict_topk(data):
    X, Y = data
    search = GridSearchCV(
        make_pipeline(MaxAbsScaler(), FakeRanker()),
        {"fakeranker__shift": [1, 0, 3]},
        scoring=precision_at_3_scorer,
        cv=3,
    ).fit(X, Y)
    folds = [search.cv_results_[f"split{i}_test_score"] for i in range(3)]
    assert search.best_index_ == np.argmax(np.mean(folds, axis=0))
    assert len(set(folds[2])) > 1
    # the last fold by hand: 60 rows, no shuffling
    rest, held_out = slice(0, 40), slice(40, 60)
    for shift, score in zip([1, 0, 3], folds[2], strict=True):
        ranker = FakeRanker(shift).fit(X[rest], Y[rest])
        assert score == precision_at_k(Y[held_out], ranker.predict_topk(X[held_out], k=3), k=3)
    # a fitted search forwards predict_topk no more than a Pipeline does
    assert precision_at_3_scorer(search, X, Y) == search.score(X, Y)


def test_randomized_search_and_clone(data):
    X, Y = data
    search = RandomizedSearchCV(
        FakeRanker(), {"shift": [0, 1]}, n_iter=2, scoring=ndcg_at_5_scorer, cv=2, random_state=0
    )
    scores = clone(search).fit(X, Y).cv_results_["mean_test_score"]
    np.testing.assert_array_equal(scores, search.fit(X, Y).cv_results_["mean_test_score"])


def test_decision_function_of_scikit_learn_in_grid_search(data):
    X, Y = data
    svms = OneVsRestClassifier(LinearSVC(random_state=0))
    search = GridSearchCV(svms, {"estimator__C": [0.01, 5.0]}, scoring=precision_at_1_scorer, cv=2)
    search.fit(X, Y)
    for i, C in enumerate([0.01, 5.0]):
        fitted = clone(svms).set_params(estimator__C=C).fit(X[30:], Y[30:])
        expected = precision_at_k(Y[:30], fitted.decision_function(X[:30]), k=1)
        assert search.cv_results_["split0_test_score"][i] == expected > 0
    assert search.score(X, Y) == precision_at_1_scorer(search, X, Y)


def test_predict_proba_in_a_list_per_label():
    X, Y = random_problem(n_samples=40, n_labels=6)
    Y = Y.toarray().astype(int)
    Y[:, 2], Y[:, 4] = 0, 1  # labels with a single class have one column of probabilities
    knn = KNeighborsClassifier(n_neighbors=3).fit(X, Y)
    scaler = MaxAbsScaler().fit(X)
    for estimator, transformed in [(knn, X), (make_pipeline(scaler, knn), scaler.transform(X))]:
        frequencies = knn.kneighbors_graph(transformed) @ Y / 3
        expected = precision_at_k(Y, frequencies, k=3)
        assert make_topk_scorer(precision_at_k, k=3)(estimator, X, Y) == pytest.approx(expected)


def test_predict_proba_as_a_matrix(data):
    X, Y = data

    class Probabilities(BaseEstimator):
        def predict_proba(self, X):
            return sp.csr_array(Y) * 0.5

    assert make_topk_scorer(recall_at_k, k=8)(Probabilities(), X, Y) == 1


def test_several_scorers_and_weights(data):
    X, Y = data
    weights = np.linspace(0.1, 1, X.shape[0])
    propensities = jain_propensity(Y)
    scoring = {
        "p1": precision_at_1_scorer,
        "psp3": make_topk_scorer(propensity_scored_precision_at_k, k=3, propensities=propensities),
        "coverage": make_topk_scorer(coverage_at_k, k=2),  # takes no weights
    }
    with sklearn.config_context(skip_parameter_validation=True):  # lets sparse y in
        results = cross_validate(FakeRanker(), X, Y, scoring=scoring, cv=2)
    assert all(np.all(results[f"test_{name}"] > 0) for name in scoring)

    ranker = FakeRanker().fit(X, Y)
    expected = precision_at_k(Y, ranker.predict_topk(X, k=1), k=1, sample_weight=weights)
    assert precision_at_1_scorer(ranker, X, Y, sample_weight=weights) == expected
    assert precision_at_1_scorer(ranker, X, Y) != expected


def test_search_fitted_with_weights(data):
    # scikit-learn 1.9 hands the weights of `fit` to scorers, one or several, that say they take them
    X, Y = data
    weights = np.linspace(0.1, 1, X.shape[0])
    one = GridSearchCV(FakeRanker(), {"shift": [0, 1]}, scoring=precision_at_1_scorer, cv=2)
    several = clone(one).set_params(scoring={"p1": precision_at_1_scorer}, refit="p1")
    one.fit(X, Y, sample_weight=weights)
    several.fit(X, Y, sample_weight=weights)
    scores = one.cv_results_["mean_test_score"]
    assert (scores > 0).all()
    np.testing.assert_array_equal(several.cv_results_["mean_test_p1"], scores)


def test_cross_val_score_of_a_search_equals_that_of_its_pipeline(data):
    X, Y = data
    pipe = make_pipeline(MaxAbsScaler(), FakeRanker(shift=1))
    search = GridSearchCV(pipe, {"fakeranker__shift": [1]}, scoring=precision_at_5_scorer, cv=2)
    with sklearn.config_context(skip_parameter_validation=True):
        nested, plain = (
            cross_val_score(estimator, X, Y, scoring=precision_at_5_scorer, cv=2, error_score="raise")
            for estimator in (search, pipe)
        )
    np.testing.assert_array_equal(nested, plain)


class TestMetadataRouting:
    @pytest.fixture(autouse=True)
    def routing(self):
        with sklearn.config_context(enable_metadata_routing=True, skip_parameter_validation=True):
            yield

    def test_without_metadata(self, data):
        X, Y = data
        pipe = make_pipeline(MaxAbsScaler(), FakeRanker())
        scores = []
        for scoring, name in [(precision_at_1_scorer, "score"), ({"p1": precision_at_1_scorer}, "p1")]:
            search = GridSearchCV(pipe, {"fakeranker__shift": [0, 1]}, scoring=scoring, refit=False, cv=2)
            scores.append(search.fit(X, Y).cv_results_[f"mean_test_{name}"])
        np.testing.assert_array_equal(*scores)
        assert (scores[0] > 0).all()

    @pytest.mark.parametrize("requested", [True, False])
    def test_weights_arrive_only_if_requested(self, data, requested):
        X, Y = data
        weights = np.random.default_rng(0).uniform(0.1, 5, X.shape[0])
        scorer = make_topk_scorer(precision_at_k, k=1).set_score_request(sample_weight=requested)
        ranker = FakeRanker().set_fit_request(sample_weight=True)
        results = cross_validate(
            ranker, X, Y, scoring=clone(scorer), cv=2, params={"sample_weight": weights}
        )
        fitted = FakeRanker().fit(X[30:], Y[30:], sample_weight=weights[30:])
        expected = precision_at_k(
            Y[:30],
            fitted.predict_topk(X[:30], k=1),
            k=1,
            sample_weight=weights[:30] if requested else None,
        )
        assert results["test_score"][0] == expected

    def test_unset_request_is_an_error(self, data):
        X, Y = data
        ranker = FakeRanker().set_fit_request(sample_weight=True)
        scorer = make_topk_scorer(precision_at_k, k=1)
        params = {"sample_weight": np.ones(X.shape[0])}
        with pytest.raises(ValueError, match=r"sample_weight.*not explicitly set as requested"):
            cross_validate(ranker, X, Y, scoring=scorer, cv=2, params=params)

    def test_metric_without_weights_requests_nothing(self):
        assert make_topk_scorer(coverage_at_k).get_metadata_routing().score.requests == {}


def test_requests_that_cannot_be_met():
    with sklearn.config_context(enable_metadata_routing=True):
        with pytest.raises(
            TypeError, match=r"make_topk_scorer\(coverage_at_k, k=1\) takes no sample_weight"
        ):
            make_topk_scorer(coverage_at_k, k=1).set_score_request(sample_weight=True)
        with pytest.raises(ValueError, match="sample_weight"):
            make_topk_scorer(precision_at_k).set_score_request(sample_weight=3)


@pytest.mark.parametrize("display", [LearningCurveDisplay, ValidationCurveDisplay])
def test_displays_of_scikit_learn(data, display):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    X, Y = data[0], sp.csr_array(data[1])
    of_display = {
        LearningCurveDisplay: {"train_sizes": [0.5, 1.0]},
        ValidationCurveDisplay: {"param_name": "shift", "param_range": [0, 1]},
    }
    with sklearn.config_context(skip_parameter_validation=True):  # a sparse y
        shown = display.from_estimator(
            FakeRanker(), X, Y, scoring=precision_at_3_scorer, cv=2, **of_display[display]
        )
    assert shown.ax_.get_ylabel() == "Precision at 3"
    matplotlib.pyplot.close(shown.figure_)


def test_score_request_needs_routing():
    with pytest.raises(RuntimeError, match="set_score_request needs metadata routing"):
        make_topk_scorer(precision_at_k).set_score_request(sample_weight=True)


def test_pickle_and_clone(data):
    X, Y = data
    scorer = make_topk_scorer(propensity_scored_precision_at_k, k=2, propensities=jain_propensity(Y))
    ranker = FakeRanker().fit(X, Y)
    for copied in (pickle.loads(pickle.dumps(scorer)), clone(scorer)):
        assert copied is not scorer
        assert copied(ranker, X, Y) == scorer(ranker, X, Y) > 0
        assert repr(copied) == repr(scorer)


def test_repr():
    assert repr(precision_at_5_scorer) == "make_topk_scorer(precision_at_k, k=5)"
    assert repr(ndcg_at_5_scorer) == "make_topk_scorer(ndcg_at_k, k=5)"
    scorer = make_topk_scorer(propensity_scored_precision_at_k, k=1, propensities=np.full(5000, 0.5))
    assert repr(scorer).startswith(
        "make_topk_scorer(propensity_scored_precision_at_k, k=1, propensities=array("
    )
    assert len(repr(scorer)) < 140
    assert "functools.partial" in repr(make_topk_scorer(partial(precision_at_k)))


def test_k_of_the_ready_made_scorers(data):
    X, Y = data
    ranker = FakeRanker().fit(X, Y)
    labels, scores = ranker.predict_topk(X, k=8)
    for scorer, metric, k in [
        (precision_at_1_scorer, precision_at_k, 1),
        (precision_at_3_scorer, precision_at_k, 3),
        (precision_at_5_scorer, precision_at_k, 5),
        (ndcg_at_5_scorer, ndcg_at_k, 5),
    ]:
        assert scorer(ranker, X, Y) == metric(Y, (labels, scores), k=k)


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "match"),
    [
        ((precision_at_k,), {"k": 0}, ValueError, "k must be at least 1, got 0"),
        ((precision_at_k,), {"k": 1.5}, TypeError, "k must be an integer"),
        (("precision",), {}, TypeError, "metric must be callable, got 'precision'"),
        ((propensity_scored_precision_at_k,), {}, TypeError, "missing a required.*'propensities'"),
        ((precision_at_k,), {"depth": 3}, TypeError, "unexpected keyword argument 'depth'"),
        ((precision_at_k,), {"sample_weight": [1]}, TypeError, "pass it when calling the scorer"),
    ],
)
def test_bad_arguments_are_refused(args, kwargs, error, match):
    with pytest.raises(error, match=match):
        make_topk_scorer(*args, **kwargs)


def test_estimators_and_targets_that_cannot_be_scored(data):
    X, Y = data
    ridge = Ridge().fit(X, np.asarray(Y.sum(axis=1)).ravel())
    with pytest.raises(TypeError, match="Ridge has none of predict_topk, decision_function and"):
        precision_at_1_scorer(ridge, X, Y)
    with pytest.raises(ValueError, match="y must be an indicator matrix"):
        precision_at_1_scorer(FakeRanker().fit(X, Y), X, np.zeros(X.shape[0]))
