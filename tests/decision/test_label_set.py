"""LabelSetClassifier: every rule, every container, composition."""

import pickle
from typing import ClassVar

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from _data import random_problem
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, ShuffleSplit
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler
from sklearn.svm import LinearSVC

from sklearn_xmr import CalibratedXMRClassifier, HierarchicalKMeans, LabelSetClassifier, XRLinearClassifier
from sklearn_xmr.datasets import make_xmc_classification
from sklearn_xmr.decision._base import HeldOut
from sklearn_xmr.decision._candidates import gather_candidates
from sklearn_xmr.decision._label_set import RULES
from sklearn_xmr.decision._rules import best_expected_f1_sizes
from sklearn_xmr.metrics import make_topk_scorer, precision_at_k

INDEXER = HierarchicalKMeans(branching_factor=4, max_leaf_size=5)


@pytest.fixture(scope="module")
def data():
    X, Y = make_xmc_classification(700, 120, 30, labels_per_sample=3, random_state=0)
    return X[:300], Y[:300], X[300:500], Y[300:500], X[500:], Y[500:]


@pytest.fixture(scope="module")
def ranker(data):
    return XRLinearClassifier(indexer=INDEXER, random_state=0).fit(data[0], data[1])


def test_top_k(data, ranker):
    sets = LabelSetClassifier(FrozenEstimator(ranker), rule="top_k", k=3).fit(data[2], data[3])
    labels, _ = ranker.predict_topk(data[4], k=3)
    predicted = sets.predict(data[4])
    for i, row in enumerate(labels):
        assert set(predicted[[i]].indices) == {label for label in row if label >= 0}


def test_thresholds_are_applied(data, ranker):
    X, Y, X_test = data[2], data[3], data[4]
    labels, scores = ranker.predict_topk(X_test, k=30)
    one = LabelSetClassifier(ranker, rule="global_threshold", cv="prefit").fit(X, Y)
    each = LabelSetClassifier(ranker, rule="label_thresholds", cv="prefit").fit(X, Y)
    assert each.threshold_ == one.threshold_ and not hasattr(one, "thresholds_")
    assert np.unique(each.thresholds_).size > 1
    for model, threshold in ((one, np.full(30, one.threshold_)), (each, each.thresholds_)):
        wanted = np.zeros((X_test.shape[0], 30))
        for i in range(X_test.shape[0]):
            for label, score in zip(labels[i], scores[i], strict=True):
                if label >= 0 and score >= threshold[label]:
                    wanted[i, label] = 1
        np.testing.assert_array_equal(model.predict(X_test).toarray(), wanted)


def test_global_threshold_is_the_best_one(data, ranker):
    X, Y = data[2], data[3]
    model = LabelSetClassifier(ranker, rule="global_threshold", cv="prefit").fit(X, Y)
    reached = f1_score(Y, model.predict(X), average="micro")
    scores = ranker.decision_function(X)
    for threshold in np.quantile(scores.data, np.linspace(0.5, 1, 60)):
        chosen = sp.csr_array((scores.data >= threshold, scores.indices, scores.indptr), shape=Y.shape)
        assert f1_score(Y, chosen.astype(int), average="micro") <= reached + 1e-12


def test_every_rule_is_best_at_what_it_is_for(data, ranker):
    calibrated = CalibratedXMRClassifier(ranker, cv="prefit").fit(data[2], data[3])
    models = {
        rule: LabelSetClassifier(calibrated, rule=rule, cv="prefit", k=3).fit(data[2], data[3])
        for rule in RULES
    }
    f1 = {
        (rule, average): f1_score(data[3], model.predict(data[2]), average=average, zero_division=0.0)
        for rule, model in models.items()
        for average in ("micro", "macro", "samples")
    }
    assert f1["label_thresholds", "macro"] == max(f1[rule, "macro"] for rule in RULES)
    assert f1["expected_f1", "samples"] > max(f1[rule, "samples"] for rule in ("top_k", "global_threshold"))


