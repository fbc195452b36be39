"""Positives of unequal weight: lifted up the tree, and what the solver makes of them."""

import numpy as np
import pytest
import scipy.sparse as sp
from _data import random_problem
from ranking.test_linear_ranker import DEFAULTS
from reference.solver import solve_smooth
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from sklearn_xmr import HierarchicalKMeans, LabelTree, OverlappingIndexer, XRLinearClassifier
from sklearn_xmr.datasets import make_xmc_classification
from sklearn_xmr.metrics import jain_propensity, propensity_scored_precision_at_k
from sklearn_xmr.ranking._linear_ranker import LevelProblem, fit_linear_rankers
from sklearn_xmr.ranking._relevance import check_relevance, favour_tail, weigh_positives
from sklearn_xmr.utils._simd import available_simd


@pytest.fixture(scope="module")
def problem():
    X, Y = random_problem(60, 20, 25, random_state=5)
    Y = sp.csr_array(Y, dtype=np.float32)
    relevance = Y.copy()
    relevance.data = np.random.default_rng(0).uniform(0.2, 5, size=Y.nnz).astype(np.float32)
    return X, Y, relevance


@pytest.mark.parametrize("norm", [None, "l1", "l2", "max"])
def test_lifts_sums_and_normalises_each_level(problem, norm):
    _, Y, relevance = problem
    tree = LabelTree([[0, 3], [0, 9, 18, 26]], np.arange(26) % 25)  # label 0 twice
    positives = tree.propagate(Y)
    weighted = weigh_positives(tree, positives, relevance, norm)
    dense = relevance.toarray().astype(float)
    for t in range(1, tree.n_levels + 1):
        expected = np.zeros((60, tree.n_nodes[t]))
        for slot, label in enumerate(tree.slot_labels):
            node = slot
            for level in range(tree.n_levels, t, -1):
                node = tree.parent_of(level)[node]
            expected[:, node] += dense[:, label]
        for row in expected:
            if row.any() and norm is not None:
                row /= {"l1": row.sum(), "l2": np.sqrt((row**2).sum()), "max": row.max()}[norm]
        np.testing.assert_allclose(weighted[t].toarray(), expected, rtol=1e-6)


@pytest.mark.parametrize("loss", ["squared_hinge", "hinge", "log_loss"])
def test_costs_of_positives_are_those_of_the_objective(problem, loss):
    X, _, relevance = problem
    (weights,), _, n_unconverged = fit_linear_rankers(
        X,
        [LevelProblem(np.array([0, 25]), relevance, sp.csr_array(np.ones((60, 1))))],
        **{**DEFAULTS, "loss": loss, "positive_weight": 2.0, "max_iter": 20_000},
    )
    assert n_unconverged == 0
    coefs = weights.to_csc().toarray()
    for label in range(0, 25, 4):
        values = relevance[:, [label]].toarray().ravel()
        costs = np.where(values > 0, 2 * values, 1)
        y = np.where(values > 0, 1, -1)
        ours = np.append(coefs[:, label], weights.intercepts[label])
        if loss == "hinge":
            oracle = LinearSVC(loss="hinge", tol=1e-9, max_iter=10**6).fit(X, y, sample_weight=costs)
            expected = np.append(oracle.coef_, oracle.intercept_)
            np.testing.assert_allclose(ours, expected, atol=1e-5)
        else:
            np.testing.assert_allclose(ours, solve_smooth(X.toarray(), y, costs, loss, 1.0), atol=2e-3)


@pytest.mark.parametrize("loss", ["squared_hinge", "hinge", "log_loss"])
def test_equal_relevance_is_a_positive_weight(problem, loss):
    X, Y, _ = problem
    settings = {"indexer": HierarchicalKMeans(max_leaf_size=5), "loss": loss, "random_state": 0}
    # the sums on inner levels differ, hence a flat tree
    settings["indexer"] = LabelTree.flat(25)
    weighted = XRLinearClassifier(**settings, positive_weight=3.0).fit(X, Y)
    relevant = XRLinearClassifier(**settings).fit(X, Y, relevance=3 * Y)
    for a, b in zip(weighted.coefs_, relevant.coefs_, strict=True):
        np.testing.assert_allclose(a.toarray(), b.toarray(), atol=1e-5)


