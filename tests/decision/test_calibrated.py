"""CalibratedXMRClassifier: probabilities that mean something, by path and by level."""

import itertools
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.decision import level_probability, platt_loss
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.svm import LinearSVC

from sklearn_xmr import (
    CalibratedXMRClassifier,
    HierarchicalKMeans,
    LabelSetClassifier,
    LabelTree,
    XMREnsembleClassifier,
    XRLinearClassifier,
)
from sklearn_xmr.datasets import make_xmc_classification
from sklearn_xmr.decision._calibrators import PlattScaling, fit_calibrator, score_to_logit
from sklearn_xmr.decision._level_margins import level_candidates, rank_by_levels
from sklearn_xmr.inspection import explain_prediction
from sklearn_xmr.metrics import expected_calibration_error, precision_at_k

INDEXER = HierarchicalKMeans(branching_factor=4, max_leaf_size=4)
WAYS = [(scope, method) for scope in ("path", "levels") for method in ("sigmoid", "isotonic")]


@pytest.fixture(scope="module")
def data():
    X, Y = make_xmc_classification(1500, 120, 30, labels_per_sample=3, random_state=0)
    return X[:500], Y[:500], X[500:1000], Y[500:1000], X[1000:], Y[1000:]


@pytest.fixture(scope="module")
def ranker(data):
    return XRLinearClassifier(indexer=INDEXER, beam_width=4, random_state=0).fit(data[0], data[1])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(2, 60), st.sampled_from([0.1, 1.0, 30.0]))
def test_platt_scaling_minimises_its_loss(seed, n, scale):
    rng = np.random.default_rng(seed)
    scores = scale * rng.normal(size=n)
    hits = rng.random(n) < 1 / (1 + np.exp(-scores / scale))
    weights = rng.integers(1, 4, size=n).astype(float)
    fitted = PlattScaling().fit(scores, hits, weights)
    args = (scores / scale, hits, weights)
    best = minimize(lambda ab: platt_loss(*ab, *args), x0=[0.0, 0.0], method="Nelder-Mead")
    reached = platt_loss(fitted.slope_ * scale, fitted.offset_, *args)
    if best.x[0] > 0:
        assert reached <= best.fun + 1e-4 * (1 + abs(best.fun))
    assert fitted.slope_ >= 0
    assert np.all(np.diff(fitted.predict(np.sort(scores))) >= 0)


def test_platt_scaling_of_separable_and_of_reversed_scores():
    hits = np.array([False, False, True, True])
    apart = PlattScaling().fit(np.array([-90.0, -80.0, 10.0, 17.0]), hits, np.ones(4))
    # the targets of two positives and two negatives
    np.testing.assert_allclose(apart.predict(np.array([-90.0, 17.0])), [1 / 4, 3 / 4], atol=0.05)
    reversed_ = PlattScaling().fit(np.array([2.0, 1.0, -1.0, -2.0]), hits, np.ones(4))
    assert reversed_.slope_ == 0
    assert reversed_.predict(np.array([-5.0, 5.0])).tolist() == pytest.approx([0.5, 0.5])


def test_isotonic_keeps_away_from_0_and_1():
    hits = np.array([False, False, True, True])
    calibrator = fit_calibrator("isotonic", np.array([0.0, 1.0, 2.0, 3.0]), hits, np.ones(4))
    np.testing.assert_allclose(calibrator.predict([-9.0, 9.0]), [1 / 4, 3 / 4])
    none = fit_calibrator("isotonic", np.array([0.0, 1.0]), np.array([False, False]), np.ones(2))
    assert 0 < none.predict([0.5])[0] < 1
    with pytest.raises(ValueError, match="at least one held-out candidate"):
        fit_calibrator("isotonic", np.empty(0), np.empty(0, bool), np.empty(0))


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
@pytest.mark.parametrize(("size", "tolerance"), [(1e-9, 1e-6), (1 / 300, 1e-6), (1e6, 0.01)])
def test_equal_weights_hardly_matter(method, size, tolerance):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=300)
    hits = rng.random(300) < 1 / (1 + np.exp(-3 * scores))
    at = np.linspace(-4, 4, 9)
    plain = fit_calibrator(method, scores, hits, np.ones(300)).predict(at)
    scaled = fit_calibrator(method, scores, hits, np.full(300, size)).predict(at)
    np.testing.assert_allclose(scaled, plain, atol=tolerance)