def test_cross_fitting_uses_rows_that_the_estimator_has_not_seen(data):
    X, Y = data[0], data[1]

    class Spy(XRLinearClassifier):
        fits: list = []  # noqa: RUF012

        def fit(self, X, y, sample_weight=None):
            Spy.fits.append(X.shape[0])
            return super().fit(X, y, sample_weight)

        def predict_topk(self, X, k=5):
            Spy.fits.append(-X.shape[0])
            return super().predict_topk(X, k)

    LabelSetClassifier(Spy(indexer=INDEXER, random_state=0), cv=3).fit(X, Y)
    assert Spy.fits == [200, 200, 200, 300, -100, -100, -100]
    Spy.fits.clear()
    LabelSetClassifier(Spy(indexer=INDEXER, random_state=0), rule="top_k").fit(X, Y)
    assert Spy.fits == [300]


def test_cross_fitted_thresholds_pool_the_folds(data):
    """Two folds of one splitter give the thresholds of their stacked held-out rankings."""
    X, Y = data[0], data[1]
    ranker = XRLinearClassifier(indexer=INDEXER, random_state=0)
    cv = KFold(2)
    model = LabelSetClassifier(ranker, rule="global_threshold", cv=cv).fit(X, Y)
    scores, hits = [], []
    for train, test in cv.split(X):
        fold = clone(ranker).fit(X[train], Y[train])
        labels, values = fold.predict_topk(X[test], k=30)
        for i, row in zip(test, range(test.size), strict=True):
            for label, score in zip(labels[row], values[row], strict=True):
                if label >= 0:
                    scores.append(float(score))
                    hits.append(Y[i, label] == 1)
    order = np.argsort(-np.array(scores), kind="stable")
    taken = np.arange(1, order.size + 1)
    f1 = 2 * np.cumsum(np.array(hits)[order]) / (taken + Y.nnz)
    best = np.argmax(f1)
    ranked = np.array(scores)[order]
    assert ranked[best + 1] <= model.threshold_ <= ranked[best]


def test_held_out_rows_keep_their_weights_and_truth(data, ranker):
    weights = np.arange(200.0)
    labels = np.arange(30)
    parts = [HeldOut(ranker, data[2][rows], rows, labels) for rows in (np.array([7, 3]), np.array([3]))]
    held_out = gather_candidates(parts, data[3], 4, weights)
    assert held_out.row_weights.tolist() == [7.0, 3.0, 3.0]
    assert (held_out.Y - data[3][[7, 3, 3]]).nnz == 0
    labels, scores = ranker.predict_topk(data[2][[7, 3, 3]], k=4)
    assert held_out.rows.tolist() == np.repeat([0, 1, 2], 4).tolist()
    np.testing.assert_array_equal(held_out.labels, labels.ravel())
    np.testing.assert_array_equal(held_out.scores, scores.ravel())
    hits = [data[3][row, label] for row, found in zip([7, 3, 3], labels, strict=True) for label in found]
    np.testing.assert_array_equal(held_out.hits, hits)


class OfNeighbouringScores(ClassifierMixin, BaseEstimator):
    """Scores two labels by float32 numbers that nothing lies between; the first one is true."""

    def fit(self, X, y):
        self.classes_ = np.arange(2)
        return self

    def predict_topk(self, X, k=5):
        scores = np.array([np.nextafter(np.float32(0.5), np.float32(1)), 0.5], dtype=np.float32)
        return np.tile([0, 1], (len(X), 1)), np.tile(scores, (len(X), 1))


@pytest.mark.parametrize("rule", ["global_threshold", "label_thresholds"])
def test_thresholds_are_not_rounded_to_the_precision_of_scores(rule):
    Y = np.tile([1, 0], (20, 1))
    model = LabelSetClassifier(OfNeighbouringScores().fit(None, None), rule=rule, cv="prefit")
    np.testing.assert_array_equal(model.fit(np.zeros((20, 1)), Y).predict(np.zeros((20, 1))), Y)


@pytest.mark.parametrize("wrapper", [LabelSetClassifier, CalibratedXMRClassifier])
def test_splits_may_be_masks(data, wrapper):
    X, Y, _, _, X_test, _ = data
    fold = np.arange(X.shape[0]) % 2
    rows = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in (0, 1)]
    masks = [(fold != k, fold == k) for k in (0, 1)]
    left, right = (
        wrapper(XRLinearClassifier(random_state=0), cv=cv).fit(X, Y).predict(X_test) for cv in (rows, masks)
    )
    np.testing.assert_array_equal(left.toarray(), right.toarray())