def test_instruction_sets_agree_to_the_bit(problem, monkeypatch):
    X, _, relevance = problem
    problems = [LevelProblem(np.array([0, 25]), relevance, sp.csr_array(np.ones((60, 1))))]
    results = []
    for variant in range(len(available_simd())):
        monkeypatch.setattr("sklearn_xmr.ranking._dual_cd_fast.SIMD_VARIANT", variant)
        (weights,), _, _ = fit_linear_rankers(X, problems, **{**DEFAULTS, "tol": 0.01})
        results.append(weights)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0].entries, other.entries)


def test_l1_norm_gives_rows_the_same_say(problem):
    """Dividing each row's relevance by a factor of its own changes nothing."""
    X, Y, relevance = problem
    scaled = sp.csr_array(relevance.multiply(np.random.default_rng(1).uniform(1, 9, size=(60, 1))))
    tree = HierarchicalKMeans(max_leaf_size=6, random_state=0)
    classifier = XRLinearClassifier(indexer=tree, relevance_norm="l1", positive_weight=4, random_state=0)
    first = classifier.fit(X, Y, relevance=relevance).predict_topk(X, 5)
    second = classifier.fit(X, Y, relevance=scaled).predict_topk(X, 5)
    np.testing.assert_array_equal(first[0], second[0])
    plain = XRLinearClassifier(indexer=tree, random_state=0).fit(X, Y).predict_topk(X, 5)
    assert not np.allclose(first[1], plain[1])


def test_relevance_moves_rankings(problem):
    X, Y, _ = problem
    relevance = Y.copy()
    relevance.data = np.where(Y.indices == 3, 50.0, 0.05).astype(np.float32)
    plain = XRLinearClassifier(random_state=0).fit(X, Y).decision_function(X)
    moved = XRLinearClassifier(random_state=0).fit(X, Y, relevance=relevance).decision_function(X)
    rows = Y[:, [3]].toarray().ravel() > 0
    assert moved[:, [3]].toarray()[rows].mean() > plain[:, [3]].toarray()[rows].mean()
    assert moved[:, [4]].toarray().mean() < plain[:, [4]].toarray().mean()