def test_score_to_logit():
    scores = np.array([0.0, 1e-30, 0.5, 1.0], dtype=np.float32)
    logits = score_to_logit(scores)
    assert np.isfinite(logits).all() and np.all(np.diff(logits) > 0) and logits[2] == 0
    with pytest.raises(ValueError, match=r"must be in \[0, 1\].*from 0 to 2"):
        score_to_logit(np.array([0.0, 2.0]))


@pytest.mark.parametrize(("scope", "method"), WAYS)
def test_calibration_lowers_the_calibration_error(data, ranker, scope, method):
    _, _, X, Y, X_test, Y_test = data
    model = CalibratedXMRClassifier(ranker, scope=scope, method=method, cv="prefit").fit(X, Y)
    before = expected_calibration_error(Y_test, ranker.predict_topk(X_test))
    after = expected_calibration_error(Y_test, model.predict_topk(X_test))
    assert after < 0.6 * before
    assert expected_calibration_error(Y_test, model.predict_proba(X_test)) == pytest.approx(after, abs=0.01)
    assert len(model.calibrators_) == (1 if scope == "path" else ranker.tree_.n_levels)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_path_calibration_keeps_the_ranking(data, ranker, method):
    model = CalibratedXMRClassifier(ranker, method=method, cv="prefit").fit(data[2], data[3])
    labels, probabilities = model.predict_topk(data[4], k=25)
    wanted, scores = ranker.predict_topk(data[4], k=25)
    np.testing.assert_array_equal(labels, wanted)
    found = labels >= 0
    assert np.all(probabilities[~found] == -np.inf) and not found.all()
    assert np.all((probabilities[found] > 0) & (probabilities[found] < 1))
    assert np.all(np.diff(np.where(found, probabilities, 0), axis=1) <= 0)
    expected = model.calibrators_[0].predict(score_to_logit(scores[found]))
    np.testing.assert_allclose(probabilities[found], expected, rtol=1e-6)


def test_path_isotonic_is_that_of_scikit_learn(data, ranker):
    """On the same candidates, up to the bounds that keep it from 0 and 1."""
    X, Y = data[2], data[3]
    model = CalibratedXMRClassifier(ranker, cv="prefit", n_candidates=10).fit(X, Y)
    labels, scores = ranker.predict_topk(X, k=10)
    pairs = [
        (float(score), float(Y[i, label]))
        for i in range(Y.shape[0])
        for label, score in zip(labels[i], scores[i], strict=True)
        if label >= 0
    ]
    wanted = IsotonicRegression().fit(*zip(*pairs, strict=True))
    at = scores[labels >= 0]
    ours = model.calibrators_[0].predict(score_to_logit(at))
    np.testing.assert_allclose(ours, wanted.predict(at), atol=2 / len(pairs))


@pytest.mark.parametrize("overlapping", [False, True])
def test_levels_against_the_products_of_margins(data, ranker, overlapping):
    X, Y, X_test = data[2], data[3], data[4][:12]
    if overlapping:
        leaves = np.random.default_rng(0).integers(5, size=(30, 2))
        leaves[:5, 0] = np.arange(5)
        membership = np.zeros((30, 5))
        membership[np.arange(30)[:, None], leaves] = 1
        tree = LabelTree.from_assignments([np.ones((5, 1)), membership])
        assert tree.has_overlap
        ranker = XRLinearClassifier(indexer=tree, beam_width=2, random_state=0).fit(data[0], data[1])
    model = CalibratedXMRClassifier(ranker, scope="levels", cv="prefit").fit(X, Y)
    labels, probabilities = model.predict_topk(X_test, k=30)
    calibrate = [lambda s, c=c: float(c.predict([s])[0]) for c in model.calibrators_]
    for i in range(X_test.shape[0]):
        reached = {}
        for label in range(30):
            paths = explain_prediction(ranker, X_test[[i]], label).paths
            margins = [[step.margin for step in path] for path in paths if path[-1].kept]
            if margins:
                reached[label] = level_probability(margins, calibrate)
        found = labels[i] >= 0
        assert set(labels[i, found]) == set(reached)
        wanted = [reached[label] for label in labels[i, found]]
        np.testing.assert_allclose(probabilities[i, found], wanted, rtol=1e-3)
        assert np.all(np.diff(probabilities[i, found]) <= 0)