@pytest.mark.parametrize("rule, parameters, message", [
    ("top_k", {"k": 0}, "k must be at least 1, got 0"),
    ("label_thresholds", {"n_candidates": 0}, "n_candidates must be at least 1, got 0"),
], ids=str)  # fmt: skip
def test_numbers_set_after_fit(data, ranker, rule, parameters, message):
    X, Y, _, _, X_test, _ = data
    model = LabelSetClassifier(FrozenEstimator(ranker), rule=rule).fit(X, Y).set_params(**parameters)
    with pytest.raises(ValueError, match=f"^{message}"):
        model.predict(X_test)


def test_splitter_that_repeats_rows(data):
    splitter = ShuffleSplit(3, test_size=0.5, random_state=0)
    model = LabelSetClassifier(XRLinearClassifier(random_state=0), cv=splitter).fit(data[0], data[1])
    assert np.isfinite(model.thresholds_).all()


def test_rare_labels_share_thresholds(data, ranker):
    model = LabelSetClassifier(ranker, cv="prefit", min_positives=10_000).fit(data[2], data[3])
    counts = np.asarray(data[3].sum(axis=0)).astype(int)
    for exponent in range(8):
        of_bin = model.thresholds_[(counts >= 2**exponent) & (counts < 2 ** (exponent + 1))]
        assert np.unique(of_bin).size <= 1
    assert np.unique(model.thresholds_).size > 1


@pytest.mark.parametrize("rule", ["label_thresholds", "expected_f1"])
@pytest.mark.parametrize("container", [sp.csr_array, sp.csr_matrix, np.asarray])
def test_containers(data, rule, container):
    Y = data[1].toarray() if container is np.asarray else container(data[1])
    ranker = CalibratedXMRClassifier(XRLinearClassifier(random_state=0), cv=2)
    model = LabelSetClassifier(ranker, rule=rule, cv=2).fit(data[0], Y)
    predicted = model.predict(data[4])
    assert isinstance(predicted, type(Y)) and predicted.shape == data[5].shape
    again = LabelSetClassifier(ranker, rule=rule, cv=2).fit(data[0], data[1]).predict(data[4])
    dense = predicted if container is np.asarray else predicted.toarray()
    np.testing.assert_array_equal(dense, again.toarray())
    assert 0 < model.score(data[4], data[5]) <= 1