def test_sample_weights_and_own_rankers_see_relevance(problem):
    X, Y, relevance = problem
    weight = np.ones(60)
    weight[:10] = 0
    kept = slice(10, None)
    settings = {"indexer": LabelTree.flat(25), "random_state": 0}
    a = XRLinearClassifier(**settings).fit(X, Y, weight, relevance)
    b = XRLinearClassifier(**settings).fit(X[kept], Y[kept], relevance=relevance[kept])
    np.testing.assert_allclose(a.coefs_[0].toarray(), b.coefs_[0].toarray(), atol=1e-6)
    svc = LinearSVC(tol=1e-9, max_iter=10**6)
    own = XRLinearClassifier(**settings, ranker=svc).fit(X, Y, relevance=relevance)
    built_in = XRLinearClassifier(**settings, tol=1e-9, max_iter=10**5).fit(X, Y, relevance=relevance)
    np.testing.assert_allclose(own.coefs_[0].toarray(), built_in.coefs_[0].toarray(), atol=1e-5)

    class Unweighted(LogisticRegression):
        def fit(self, X, y):
            return super().fit(X, y)

    with pytest.raises(TypeError, match="does not take sample_weight"):
        XRLinearClassifier(**settings, ranker=Unweighted()).fit(X, Y, relevance=relevance)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda R: R[:-1], r"row per sample and a column per label, \(60, 25\), got \(59, 25\)"),
        (lambda R: -R, "positive where y is 1"),
        (lambda R: R * 1e60, "relevance must lie within the range of float32"),
        (lambda R: sp.csr_array(R + sp.eye_array(60, 25)), "zero elsewhere"),
        (lambda R: sp.csr_array(R.multiply(sp.eye_array(60, 25))), "positive where y is 1"),
        (lambda R: R * np.nan, "relevance contains NaN"),
        (lambda R: R.toarray() * 1j, "Complex data"),
        (lambda R: 3.0, "got scalar array"),
        (lambda R: R.toarray()[None], "array with dim 3"),
        (
            lambda R: sp.csr_array((R.data, R.indices + 30, R.indptr), shape=R.shape),
            r"indices in \[0, 25\)",
        ),
    ],
)
def test_bad_relevance(problem, spoil, message):
    X, Y, relevance = problem
    model = XRLinearClassifier(random_state=0).fit(X, Y)
    before = model.predict_topk(X)
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y, relevance=spoil(relevance.astype(np.float64)))
    np.testing.assert_array_equal(model.predict_topk(X)[1], before[1])


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_rows_keep_their_norms_where_copies_of_labels_are_dropped(monkeypatch, norm):
    """A row trains some of the copies of its labels only; all rows are to count alike even so."""
    X, Y = random_problem(200, 40, 30)
    seen = []

    def spy(X, problems, **settings):
        seen.extend(problems)
        return fit_linear_rankers(X, problems, **settings)

    monkeypatch.setattr("sklearn_xmr._xr_linear.fit_linear_rankers", spy)
    indexer = OverlappingIndexer(HierarchicalKMeans(4, max_leaf_size=8), min_support=0.5, beam_width=2)
    model = XRLinearClassifier(indexer=indexer, relevance_norm=norm, random_state=0).fit(X, Y)
    last = seen[-1].positives
    assert model.tree_.has_overlap and last.nnz < model.tree_.propagate(Y)[-1].nnz  # some were dropped
    rows = last.toarray()[np.diff(last.indptr) > 0]
    order = {"l1": 1, "l2": 2, "max": np.inf}[norm]
    np.testing.assert_allclose(np.linalg.norm(rows, order, axis=1), 1, rtol=1e-6)


def test_dense_relevance_is_taken(problem):
    _, Y, relevance = problem
    np.testing.assert_array_equal(
        check_relevance(relevance.toarray(), Y).toarray(), check_relevance(relevance, Y).toarray()
    )


# ---------------------------------------------------------------- the tail


@pytest.mark.parametrize("power", [0.5, 1, 2.0])
def test_tail_factors_are_those_of_the_definition(problem, power):
    _, Y, relevance = problem
    slot_labels = np.append(np.arange(25)[::-1], 3)  # label 3 twice
    n_rows, n_labels = Y.shape
    truth = Y.toarray()
    c = (np.log(n_rows) - 1) * 2.5**0.55
    factor = [(1 + c * (truth[:, label].sum() + 1.5) ** -0.55) ** power for label in range(n_labels)]
    positives = [factor[label] for row in truth for label in slot_labels if row[label]]
    expected = relevance.toarray().astype(float)[:, slot_labels]
    for slot, label in enumerate(slot_labels):
        expected[:, slot] *= factor[label] * len(positives) / sum(positives)
    tilted = favour_tail(sp.csr_array(relevance[:, slot_labels]), slot_labels, jain_propensity(Y), power)
    np.testing.assert_allclose(tilted.toarray(), expected, rtol=1e-6)