def test_cross_fitting(data):
    X, Y = data[0], data[1]
    ranker = XRLinearClassifier(indexer=INDEXER, random_state=0)
    model = CalibratedXMRClassifier(ranker, n_candidates=30, cv=2).fit(X, Y)
    folds = [np.arange(250), np.arange(250, 500)]
    pairs = []
    for train, test in (folds[::-1], folds):
        fold = clone(ranker).fit(X[train], Y[train])
        labels, scores = fold.predict_topk(X[test], k=30)
        found = labels >= 0
        hits = np.take_along_axis(Y[test].toarray(), np.maximum(labels, 0), axis=1)
        pairs.append((scores[found], hits[found]))
    scores, hits = (np.concatenate(part) for part in zip(*pairs, strict=True))
    wanted = IsotonicRegression().fit(scores.astype(float), hits)
    ours = model.calibrators_[0].predict(score_to_logit(scores))
    np.testing.assert_allclose(ours, wanted.predict(scores), atol=2 / scores.size)
    np.testing.assert_array_equal(model.estimator_.predict_topk(X)[0], ranker.fit(X, Y).predict_topk(X)[0])


def test_levels_need_trees_of_one_depth(data):
    class Unsteady(XRLinearClassifier):
        trees = itertools.cycle([INDEXER, LabelTree.flat(30)])

        def fit(self, X, y, sample_weight=None):
            self.indexer = next(Unsteady.trees)
            return super().fit(X, y, sample_weight)

    model = CalibratedXMRClassifier(Unsteady(random_state=0), scope="levels", cv=2)
    with pytest.raises(ValueError, match=r"trees of one depth, but the folds have \[1, 3\] levels"):
        model.fit(data[0], data[1])


@pytest.mark.parametrize(("scope", "method"), WAYS)
@pytest.mark.parametrize("container", [sp.csr_matrix, np.asarray])
def test_containers(data, ranker, scope, method, container):
    Y = data[3].toarray() if container is np.asarray else container(data[3])
    model = CalibratedXMRClassifier(ranker, scope=scope, method=method, cv="prefit", n_candidates=8)
    model.fit(data[2], Y)
    probabilities, scores, sets = (
        method(data[4]) for method in (model.predict_proba, model.decision_function, model.predict)
    )
    if container is np.asarray:
        assert all(type(answer) is np.ndarray for answer in (probabilities, scores, sets))
        np.testing.assert_array_equal(sets, scores > 0)
        assert probabilities.min() >= 0 and probabilities.max() < 1
        assert (probabilities > 0).sum(axis=1).max() == 8
    else:
        assert all(sp.isspmatrix_csr(answer) for answer in (probabilities, scores, sets))
        assert np.diff(probabilities.indptr).max() == 8
        assert (scores - probabilities).nnz == 0
        np.testing.assert_array_equal(sets.toarray(), probabilities.toarray() > 0.5)
    assert model.score(data[4], data[5]) == precision_at_k(data[5], model.predict_topk(data[4], 1), k=1)