def test_delegates(data, ranker):
    model = LabelSetClassifier(FrozenEstimator(ranker)).fit(data[2], data[3])
    for ours, theirs in zip(model.predict_topk(data[4], 4), ranker.predict_topk(data[4], 4), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    difference = model.decision_function(data[4]) - ranker.decision_function(data[4])
    assert difference.nnz == 0
    assert not hasattr(model, "predict_proba")
    assert hasattr(LabelSetClassifier(XRLinearClassifier(loss="log_loss")), "predict_proba")
    assert model.n_features_in_ == data[0].shape[1]


def test_texts_and_pipelines(data):
    steps = make_pipeline(FunctionTransformer(lambda rows: data[0][rows]), XRLinearClassifier())
    rows = list(range(data[0].shape[0]))
    model = LabelSetClassifier(steps, cv=2).fit(rows, data[1], sample_weight=np.ones(len(rows)))
    assert model.predict(rows[:5]).shape == (5, 30)
    outside = make_pipeline(MaxAbsScaler(), LabelSetClassifier(XRLinearClassifier(), cv=2))
    assert outside.fit(data[0], data[1]).predict(data[4]).nnz > 0


def test_any_classifier(data):
    model = LabelSetClassifier(OneVsRestClassifier(LogisticRegression()), rule="top_k", k=2)
    model.fit(data[0], data[1])
    assert np.unique(np.diff(model.predict(data[4]).indptr)).tolist() == [2]
    labels, scores = model.predict_topk(data[4], k=35)
    assert np.all(labels[:, 30:] == -1) and np.all(scores[:, 30:] == -np.inf)


def test_sample_weight_zero_removes_rows(data):
    X, Y = data[0], data[1]
    weights = np.repeat([1.0, 0.0], 150)
    ranker = XRLinearClassifier(random_state=0).fit(data[2], data[3])
    weighted = LabelSetClassifier(ranker, cv="prefit", min_positives=1).fit(X, Y, sample_weight=weights)
    half = LabelSetClassifier(ranker, cv="prefit", min_positives=1).fit(X[:150], Y[:150])
    assert weighted.threshold_ == pytest.approx(half.threshold_, abs=1e-3)
    assert weighted.score(X[:150], Y[:150]) == pytest.approx(half.score(X[:150], Y[:150]), abs=0.02)


def test_grid_search_clone_and_pickle(data):
    model = LabelSetClassifier(XRLinearClassifier(random_state=0), cv=2)
    search = GridSearchCV(model, {"rule": ["top_k", "global_threshold"], "k": [1, 3]}, cv=2)
    search.fit(data[0], data[1])
    assert search.best_params_["rule"] == "global_threshold"
    twin = pickle.loads(pickle.dumps(search.best_estimator_))
    assert (twin.predict(data[4]) - search.predict(data[4])).nnz == 0
    assert clone(model).get_params()["estimator__random_state"] == 0
    with pytest.raises(NotFittedError):
        clone(model).predict(data[4])


def test_one_class_per_row_is_the_estimators():
    X, y = load_iris(return_X_y=True)
    y = np.array(["setosa", "versicolor", "virginica"])[y]
    inner = XRLinearClassifier(random_state=0).fit(X, y)
    for estimator in (XRLinearClassifier(random_state=0), FrozenEstimator(inner)):
        model = LabelSetClassifier(estimator).fit(X, y)
        np.testing.assert_array_equal(model.predict(X), inner.predict(X))
        np.testing.assert_array_equal(model.decision_function(X), inner.decision_function(X))
        np.testing.assert_array_equal(model.predict_topk(X, 2)[0], inner.predict_topk(X, 2)[0])
        assert model.score(X, y) == inner.score(X, y) > 0.9
        assert model.classes_.tolist() == inner.classes_.tolist() and not hasattr(model, "threshold_")


def test_nothing_is_left_of_an_earlier_fit(data, ranker):
    model = LabelSetClassifier(ranker, cv="prefit").fit(data[2], data[3])
    assert hasattr(model, "thresholds_")
    model.set_params(rule="top_k").fit(data[2], data[3])
    assert not hasattr(model, "thresholds_") and not hasattr(model, "threshold_")


def test_metadata_routing(data):
    X, Y = data[0], data[1]
    weights, groups = np.arange(300.0), np.arange(300) // 60
    with sklearn.config_context(enable_metadata_routing=True):
        inner = XRLinearClassifier(random_state=0).set_fit_request(sample_weight=True)
        routed = LabelSetClassifier(make_pipeline(MaxAbsScaler(), inner), cv=GroupKFold(5))
        routed.fit(X, Y, sample_weight=weights, groups=groups)
        refused = LabelSetClassifier(XRLinearClassifier(random_state=0), cv=2)
        with pytest.raises(UnsetMetadataPassedError, match=r"sample_weight.* not explicitly set"):
            refused.fit(X, Y, sample_weight=weights)
        # a fitted estimator takes no weights any more, so it need not ask for them
        LabelSetClassifier(routed.estimator_, cv="prefit").fit(X, Y, sample_weight=weights)
        scorer = make_topk_scorer(precision_at_k, k=1).set_score_request(sample_weight=False)
        search = GridSearchCV(refused.set_params(estimator=inner).set_fit_request(sample_weight=True),
                              {"rule": ["global_threshold"]}, cv=2, scoring=scorer)  # fmt: skip
        search.fit(X, Y, sample_weight=weights)
    folds = list(GroupKFold(5).split(X, groups=groups))
    plain = LabelSetClassifier(make_pipeline(MaxAbsScaler(), inner), cv=folds).fit(
        X, Y, sample_weight=weights
    )
    np.testing.assert_array_equal(routed.thresholds_, plain.thresholds_)
    np.testing.assert_array_equal(routed.predict_topk(X)[1], plain.predict_topk(X)[1])
    unweighted = clone(plain).fit(X, Y)
    assert not np.array_equal(unweighted.thresholds_, plain.thresholds_)
    by_hand = LabelSetClassifier(inner, rule="global_threshold", cv=2).fit(X, Y, sample_weight=weights)
    assert search.best_estimator_.threshold_ == by_hand.threshold_


def test_arguments_of_fit_reach_every_fit_of_the_estimator(data):
    class Noting(XRLinearClassifier):
        seen: ClassVar[list] = []

        def fit(self, X, y, per_row=None, note=None):
            Noting.seen.append((X.shape[0], None if per_row is None else len(per_row), note))
            return super().fit(X, y)

    LabelSetClassifier(Noting(random_state=0), cv=2).fit(data[0], data[1], per_row=np.zeros(300), note="n")
    assert Noting.seen == [(150, 150, "n"), (150, 150, "n"), (300, 300, "n")]


def test_relevance_is_cut_into_folds(data):
    X, Y = data[0], data[1]
    relevance = Y.astype(np.float32) * np.linspace(0.5, 3, 300)[:, None]
    model = LabelSetClassifier(XRLinearClassifier(random_state=0), cv=2)
    model.fit(X, Y, relevance=sp.csr_array(relevance))
    alone = XRLinearClassifier(random_state=0).fit(X, Y, relevance=sp.csr_array(relevance))
    np.testing.assert_array_equal(model.predict_topk(X)[1], alone.predict_topk(X)[1])
    assert not np.array_equal(model.thresholds_, clone(model).fit(X, Y).thresholds_)


def test_a_failed_fit_changes_nothing(data, ranker):
    model = LabelSetClassifier(ranker, cv="prefit").fit(data[2], data[3])
    before = model.thresholds_
    with pytest.raises(ValueError, match=r"knows 30 labels, but y has 29"):
        model.fit(data[2], data[3][:, :29])
    assert model.thresholds_ is before


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"rule": "best"}, "rule"),
        ({"k": 0}, "'k' parameter"),
        ({"n_candidates": 0}, "n_candidates"),
        ({"min_positives": 0}, "min_positives"),
        ({"cv": "folds"}, "cv"),
        ({"estimator": 3}, "estimator"),
    ],
)
def test_bad_parameters(data, change, match):
    with pytest.raises(ValueError, match=match):
        LabelSetClassifier(XRLinearClassifier()).set_params(**change).fit(data[0], data[1])