@pytest.mark.parametrize("norm", [None, "l1"])
@pytest.mark.parametrize("n_copies", [1, 2])
def test_propensity_power_weighs_the_last_level(problem, norm, n_copies):
    """The levels above are untouched, and a flat tree has no others."""
    X, Y, relevance = problem
    ends = np.multiply([0, 9, 17, 25], n_copies)
    tree = LabelTree([[0, 3], ends], np.arange(25 * n_copies) % 25)
    settings = {"indexer": tree, "relevance_norm": norm, "random_state": 0}
    power = XRLinearClassifier(**settings, propensity_power=1.5)
    for given in (None, relevance):
        plain = XRLinearClassifier(**settings).fit(X, Y, relevance=given)
        tilted = power.fit(X, Y, relevance=given)
        np.testing.assert_array_equal(plain.coefs_[0].toarray(), tilted.coefs_[0].toarray())
        assert not np.array_equal(plain.coefs_[1].toarray(), tilted.coefs_[1].toarray())
    flat = {**settings, "indexer": LabelTree.flat(25), "relevance_norm": None}
    factors = favour_tail(relevance, np.arange(25), jain_propensity(Y), 1.5)
    a = XRLinearClassifier(**flat, propensity_power=1.5).fit(X, Y, relevance=relevance)
    b = XRLinearClassifier(**flat).fit(X, Y, relevance=factors)
    np.testing.assert_array_equal(a.coefs_[0].toarray(), b.coefs_[0].toarray())


def test_propensities_are_those_of_the_rows_that_count(problem):
    X, Y, _ = problem
    weight = np.ones(60)
    weight[:20] = 0
    settings = {"indexer": LabelTree.flat(25), "propensity_power": 1.0, "random_state": 0}
    a = XRLinearClassifier(**settings).fit(X, Y, weight)
    b = XRLinearClassifier(**settings).fit(X[20:], Y[20:])
    np.testing.assert_allclose(a.coefs_[0].toarray(), b.coefs_[0].toarray(), atol=1e-6)


def test_propensity_power_of_zero_changes_nothing(problem):
    X, Y, _ = problem
    plain = XRLinearClassifier(random_state=0).fit(X, Y)
    zero = XRLinearClassifier(random_state=0, propensity_power=0).fit(X, Y)
    one = XRLinearClassifier(random_state=0, propensity_power=1).fit(X, Y)
    np.testing.assert_array_equal(plain.coefs_[-1].toarray(), zero.coefs_[-1].toarray())
    assert not np.array_equal(plain.coefs_[-1].toarray(), one.coefs_[-1].toarray())


def test_propensity_power_serves_the_tail():
    X, Y = make_xmc_classification(1500, 600, 300, tail_exponent=1.2, random_state=0)
    train, test = slice(0, 1000), slice(1000, None)
    propensities = jain_propensity(Y[train])
    tail = []
    for power in (0.0, 1.0, 2.0):
        model = XRLinearClassifier(random_state=0, propensity_power=power).fit(X[train], Y[train])
        ranked = model.predict_topk(X[test], 5)
        tail.append(propensity_scored_precision_at_k(Y[test], ranked, propensities=propensities, k=1))
    assert tail[0] < tail[1] < tail[2]


@pytest.mark.parametrize("power", [-0.5, 11, None, "1"])
def test_bad_propensity_power(problem, power):
    X, Y, _ = problem
    with pytest.raises(ValueError, match="'propensity_power' parameter"):
        XRLinearClassifier(propensity_power=power).fit(X, Y)


def test_propensities_need_three_rows(problem):
    X, Y, _ = problem
    with pytest.raises(ValueError, match="propensity_power needs at least 3 rows, got 2"):
        XRLinearClassifier(propensity_power=1).fit(X[:2], Y[:2])


@pytest.mark.parametrize("norm", [None, "max"])
def test_sums_beyond_float32_are_refused(norm):
    Y = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0]])
    tree = LabelTree([[0, 2], [0, 2, 4]], [0, 1, 2, 3])
    model = XRLinearClassifier(indexer=tree, relevance_norm=norm)
    with pytest.raises(ValueError, match=r"relevance must add up to less than 3\.4e38 in each row"):
        model.fit(np.eye(3), Y, relevance=2e38 * Y)