@pytest.mark.parametrize("scope", ["path", "levels"])
def test_pipelines_inside(data, scope):
    pipeline = make_pipeline(MaxAbsScaler(), XRLinearClassifier(random_state=0)).fit(data[0], data[1])
    frozen = CalibratedXMRClassifier(FrozenEstimator(pipeline), scope=scope).fit(data[2], data[3])
    plain = CalibratedXMRClassifier(pipeline, scope=scope, cv="prefit").fit(data[2], data[3])
    for ours, theirs in zip(frozen.predict_topk(data[4]), plain.predict_topk(data[4]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("scope", "method"), WAYS)
def test_one_class_per_row(scope, method):
    X, codes = load_digits(return_X_y=True)
    X, y = X / 16, np.array([f"digit {code}" for code in range(10)])[codes]
    tree = LabelTree.from_paths([("even",) if code % 2 == 0 else ("odd",) for code in range(10)])
    ranker = XRLinearClassifier(indexer=tree, random_state=0).fit(X[:900], y[:900])
    model = CalibratedXMRClassifier(FrozenEstimator(ranker), scope=scope, method=method)
    model.fit(X[900:1300], y[900:1300])
    X_test, y_test = X[1300:], y[1300:]
    probabilities = model.predict_proba(X_test)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(model.decision_function(X_test), probabilities)
    np.testing.assert_array_equal(model.predict(X_test), model.classes_[probabilities.argmax(axis=1)])
    assert model.score(X_test, y_test) == np.mean(model.predict(X_test) == y_test) > 0.8
    # log loss of the scores, shared out among the classes, is worse
    scores = np.maximum(ranker.decision_function(X_test), 1e-9)
    before = log_loss(y_test, scores / scores.sum(axis=1, keepdims=True))
    assert log_loss(y_test, probabilities) < before
    labels, best = model.predict_topk(X_test, k=3)
    np.testing.assert_allclose(best, np.take_along_axis(probabilities, labels, axis=1), rtol=1e-5)
    fewer = clone(model).set_params(n_candidates=2).fit(X[900:1300], y[900:1300])
    assert np.all((fewer.predict_proba(X_test) > 0).sum(axis=1) == 2)
    np.testing.assert_allclose(fewer.predict_proba(X_test).sum(axis=1), 1)


@pytest.mark.parametrize("scope", ["path", "levels"])
def test_a_fold_may_lack_a_class(scope):
    X, y = load_iris(return_X_y=True)
    place = np.arange(150) % 50  # within the class
    folds = [
        (np.flatnonzero((y != lacking) & (place < 30)), np.flatnonzero(place >= 30)) for lacking in (2, 0)
    ]
    ranker = XRLinearClassifier(score_transform="sigmoid", random_state=0)  # one level
    model = CalibratedXMRClassifier(ranker, scope=scope, method="sigmoid", cv=folds).fit(X, y)
    scores, hits = [], []
    for train, test in folds:
        fold = clone(ranker).fit(X[train], y[train])
        labels, found = fold.predict_topk(X[test], k=2)
        of_row = np.repeat(y[test], 2)
        # what is below a root that is not positive has nothing to say about the level below
        used = np.isin(of_row, fold.classes_) if scope == "levels" else np.full(120, True)
        scores.append(found.ravel()[used])
        hits.append((fold.classes_[labels.ravel()] == of_row)[used])
    scores, hits = np.concatenate(scores), np.concatenate(hits)
    wanted = fit_calibrator("sigmoid", score_to_logit(scores), hits, np.ones(hits.size))
    at = np.linspace(-3, 3, 7)
    np.testing.assert_allclose(model.calibrators_[0].predict(at), wanted.predict(at), rtol=1e-4)
    assert model.classes_.tolist() == [0, 1, 2] and model.predict_proba(X).shape == (150, 3)


@pytest.mark.parametrize("scope", ["path", "levels"])
def test_calibration_undoes_the_slope(scope):
    """Platt scaling of margins takes any slope back; of levels, where the beam is the same."""
    X, y = load_iris(return_X_y=True)
    rankers = [XRLinearClassifier(score_transform="sigmoid", score_slope=a, random_state=0) for a in (1, 2)]
    first, second = (
        CalibratedXMRClassifier(ranker, scope=scope, method="sigmoid").fit(X, y).predict_proba(X)
        for ranker in rankers
    )
    np.testing.assert_allclose(first, second, rtol=1e-3)
    plain, steep = (ranker.fit(X, y).predict_proba(X) for ranker in rankers)
    assert np.abs(plain - steep).max() > 0.05


def test_held_out_rows_may_lack_a_class_but_have_no_strange_one():
    X, y = load_iris(return_X_y=True)
    ranker = XRLinearClassifier(random_state=0).fit(X[:100], y[:100])
    model = CalibratedXMRClassifier(ranker, cv="prefit").fit(X[50:100], y[50:100])
    assert model.classes_.tolist() == [0, 1] and model.predict_proba(X).shape == (150, 2)
    with pytest.raises(ValueError, match=r"knows the classes \[0 1\], but y has \[2\] as well"):
        model.fit(X, y)


@pytest.mark.parametrize("scope", ["path", "levels"])
def test_weight_zero_removes_rows(data, ranker, scope):
    X, Y = data[2], data[3]
    weights = np.repeat([1.0, 0.0], 250)
    model = CalibratedXMRClassifier(ranker, scope=scope, cv="prefit")
    weighted = clone(model).set_params(estimator=ranker).fit(X, Y, sample_weight=weights)
    half = model.fit(X[:250], Y[:250])
    np.testing.assert_allclose(weighted.predict_topk(data[4])[1], half.predict_topk(data[4])[1], rtol=1e-5)


def test_grid_search_clone_and_pickle(data):
    model = CalibratedXMRClassifier(XRLinearClassifier(random_state=0), cv=2)
    search = GridSearchCV(model, {"scope": ["path", "levels"], "estimator__C": [0.5]}, cv=2)
    search.fit(data[0], data[1])
    twin = pickle.loads(pickle.dumps(search.best_estimator_))
    assert (twin.predict_proba(data[4]) - search.predict_proba(data[4])).nnz == 0
    with pytest.raises(NotFittedError):
        clone(model).predict_topk(data[4])
    with pytest.raises(NotFittedError):
        clone(model).predict_proba(data[4])


def test_bad_input(data, ranker):
    model = CalibratedXMRClassifier(XRLinearClassifier())
    for change in ({"scope": "leaf"}, {"method": "beta"}, {"n_candidates": 0}, {"cv": "no"}):
        with pytest.raises(ValueError, match=next(iter(change))):
            clone(model).set_params(**change).fit(data[0], data[1])
    others = OneVsRestClassifier(LogisticRegression()).fit(data[0], data[1])
    with pytest.raises(TypeError, match=r"needs an XRLinearClassifier.*got OneVsRestClassifier"):
        CalibratedXMRClassifier(others, scope="levels", cv="prefit").fit(data[2], data[3])
    margins = OneVsRestClassifier(LinearSVC()).fit(data[0], data[1])
    with pytest.raises(ValueError, match=r"scores must be in \[0, 1\]"):
        CalibratedXMRClassifier(margins, cv="prefit").fit(data[2], data[3])
    fitted = CalibratedXMRClassifier(ranker, cv="prefit").fit(data[2], data[3])
    with pytest.raises(ValueError, match="k must be at least 1"):
        fitted.predict_topk(data[4], k=0)


@pytest.mark.parametrize("scope", ["path", "levels"])
def test_isotonic_ties_leave_the_order_of_the_classes(scope):
    X, y = make_xmc_classification(300, 200, 60, random_state=0)
    y = y[:, :5].toarray().argmax(axis=1)
    model = CalibratedXMRClassifier(XRLinearClassifier(random_state=0), scope=scope, cv=2).fit(X, y)
    before = model.estimator_.predict(X)
    probabilities = model.predict_proba(X)
    tops = np.sort(probabilities, axis=1)[:, -2:]
    assert np.any(np.isclose(tops[:, 0], tops[:, 1], rtol=1e-6))  # there are ties
    np.testing.assert_array_equal(model.predict(X), before)
    np.testing.assert_array_equal(model.predict_topk(X, 1)[0][:, 0], before)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), before)