def test_bad_input(data, ranker):
    model = LabelSetClassifier(XRLinearClassifier(random_state=0), cv=2)
    with pytest.raises(ValueError, match="requires y to be passed"):
        model.fit(data[0], None)
    with pytest.raises(NotFittedError):
        LabelSetClassifier(XRLinearClassifier(), cv="prefit").fit(data[0], data[1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(data[0], data[1][:10])
    X, Y = random_problem()
    unbounded = LabelSetClassifier(OneVsRestClassifier(LinearSVC()), rule="expected_f1").fit(X, Y)
    with pytest.raises(ValueError, match=r"needs scores that are probabilities.*CalibratedXMRClassifier"):
        unbounded.predict(X)


def test_expected_f1_of_an_estimator_with_both_kinds_of_scores():
    X, Y = random_problem()
    estimator = OneVsRestClassifier(LogisticRegression()).fit(X, Y)
    model = LabelSetClassifier(FrozenEstimator(estimator), rule="expected_f1", n_candidates=Y.shape[1])
    found = np.asarray(model.fit(X, Y).predict(X).todense())
    probabilities = np.sort(estimator.predict_proba(X), axis=1)[:, ::-1]
    np.testing.assert_array_equal(found.sum(axis=1), best_expected_f1_sizes(probabilities)[0])


@pytest.mark.parametrize("rule", RULES)
def test_rows_of_weight_zero_change_nothing(rule):
    X, Y = make_xmc_classification(150, 80, 12, random_state=0)
    frozen = FrozenEstimator(XRLinearClassifier(loss="log_loss", random_state=0).fit(X, Y))
    X, Y = make_xmc_classification(150, 80, 12, noise=0.9, random_state=1)
    weights = (np.arange(150) % 3 > 0).astype(float)
    model, alone = (LabelSetClassifier(frozen, rule=rule, min_positives=20) for _ in range(2))
    model.fit(X, Y, sample_weight=weights)
    alone.fit(X[weights > 0], Y[weights > 0])
    for name in ("threshold_", "thresholds_"):
        np.testing.assert_array_equal(getattr(model, name, 0), getattr(alone, name, 0))
    assert (model.predict(X) != alone.predict(X)).nnz == 0


@pytest.mark.parametrize("wrapper", [LabelSetClassifier, CalibratedXMRClassifier])
def test_y_of_another_form_than_the_fitted_estimator(wrapper):
    X, Y = make_xmc_classification(60, 40, 12, random_state=0)
    y = np.arange(60) % 12
    sets = wrapper(FrozenEstimator(XRLinearClassifier(random_state=0).fit(X, Y)))
    with pytest.raises(ValueError, match="predicts, a multilabel indicator, got one class per row"):
        sets.fit(X, y)
    classes = wrapper(FrozenEstimator(make_pipeline(MaxAbsScaler(), XRLinearClassifier()).fit(X, y)))
    with pytest.raises(ValueError, match="predicts, one class per row, got a multilabel indicator"):
        classes.fit(X, Y)


def test_score_of_a_single_label():
    X = np.random.default_rng(0).random((60, 5))
    Y = sp.csr_array((X[:, :1] > 0.5).astype(int))
    model = LabelSetClassifier(XRLinearClassifier(random_state=0), cv=2).fit(X, Y)
    weights = np.arange(60)
    truth, found = Y.toarray().ravel(), model.predict(X).toarray().ravel()
    expected = f1_score(truth, found, sample_weight=weights)
    assert model.score(X, Y, sample_weight=weights) == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"y must have 1 columns, got shape \(60, 2\)"):
        model.score(X, sp.csr_array(np.eye(60, 2, dtype=int)))


@pytest.mark.parametrize("cv", [[], iter(())], ids=["list", "generator"])
@pytest.mark.parametrize("wrapper", [LabelSetClassifier, CalibratedXMRClassifier])
def test_cv_without_a_split(data, wrapper, cv):
    with pytest.raises(ValueError, match="cv must give at least one split, got none"):
        wrapper(XRLinearClassifier(random_state=0), cv=cv).fit(data[0], data[1])


@pytest.mark.parametrize(
    ("wrapper", "parameter", "first", "second"),
    [
        (CalibratedXMRClassifier, "scope", "path", "levels"),
        (CalibratedXMRClassifier, "scope", "levels", "path"),
        (LabelSetClassifier, "rule", "top_k", "label_thresholds"),
        (LabelSetClassifier, "rule", "label_thresholds", "top_k"),
    ],
)
def test_the_decision_of_fit_stays(data, ranker, wrapper, parameter, first, second):
    model = wrapper(FrozenEstimator(ranker), **{parameter: first}).fit(data[2], data[3])
    before = model.predict(data[4])
    model.set_params(**{parameter: second})
    assert (model.predict(data[4]) - before).nnz == 0
    assert (model.fit(data[2], data[3]).predict(data[4]) - before).nnz > 0


@pytest.mark.parametrize("wrapper", [LabelSetClassifier, CalibratedXMRClassifier])
@pytest.mark.parametrize("one_class_per_row", [False, True])
def test_negative_weights_of_score(data, wrapper, one_class_per_row):
    X, Y = data[0], data[1].toarray().argmax(axis=1) % 2 if one_class_per_row else data[1]
    model = wrapper(XRLinearClassifier(random_state=0), cv=2).fit(X, Y)
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        model.score(X, Y, sample_weight=np.linspace(-1, 1, X.shape[0]))


@pytest.mark.parametrize("make", [CalibratedXMRClassifier, LabelSetClassifier])
def test_a_fitted_estimator_takes_no_arguments(data, ranker, make):
    for parameters in ({"estimator": FrozenEstimator(ranker)}, {"estimator": ranker, "cv": "prefit"}):
        model = make(**parameters)
        with pytest.raises(
            TypeError, match=r"fit got 'relevance', 'sample_weigth' for the estimator, which"
        ):
            model.fit(data[2], data[3], relevance=data[3], sample_weigth=np.ones(500))
        assert not hasattr(model, "estimator_")


def test_min_positives_counts_rows_of_weight(data, ranker):
    X, Y = data[2], data[3]
    n_rows = X.shape[0]
    weights = (np.arange(n_rows) < n_rows // 2).astype(float)
    some = slice(n_rows // 2)
    thresholds = [
        LabelSetClassifier(ranker, cv="prefit", min_positives=12).fit(*rows).thresholds_
        for rows in (
            (X[some], Y[some]),
            (X[some], Y[some], np.full(n_rows // 2, 2.0)),
            (X, Y, weights),
        )
    ]
    np.testing.assert_array_equal(thresholds[1:], [thresholds[0]] * 2)
