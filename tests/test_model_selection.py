"""Model selection of scikit-learn with sparse y, and what candidates of a search can share."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import f1_score
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    train_test_split,
    validation_curve,
)
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import Normalizer

from sklearn_xmr import PIFA, HierarchicalKMeans, LabelTree, XRLinearClassifier
from sklearn_xmr.metrics import make_topk_scorer, precision_at_1_scorer, precision_at_k

CONTAINERS = [sp.csr_array, sp.csr_matrix]


@pytest.fixture(scope="module")
def texts():
    """Texts whose words give their labels away, and a sparse Y."""
    rng = np.random.default_rng(0)
    vocabulary = [f"word{i}" for i in range(60)]
    rows = [sorted(rng.choice(30, size=2, replace=False)) for _ in range(240)]
    corpus = [
        " ".join([vocabulary[a], vocabulary[b], vocabulary[30 + a], *rng.choice(vocabulary, size=3)])
        for a, b in rows
    ]
    Y = sp.lil_array((240, 30))
    for i, labels in enumerate(rows):
        Y[i, labels] = 1
    return corpus, sp.csr_array(Y)


@pytest.mark.parametrize("container", [sp.csr_array, sp.csr_matrix])
def test_grid_search_over_a_text_pipeline(texts, container):
    corpus, Y = texts
    Y = container(Y)
    pipeline = make_pipeline(
        TfidfVectorizer(), XRLinearClassifier(indexer=HierarchicalKMeans(), random_state=0)
    )
    grid = {
        "xrlinearclassifier__indexer__max_leaf_size": [5, 15],
        "xrlinearclassifier__C": [0.001, 1.0],
    }
    search = GridSearchCV(pipeline, grid, scoring=make_topk_scorer(precision_at_k, k=1), n_jobs=2, cv=3)
    search.fit(corpus, Y)
    assert search.best_params_["xrlinearclassifier__C"] == 1.0
    assert search.best_score_ > 0.8
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    best = search.best_estimator_
    labels, _ = best[-1].predict_topk(best[:-1].transform(corpus), k=2)
    assert precision_at_k(Y, (labels, np.ones(labels.shape)), k=1) > 0.9
    assert search.predict(corpus).shape == Y.shape


@pytest.fixture(scope="module")
def features(texts):
    """X of the texts, and their Y."""
    corpus, Y = texts
    return TfidfVectorizer().fit_transform(corpus), Y


@pytest.fixture
def counted(monkeypatch):
    """How often a method of a class is called: ``counted(cls, name)`` starts a list of the calls."""

    def count(cls, name):
        calls, method = [], getattr(cls, name)

        def wrapper(self, *args, **kwargs):
            calls.append(self)
            return method(self, *args, **kwargs)

        monkeypatch.setattr(cls, name, wrapper)
        return calls

    return count


# ---------------------------------------------------------------------- searches and curves


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("search", [HalvingGridSearchCV, HalvingRandomSearchCV])
def test_successive_halving(features, container, search):
    X, Y = features[0], container(features[1])
    fitted = search(
        XRLinearClassifier(random_state=0), {"C": [0.001, 0.01, 1.0]}, scoring=precision_at_1_scorer,
        min_resources=60, factor=2, cv=2, random_state=0,
        **({"n_candidates": 3} if search is HalvingRandomSearchCV else {}),
    ).fit(X, Y)  # fmt: skip
    assert fitted.n_resources_ == [60, 120]
    assert fitted.best_params_ == {"C": 1.0}
    assert type(fitted.predict(X)) is container


def test_randomized_search(features):
    X, Y = features
    search = RandomizedSearchCV(
        XRLinearClassifier(random_state=0), {"C": loguniform(1e-4, 10)}, n_iter=3, cv=2, random_state=0,
        scoring=precision_at_1_scorer,
    ).fit(X, Y)  # fmt: skip
    assert search.best_params_["C"] == max(search.cv_results_["param_C"])


CURVES = {
    "cross_validate": lambda *data: cross_validate(*data, cv=3)["test_score"],
    "cross_val_score": lambda *data: cross_val_score(*data, cv=3),
    "learning_curve": lambda *data: learning_curve(*data, cv=3, train_sizes=[0.3, 1.0])[2],
    "validation_curve": lambda *data: validation_curve(
        *data, param_name="C", param_range=[0.001, 1.0], cv=3
    )[1],
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_what_scikit_learn_refuses_works_without_its_check(features, curve, container):
    X, Y = features
    model = XRLinearClassifier(random_state=0)
    with sklearn.config_context(skip_parameter_validation=True):
        scores = curve(model, X, container(Y))
    np.testing.assert_allclose(scores, curve(model, X, Y.toarray()))
    assert scores.ravel()[-1] > 0.7


@pytest.mark.parametrize("container", CONTAINERS)
def test_split_and_predict_keep_the_container(features, container):
    X, Y = features[0], container(features[1])
    X_train, X_test, Y_train, Y_test = train_test_split(X, Y, random_state=0)
    assert type(Y_train) is type(Y_test) is container
    model = XRLinearClassifier(random_state=0)
    assert model.fit(X_train, Y_train).score(X_test, Y_test) > 0.7
    predicted = cross_val_predict(model, X, Y, cv=3)
    assert type(predicted) is container
    assert f1_score(Y.toarray(), predicted.toarray(), average="micro") > 0.5


def test_held_out_scores_fold_by_fold(features):
    """The documented way in place of cross_val_predict(method="decision_function")."""
    X, Y = features
    model, folds = XRLinearClassifier(random_state=0), KFold(3)
    scores = sp.vstack(
        [clone(model).fit(X[a], Y[a]).decision_function(X[b]) for a, b in folds.split(X)], format="csr"
    )
    dense = cross_val_predict(model, X, Y.toarray(), cv=folds, method="decision_function")
    np.testing.assert_allclose(scores.toarray() - 0.5, dense, atol=1e-6)


def test_sample_weight_is_routed_through_a_search(features):
    X, Y = features
    weight = np.ones(X.shape[0])
    weight[::3] = 0
    kept = weight > 0
    with sklearn.config_context(enable_metadata_routing=True):
        model = XRLinearClassifier(random_state=0).set_fit_request(sample_weight=True)
        pipeline = make_pipeline(Normalizer(), model)
        folds = [(np.arange(0, 160), np.arange(160, 240))]
        search = GridSearchCV(
            pipeline, {"xrlinearclassifier__C": [0.01, 1.0]}, cv=folds,
            scoring=make_topk_scorer(precision_at_k, k=1).set_score_request(sample_weight=True),
        ).fit(X, Y, sample_weight=weight)  # fmt: skip
    train, test = (np.intersect1d(rows, np.flatnonzero(kept)) for rows in folds[0])
    for C, score in zip([0.01, 1.0], search.cv_results_["mean_test_score"], strict=True):
        by_hand = XRLinearClassifier(C=C, random_state=0).fit(X[train], Y[train])
        assert score == pytest.approx(by_hand.score(X[test], Y[test]))
    assert_same_model(search.best_estimator_[-1], clone(model).set_params(C=1.0).fit(X[kept], Y[kept]))


# ---------------------------------------------------------------------- one fit, many predictions


def assert_same_model(a, b):
    assert a.tree_ == b.tree_
    for ours, theirs in zip(a.coefs_, b.coefs_, strict=True):
        np.testing.assert_array_equal(ours.toarray(), theirs.toarray())


PREDICTION_ONLY = {"beam_width": 1, "score_transform": "sigmoid", "threshold": 0.9, "verbose": 0}


@pytest.mark.parametrize("name", PREDICTION_ONLY)
def test_prediction_parameters_do_not_act_in_training(features, name):
    X, Y = features
    model = XRLinearClassifier(indexer=HierarchicalKMeans(8, 4), random_state=0).fit(X, Y)
    changed = {name: PREDICTION_ONLY[name]}
    refitted = clone(model).set_params(**changed).fit(X, Y)
    assert_same_model(model, refitted)
    model.set_params(**changed)
    np.testing.assert_array_equal(
        model.decision_function(X).toarray(), refitted.decision_function(X).toarray()
    )
    assert (model.predict(X) != refitted.predict(X)).nnz == 0


def test_slope_acts_in_prediction_alone(features):
    X, Y = features
    model = XRLinearClassifier(
        indexer=HierarchicalKMeans(8, 4), score_transform="sigmoid", beam_width=2, random_state=0
    ).fit(X, Y)
    before = model.predict_proba(X).toarray()
    steep = clone(model).set_params(score_slope=3.0).fit(X, Y)
    assert_same_model(model, steep)
    model.set_params(score_slope=3.0)
    np.testing.assert_array_equal(model.predict_proba(X).toarray(), steep.predict_proba(X).toarray())
    assert np.ptp(steep.predict_proba(X).toarray()) > np.ptp(before)
    search = GridSearchCV(
        model, {"score_slope": [1, 3.0]}, scoring=make_topk_scorer(precision_at_k, k=2), cv=KFold(2)
    ).fit(X, Y)
    assert search.best_params_["score_slope"] in (1, 3.0)
    model.set_params(score_slope=-1.0)
    with pytest.raises(ValueError, match="score_slope must be a positive, finite number, got -1"):
        model.predict_topk(X)


def test_slope_belongs_to_a_fit_with_matcher_aware_negatives(features):
    X, Y = features
    fits = [
        XRLinearClassifier(
            indexer=HierarchicalKMeans(4, 4), negative_sampling="man", beam_width=2, random_state=0,
            score_transform="sigmoid", score_slope=slope,
        )
        for slope in (1.0, 8.0)
    ]  # fmt: skip
    first, steep = (model.fit(X, Y) for model in fits)
    assert (first.coefs_[-1] != steep.coefs_[-1]).nnz > 0


@pytest.mark.parametrize("name", ["beam_width", "score_transform"])
def test_matcher_aware_negatives_are_trained_with_the_beam(features, name):
    X, Y = features
    model = XRLinearClassifier(
        indexer=HierarchicalKMeans(4, 4), negative_sampling="man", beam_width=2, random_state=0
    ).fit(X, Y)
    other = clone(model).set_params(**{name: PREDICTION_ONLY[name]}).fit(X, Y)
    assert (model.coefs_[-1] != other.coefs_[-1]).nnz > 0


def test_a_scorer_of_many_settings_needs_no_further_fits(features, counted):
    """The documented way: several prediction settings are metrics of one fit."""
    X, Y = features
    scorer = make_topk_scorer(precision_at_k, k=2)
    widths = (1, 2, 8)

    def precision_by_width(model, X, Y):
        return {f"beam_{b}": scorer(model.set_params(beam_width=b), X, Y) for b in widths}

    model = XRLinearClassifier(indexer=HierarchicalKMeans(8, 4), random_state=0)
    folds = KFold(2)
    fits = counted(XRLinearClassifier, "_fit_rankers")
    search = GridSearchCV(model, {"C": [0.01, 1.0]}, scoring=precision_by_width, refit="beam_8", cv=folds)
    search.fit(X, Y)
    assert len(fits) == 2 * 2 + 1
    one_by_one = GridSearchCV(
        model, {"beam_width": widths, "C": [0.01, 1.0]}, scoring=scorer, refit=False, cv=folds
    ).fit(X, Y)
    wanted = one_by_one.cv_results_["mean_test_score"].reshape(2, len(widths)).T  # C comes first
    for b, row in zip(widths, wanted, strict=True):
        np.testing.assert_allclose(search.cv_results_[f"mean_test_beam_{b}"], row)
    assert len(np.unique(wanted)) > 3


# ---------------------------------------------------------------------- what candidates share


def fitted_tree(features):
    return HierarchicalKMeans(8, 4, random_state=0).fit(PIFA().fit_transform(*features))


@pytest.mark.parametrize("given", [lambda indexer: FrozenEstimator(indexer), lambda indexer: indexer.tree_])
def test_candidates_share_a_tree(features, counted, given):
    X, Y = features
    indexer = fitted_tree(features)
    model = XRLinearClassifier(indexer=given(indexer), random_state=0)
    embeddings, indexings = counted(PIFA, "fit_transform"), counted(HierarchicalKMeans, "fit")
    search = GridSearchCV(model, {"C": [0.01, 1.0]}, cv=2, scoring=precision_at_1_scorer).fit(X, Y)
    assert embeddings == indexings == []
    assert search.best_estimator_.tree_ is indexer.tree_


def test_a_tree_per_candidate(features, counted):
    X, Y = features
    trees = [fitted_tree(features).tree_, LabelTree.flat(30)]
    indexings = counted(HierarchicalKMeans, "fit")
    search = GridSearchCV(
        XRLinearClassifier(random_state=0), {"indexer": trees}, cv=2, scoring=precision_at_1_scorer
    ).fit(X, Y)
    assert indexings == [] and search.best_estimator_.tree_ in trees


def test_text_features_are_cached(texts, counted, tmp_path):
    corpus, Y = texts
    vectorizing = counted(TfidfVectorizer, "fit_transform")
    pipeline = make_pipeline(
        TfidfVectorizer(), XRLinearClassifier(random_state=0), memory=str(tmp_path / "cache")
    )
    GridSearchCV(
        pipeline, {"xrlinearclassifier__C": [0.01, 0.1, 1.0]}, cv=2, scoring=precision_at_1_scorer
    ).fit(corpus, Y)
    assert len(vectorizing) == 2 + 1  # two folds and the last fit, whatever the number of candidates


# ---------------------------------------------------------------------- pipelines


def test_feature_union_in_front(texts):
    corpus, Y = texts
    union = FeatureUnion(
        [("words", TfidfVectorizer()), ("topics", make_pipeline(TfidfVectorizer(), TruncatedSVD(5)))]
    )
    pipeline = make_pipeline(union, XRLinearClassifier(random_state=0)).fit(corpus, Y)
    assert pipeline.score(corpus, Y) > 0.9


def test_pandas_output_configuration(texts):
    corpus, Y = texts
    X = TfidfVectorizer().fit_transform(corpus)
    wanted = XRLinearClassifier(indexer=HierarchicalKMeans(8, 4), random_state=0).fit(X, Y)
    with sklearn.config_context(transform_output="pandas"):
        model = clone(wanted).fit(X, Y)
    assert model.tree_ == wanted.tree_