@pytest.mark.parametrize("method", ["isotonic", "sigmoid"])
def test_levels_keep_the_order_of_large_margins(method):
    """The sigmoid of a margin above 17 is 1 in float32."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 20))
    y = (X @ rng.normal(size=(20, 5))).argmax(axis=1)
    Y = sp.csr_array(np.eye(5, dtype=int)[y])
    classifier = XRLinearClassifier(random_state=0).fit(X[:200], Y[:200])
    model = CalibratedXMRClassifier(FrozenEstimator(classifier), scope="levels", method=method)
    model.fit(X[200:], Y[200:])
    long = 300 * X[200:]
    margins = long @ np.asarray(classifier.coefs_[0].todense()) + classifier.intercepts_[0]
    assert np.sort(margins, axis=1)[:, -2].max() > 100
    np.testing.assert_array_equal(model.predict_topk(long, k=1)[0][:, 0], margins.argmax(axis=1))


def test_estimator_whose_probabilities_are_not_its_scores():
    X, Y = make_xmc_classification(300, 100, 8, random_state=0)
    model = CalibratedXMRClassifier(OneVsRestClassifier(LogisticRegression()), method="sigmoid", cv=2)
    best = model.fit(X, Y).estimator_.predict_proba(X).argmax(axis=1)
    np.testing.assert_array_equal(model.predict_topk(X, k=1)[0][:, 0], best)
    with pytest.raises(ValueError, match=r"scores must be in \[0, 1\]"):
        CalibratedXMRClassifier(OneVsRestClassifier(LinearSVC()), cv=2).fit(X, Y)


@pytest.mark.parametrize("n_candidates", [2, 5, 100])
def test_probability_of_a_class_does_not_depend_on_k(n_candidates):
    X, _ = make_xmc_classification(300, 100, 12, random_state=0)
    model = CalibratedXMRClassifier(XRLinearClassifier(random_state=0), cv=2, n_candidates=n_candidates)
    model.fit(X, np.arange(300) % 5)
    probabilities = model.predict_proba(X)
    for k in (1, 2, 5, 9):
        labels, scores = model.predict_topk(X, k=k)
        assert labels.shape == scores.shape == (300, k)
        found = labels >= 0
        np.testing.assert_array_equal(found.sum(axis=1), min(k, n_candidates, 5))
        expected = probabilities[np.nonzero(found)[0], labels[found]]
        np.testing.assert_array_equal(scores[found], expected.astype(np.float32))
        assert np.all(scores[~found] == -np.inf)


def test_ties_of_levels_follow_the_margins(data, ranker):
    """A map that knows one value only leaves the order of siblings to the margins."""
    X = data[4]
    flat = [PlattScaling(), PlattScaling()]
    for scaling in flat:
        scaling.slope_, scaling.offset_ = 0.0, 0.0
    n_levels = ranker.tree_.n_levels
    labels, probabilities = rank_by_levels(ranker, X, 5, flat[:1] * n_levels)
    np.testing.assert_allclose(probabilities[labels >= 0], 0.5**n_levels)
    _, found = next(iter(level_candidates(ranker, X)))
    parents = [ranker.tree_.parent_of(t) for t in range(1, n_levels + 1)]
    for row in range(20):
        sums = {0: 0.0}
        for level, parent in zip(found, parents, strict=True):
            of_row = level.rows == row
            sums = {
                node: sums[parent[node]] + margin
                for node, margin in zip(level.nodes[of_row], level.margins[of_row], strict=True)
            }
        best = sorted(sums, key=lambda slot: (-sums[slot], ranker.tree_.slot_labels[slot]))[:5]
        assert labels[row].tolist() == ranker.tree_.slot_labels[best].tolist()


def test_shares_of_more_classes_than_candidates():
    X, y = load_iris(return_X_y=True)
    model = CalibratedXMRClassifier(XRLinearClassifier(random_state=0), cv=2, n_candidates=1).fit(X, y)
    assert np.all(model.predict_topk(X, 3)[1].sum(axis=1) <= 1 + 1e-6)


def test_an_ensemble_has_the_same_probabilities_for_every_k():
    """Votes depend on how many labels the members are asked for."""
    X, Y = make_xmc_classification(1200, 400, 300, random_state=0)
    base = XRLinearClassifier(indexer=HierarchicalKMeans(branching_factor=4, max_leaf_size=20))
    model = CalibratedXMRClassifier(XMREnsembleClassifier(base, random_state=0), n_candidates=100, cv=2)
    model.fit(X[:600], Y[:600])
    labels, probabilities = model.predict_topk(X[600:], 100)
    few_labels, few_probabilities = model.predict_topk(X[600:], 5)
    np.testing.assert_array_equal(few_labels, labels[:, :5])
    np.testing.assert_array_equal(few_probabilities, probabilities[:, :5])


@pytest.mark.parametrize("container", [sp.bsr_array, sp.dia_array, sp.lil_array])
def test_relevance_in_formats_without_rows(container):
    X, Y = make_xmc_classification(90, 40, 10, random_state=0)
    relevance = 3 * Y
    model = CalibratedXMRClassifier(XRLinearClassifier(random_state=0), cv=3)
    expected = model.fit(X, Y, relevance=relevance).predict_topk(X)[1]
    np.testing.assert_array_equal(
        model.fit(X, Y, relevance=container(relevance)).predict_topk(X)[1], expected
    )


@pytest.mark.parametrize("make", [CalibratedXMRClassifier, LabelSetClassifier])
def test_splits_in_an_array(make):
    X, Y = make_xmc_classification(90, 40, 10, random_state=0)
    splits = np.arange(90).reshape(1, 2, 45)
    model = make(XRLinearClassifier(random_state=0), cv=splits).fit(X, Y)
    same = make(XRLinearClassifier(random_state=0), cv=list(splits)).fit(X, Y)
    assert (model.predict(X) != same.predict(X)).nnz == 0


@pytest.mark.parametrize("scope", ["path", "levels"])
def test_allowed_labels_and_beams_are_passed_on(data, ranker, scope):
    model = CalibratedXMRClassifier(FrozenEstimator(ranker), scope=scope).fit(data[2], data[3])
    X, allowed = data[4], [3, 8, 11, 20]
    found, probabilities = model.predict_topk(X, k=4, labels=allowed, beam_width=50)
    reached = ranker.predict_topk(X, k=4, labels=allowed, beam_width=50)[0]
    np.testing.assert_array_equal(np.sort(found), np.sort(reached))
    assert set(found.ravel()) <= {-1, *allowed}
    every, every_probability = model.predict_topk(X, k=30, beam_width=50)
    for row in range(20):
        of = dict(zip(every[row], every_probability[row], strict=True))
        for label, probability in zip(found[row], probabilities[row], strict=True):
            assert label < 0 or probability == of[label]
    mask = np.zeros((X.shape[0], 30), dtype=int)
    mask[:, allowed] = 1
    np.testing.assert_array_equal(model.predict_topk(X, k=4, labels=mask, beam_width=50)[0], found)
    sets = LabelSetClassifier(FrozenEstimator(model)).fit(data[2], data[3])
    np.testing.assert_array_equal(sets.predict_topk(X, k=4, labels=allowed, beam_width=50)[0], found)
    narrow = model.predict_topk(X, k=4, beam_width=1)[0]
    np.testing.assert_array_equal(np.sort(narrow), np.sort(ranker.predict_topk(X, k=4, beam_width=1)[0]))
    with pytest.raises(ValueError, match=r"labels must be in \[0, 30\), got 30"):
        model.predict_topk(X, labels=[30])
    with pytest.raises(TypeError, match="unexpected keyword argument 'label'"):
        model.predict_topk(X, label=[3])


def test_probabilities_of_allowed_classes():
    X, y = load_iris(return_X_y=True)
    model = CalibratedXMRClassifier(XRLinearClassifier(random_state=0), cv=3).fit(X[::-1], y[::-1])
    labels, probabilities = model.predict_topk(X, k=3, labels=[0, 2])
    assert np.all(np.sort(labels) == [-1, 0, 2])
    np.testing.assert_allclose(probabilities[:, :2].sum(axis=1), 1, rtol=1e-6)


def test_estimators_without_a_ranking_have_no_masks():
    X, y = load_iris(return_X_y=True)
    model = LabelSetClassifier(LogisticRegression(max_iter=1000)).fit(X, y)
    with pytest.raises(TypeError, match="labels: an estimator with predict_topk takes that, LogisticReg"):
        model.predict_topk(X, labels=[0])


@pytest.mark.parametrize(("scope", "method"), WAYS)
def test_no_label_that_is_allowed_is_reached(data, ranker, scope, method):
    model = CalibratedXMRClassifier(FrozenEstimator(ranker), scope=scope, method=method)
    labels, probabilities = model.fit(data[2], data[3]).predict_topk(data[4][:1], k=2, labels=[])
    assert labels.tolist() == [[-1, -1]] and probabilities.tolist() == [[-np.inf, -np.inf]]
