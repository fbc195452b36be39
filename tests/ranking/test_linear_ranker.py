"""The lane solver against LinearSVC, a general optimiser, and itself."""

import numpy as np
import pytest
import scipy.sparse as sp
from _data import random_problem
from reference.solver import primal_objective, solve_smooth
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from sklearn_xmr import LabelTree
from sklearn_xmr.ranking import _dual_cd_fast
from sklearn_xmr.ranking._linear_ranker import LevelProblem, _tasks_of_level, fit_linear_rankers, n_nonzeros
from sklearn_xmr.utils._simd import available_simd

DEFAULTS = {
    "sample_weight": None,
    "loss": "squared_hinge",
    "C": 1.0,
    "positive_weight": 1.0,
    "negative_weight": 1.0,
    "bias": 1.0,
    "tol": 1e-9,
    "max_iter": 5000,
    "weight_threshold": 0.0,
    "weight_dtype": "float32",
    "seed": 0,
}


def flat_problem(n_samples, Y):
    """Every label against all rows."""
    tree = LabelTree.flat(Y.shape[1])
    return LevelProblem(tree.child_ptr[0], tree.propagate(Y)[1], sp.csr_array(np.ones((n_samples, 1))))


def fit(X, problems, **changes):
    return fit_linear_rankers(X, problems, **{**DEFAULTS, **changes})


@pytest.mark.parametrize("n_labels", [1, 15, 16, 17, 40, 150])
@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_flat_matches_linear_svc(n_labels, bias):
    X, Y = random_problem(80, 30, n_labels) if n_labels > 3 else random_problem(80, 30, 4)
    Y = Y[:, :n_labels]
    (weights,), _, n_unconverged = fit(X, [flat_problem(80, Y)], bias=bias, C=0.7)
    coefs = weights.to_csc().toarray()
    assert n_unconverged == 0
    for label in range(0, n_labels, 7):
        y = Y[:, [label]].toarray().ravel()
        if not y.any():
            continue
        oracle = LinearSVC(
            C=0.7, fit_intercept=bias > 0, intercept_scaling=bias or 1, dual=True, tol=1e-9, max_iter=10**6
        ).fit(X, y)
        np.testing.assert_allclose(coefs[:, label], oracle.coef_[0], atol=2e-6)
        np.testing.assert_allclose(weights.intercepts[label], np.ravel(oracle.intercept_)[0], atol=2e-6)


@pytest.mark.parametrize("loss", ["squared_hinge", "log_loss"])
def test_smooth_losses_reach_the_primal_optimum(loss):
    X, Y = random_problem(40, 12, 5, random_state=1)
    weight = np.random.default_rng(0).uniform(0.2, 3, size=40)
    settings = {"loss": loss, "C": 2.0, "positive_weight": 3.0, "negative_weight": 0.5, "bias": 2.0}
    (weights,), _, _ = fit(X, [flat_problem(40, Y)], sample_weight=weight, **settings)
    coefs = weights.to_csc().toarray()
    for label in range(5):
        y = np.where(Y[:, [label]].toarray().ravel() > 0, 1, -1)
        costs = 2.0 * weight * np.where(y > 0, 3.0, 0.5)
        oracle = solve_smooth(X.toarray(), y, costs, loss, 2.0)
        ours = np.append(coefs[:, label], weights.intercepts[label] / 2.0)
        arguments = (X.toarray(), y, costs, loss, 2.0)
        assert primal_objective(ours, *arguments) <= primal_objective(oracle, *arguments) * (1 + 1e-6)
        np.testing.assert_allclose(ours, oracle, atol=2e-3)


def test_hinge_matches_linear_svc():
    X, Y = random_problem(60, 15, 6, random_state=2)
    (weights,), _, _ = fit(X, [flat_problem(60, Y)], loss="hinge", positive_weight=2.0)
    coefs = weights.to_csc().toarray()
    for label in range(6):
        y = Y[:, [label]].toarray().ravel()
        oracle = LinearSVC(loss="hinge", class_weight={1: 2.0}, tol=1e-9, max_iter=10**6).fit(X, y)
        signs, costs = np.where(y > 0, 1, -1), np.where(y > 0, 2.0, 1.0)
        arguments = (X.toarray(), signs, costs, "hinge", 1.0)
        best = primal_objective(np.append(oracle.coef_[0], oracle.intercept_[0]), *arguments)
        ours = primal_objective(np.append(coefs[:, label], weights.intercepts[label]), *arguments)
        assert ours <= best * (1 + 1e-5)


def test_log_loss_learns_the_intercept_of_an_unbalanced_label():
    """An intercept that is not updated stays near 0 where the label's prior asks for much more."""
    X = sp.csr_array(np.full((200, 1), 1e-3, dtype=np.float32))
    Y = sp.csr_array((np.arange(200) < 180).astype(float).reshape(-1, 1))
    (weights,), _, _ = fit(X, [flat_problem(200, Y)], loss="log_loss", C=10.0)
    assert weights.intercepts[0] == pytest.approx(np.log(180 / 20), rel=0.02)


@pytest.mark.parametrize("tol", [1e-9, 0.1])
@pytest.mark.parametrize("outlier", [10, 14, 50, 300, -50, -2000])
def test_log_loss_of_a_row_far_on_either_side(outlier, tol):
    """Its alpha is within rounding of the cost, or of zero: a positive outlier is said to be a negative."""
    X = np.r_[np.ones(500), -np.ones(500), outlier][:, None]
    y = np.r_[np.ones(500), -np.ones(501)]
    Y = sp.csr_array((y[:, None] > 0).astype(float))
    (weights,), _, n_unconverged = fit(sp.csr_array(X), [flat_problem(1001, Y)], loss="log_loss", tol=tol)
    assert n_unconverged == 0
    ours = np.append(weights.to_csc().toarray()[:, 0], weights.intercepts[0])
    np.testing.assert_allclose(
        ours, solve_smooth(X, y, np.ones(1001), "log_loss", 1.0), atol=max(tol, 1e-4)
    )


def test_hinge_of_an_empty_row_without_intercept():
    """No weight makes it right: its alpha is at the bound from the first pass on."""
    X, Y = random_problem(60, 15, 6, random_state=2)
    longer = sp.vstack([sp.csr_array((1, 15), dtype=np.float32), X], format="csr")
    named = sp.vstack([Y[:1], Y], format="csr")
    settings = {"loss": "hinge", "bias": 0.0, "tol": 1e-3, "weight_threshold": 0.0}
    (plain,), n_iter, n_unconverged = fit(X, [flat_problem(60, Y)], **settings)
    (weights,), n_iter_longer, n_unconverged_longer = fit(longer, [flat_problem(61, named)], **settings)
    assert n_unconverged == n_unconverged_longer == 0
    assert n_iter_longer < 3 * n_iter
    np.testing.assert_allclose(weights.to_csc().toarray(), plain.to_csc().toarray(), atol=0.05)


def two_level_problems(X, Y, tree, rows=None):
    patterns = tree.propagate(Y)
    everyone = sp.csr_array(np.ones((X.shape[0], 1)))
    return [
        LevelProblem(tree.child_ptr[0], patterns[1], everyone),
        LevelProblem(tree.child_ptr[1], patterns[2], patterns[1] if rows is None else rows),
    ]


@pytest.fixture
def tree():
    return LabelTree([[0, 3], [0, 10, 30, 60]], np.random.default_rng(0).permutation(60))


def test_children_learn_from_the_rows_of_their_parent(tree):
    X, Y = random_problem(200, 40, 60)
    problems = two_level_problems(X, Y, tree)
    (_, weights), _, _ = fit(X, problems)
    coefs = weights.to_csc().toarray()
    rows, positives = problems[1].rows.toarray(), problems[1].positives.toarray()
    for child in range(0, 60, 11):
        members = np.flatnonzero(rows[:, tree.parent_of(2)[child]])
        oracle = LinearSVC(tol=1e-9, max_iter=10**6).fit(X[members], positives[members, child])
        np.testing.assert_allclose(coefs[:, child], oracle.coef_[0], atol=2e-6)


@pytest.mark.parametrize("loss", ["squared_hinge", "log_loss"])
def test_rows_marked_two_count_only_where_positive(tree, loss):
    X, Y = random_problem(200, 40, 60)
    problems = two_level_problems(X, Y, tree)
    rng = np.random.default_rng(3)
    rows = problems[1].rows.copy()
    rows.data[rng.uniform(size=rows.nnz) < 0.3] = 2
    problems = two_level_problems(X, Y, tree, rows)
    (_, weights), _, _ = fit(X, problems, loss=loss)
    coefs, flags = weights.to_csc().toarray(), rows.toarray()
    positives = problems[1].positives.toarray()
    for child in range(0, 60, 11):
        flag = flags[:, tree.parent_of(2)[child]]
        members = np.flatnonzero((flag == 1) | ((flag == 2) & (positives[:, child] > 0)))
        y = np.where(positives[members, child] > 0, 1, -1)
        if len(set(y)) < 2:
            continue
        oracle = solve_smooth(X.toarray()[members], y, np.ones(members.size), loss, 1.0)
        np.testing.assert_allclose(coefs[:, child], oracle[:-1], atol=2e-3)


def same_weights(a, b):
    return all(
        np.array_equal(getattr(x, name), getattr(y, name))
        for x, y in zip(a, b, strict=True)
        for name in ("entry_ptr", "entries", "words", "word_shift", "scales", "intercepts")
    )


@pytest.mark.parametrize("tol", [0.1, 1e-6])
@pytest.mark.parametrize("loss", ["squared_hinge", "hinge"])
def test_instruction_sets_agree_to_the_bit(tree, loss, tol, monkeypatch):
    X, Y = random_problem(200, 40, 60)
    results = []
    for variant in range(len(available_simd())):
        monkeypatch.setattr(_dual_cd_fast, "SIMD_VARIANT", variant)
        results.append(fit(X, two_level_problems(X, Y, tree), loss=loss, tol=tol)[0])
    assert all(same_weights(results[0], other) for other in results[1:])


@pytest.mark.parametrize("loss", ["squared_hinge", "hinge"])
@pytest.mark.parametrize("n_labels", [17, 40, 150])
def test_labels_that_take_over_lanes_are_solved_like_the_first(loss, n_labels):
    """Above the dust, lanes are filled again while others go on."""
    X, Y = random_problem(80, 30, n_labels, random_state=3)
    Y = sp.csr_array(Y)
    Y.data[:] = 1
    exact = fit(X, [flat_problem(80, Y)], loss=loss, max_iter=20_000)[0][0].to_csc().toarray()
    settings = {"loss": loss, "max_iter": 20_000, "weight_threshold": 0.01}
    (refilled,), n_iter, n_unconverged = fit(X, [flat_problem(80, Y)], **settings)
    assert n_unconverged == 0 and n_iter > 1
    kept = refilled.to_csc().toarray()
    np.testing.assert_allclose(kept, np.where(kept != 0, exact, 0), atol=2e-6)
    assert np.all(np.abs(exact[kept == 0]) < 0.01 + 2e-6)


def test_no_progress_ends_a_label(monkeypatch):
    """With tol="auto" a label whose passes gain little is done, near the optimum."""
    X, Y = random_problem(400, 60, 20, random_state=4)
    monkeypatch.setattr("sklearn_xmr.ranking._linear_ranker.TINY_PROBLEM", 0)
    objectives, passes = [], []
    for progress in (0.0, 0.01, 0.3):
        monkeypatch.setattr("sklearn_xmr.ranking._linear_ranker.MIN_PROGRESS", progress)
        (weights,), n_iter, n_unconverged = fit(X, [flat_problem(400, Y)], tol="auto")
        assert n_unconverged == 0
        passes.append(n_iter)
        coefs = weights.to_csc().toarray()
        objectives.append([
            primal_objective(
                np.append(coefs[:, k], weights.intercepts[k]), X.toarray(),
                np.where(Y[:, [k]].toarray().ravel() > 0, 1, -1), np.ones(400), "squared_hinge", 1.0,
            )
            for k in range(20)
        ])  # fmt: skip
    assert passes[0] > passes[1] > passes[2] >= 2
    best, loose, looser = np.array(objectives)
    assert np.all(loose <= 1.1 * best) and looser.sum() > loose.sum()


def test_threads_do_not_matter(tree):
    X, Y = random_problem(200, 40, 60)
    results = []
    for n_threads in (1, 2, 3):
        with threadpool_limits(n_threads):
            results.append(fit(X, two_level_problems(X, Y, tree), tol=0.1)[0])
    assert all(same_weights(results[0], other) for other in results[1:])


def test_a_task_is_not_changed_by_larger_ones_before_it():
    """Those leave memory behind that is given back where the next need much less."""
    rng = np.random.default_rng(0)
    n_large, n_small, n_features = 17_000, 100, 5000
    columns = rng.integers(n_features, size=((n_large + n_small), 4))
    X = sp.csr_array(
        (rng.random(columns.size, dtype=np.float32), columns.ravel(), np.arange(0, columns.size + 1, 4)),
        shape=(n_large + n_small, n_features),
    )
    X.sum_duplicates()
    Y = np.zeros((n_large + n_small, 29), dtype=np.float32)
    Y[:n_large, :24] = rng.random((n_large, 24)) < 0.2
    Y[n_large:, 24:] = rng.random((n_small, 5)) < 0.2
    rows = np.repeat(np.eye(2, dtype=np.float32), [n_large, n_small], axis=0)

    def small_cluster(kept):
        problem = LevelProblem(np.array([0, 24, 29]), sp.csr_array(Y[kept]), sp.csr_array(rows[kept]))
        with threadpool_limits(1, user_api="openmp"):
            (weights,), _, _ = fit(X[kept], [problem], tol=1e-3, max_iter=20)
        return weights.to_csc()[:, 24:].toarray(), weights.intercepts[24:]

    after_large = small_cluster(np.arange(n_large + n_small))
    after_small = small_cluster(np.arange(n_large - 1000, n_large + n_small))
    assert np.count_nonzero(after_large[0]) > 1000
    np.testing.assert_array_equal(after_large[0], after_small[0])
    np.testing.assert_array_equal(after_large[1], after_small[1])


def test_float32_solver_comes_close_to_the_optimum(tree):
    X, Y = random_problem(200, 40, 60)
    loose, tight = (fit(X, two_level_problems(X, Y, tree), tol=tol)[0] for tol in (1e-3, 1e-9))
    for a, b in zip(loose, tight, strict=True):
        np.testing.assert_allclose(a.to_csc().toarray(), b.to_csc().toarray(), atol=2e-3)


def test_threshold_drops_small_weights_only(tree):
    X, Y = random_problem(200, 40, 60)
    all_weights = fit(X, two_level_problems(X, Y, tree))[0][1].to_csc().toarray()
    pruned = fit(X, two_level_problems(X, Y, tree), weight_threshold=0.3)[0][1].to_csc().toarray()
    np.testing.assert_array_equal(pruned, np.where(np.abs(all_weights) >= 0.3, all_weights, 0))
    assert 0 < np.count_nonzero(pruned) < np.count_nonzero(all_weights)


def test_label_without_positives_has_no_weights_and_is_never_reached():
    X, Y = random_problem(50, 20, 20)
    Y = sp.csr_array(Y.toarray() * (np.arange(20) != 4))
    (weights,), _, _ = fit(X, [flat_problem(50, Y)])
    assert weights.intercepts[4] == -np.inf
    assert np.isfinite(np.delete(weights.intercepts, 4)).all()
    assert weights.to_csc()[:, [4]].nnz == 0


def test_all_rows_positive_trains():
    X, _ = random_problem(20, 10, 4)
    (weights,), _, n_unconverged = fit(X, [flat_problem(20, sp.csr_array(np.ones((20, 1))))])
    assert n_unconverged == 0 and weights.intercepts[0] > 0.5


def test_empty_rows_train():
    X = sp.csr_array((6, 3), dtype=np.float32)
    Y = sp.csr_array(np.array([[1.0, 0]] * 4 + [[0, 1.0]] * 2))
    for loss in ("squared_hinge", "hinge", "log_loss"):
        for bias in (0.0, 1.0):
            (weights,), _, _ = fit(X, [flat_problem(6, Y)], loss=loss, bias=bias)
            assert np.isfinite(weights.intercepts).all() and weights.entries.size == 0
            assert (weights.intercepts[0] > weights.intercepts[1]) == (bias > 0)


def test_max_iter_counts_unconverged_nodes():
    X, Y = random_problem(80, 30, 20)
    _, n_iter, n_unconverged = fit(X, [flat_problem(80, Y)], max_iter=2)
    assert n_iter == 2 and n_unconverged == 20


def test_tasks_cover_every_child_with_positives_once():
    child_ptr = np.array([0, 300, 301, 341])
    n_positives = np.random.default_rng(0).integers(0, 4, size=341)
    n_rows = np.array([20_000, 5, 10**6])
    order, starts, sizes, parents = _tasks_of_level(child_ptr, n_positives, n_rows)
    covered = np.concatenate([order[s : s + n] for s, n in zip(starts, sizes, strict=True)])
    np.testing.assert_array_equal(np.sort(covered), np.flatnonzero(n_positives))
    assert sizes[parents == 0].max() == 208  # whole blocks of 16 below 2**22 // 20_000
    assert sizes[parents == 2].max() == 16
    for start, size, parent in zip(starts, sizes, parents, strict=True):
        children = order[start : start + size]
        assert np.all((children >= child_ptr[parent]) & (children < child_ptr[parent + 1]))
        assert np.all(np.diff(n_positives[children]) <= 0)


def test_auto_tolerance_forgives_what_lies_within_the_loose_one(monkeypatch):
    """A tiny problem is solved as far as the passes go; only the loose tolerance counts as a failure."""
    X, Y = random_problem(80, 30, 20)
    monkeypatch.setattr("sklearn_xmr.ranking._linear_ranker.TINY_MAX_ITER", 20)
    problems = [flat_problem(80, Y)]
    _, n_iter, strict = fit(X, problems, tol=1e-11, max_iter=20)
    assert n_iter == 20 and strict > 0
    _, n_iter, forgiven = fit(X, problems, tol="auto", max_iter=20)
    assert n_iter == 20 and forgiven == 0


def test_tiny_problems_take_fewer_of_the_slow_passes(monkeypatch):
    X, Y = random_problem(80, 30, 20)
    monkeypatch.setattr("sklearn_xmr.ranking._linear_ranker.TINY_MAX_ITER", 70)
    for loss, passes in (("squared_hinge", 70), ("log_loss", 7)):
        assert fit(X, [flat_problem(80, Y)], loss=loss, tol="auto", max_iter="auto")[1] == passes
        assert fit(X, [flat_problem(80, Y)], loss=loss, tol="auto", max_iter=2)[1] == 2


def test_nonzeros_beyond_int32_are_counted():
    """Their number decides how weights are stored; the index arrays of large problems are int32."""
    X, rows = sp.csr_array((2, 5), dtype=np.float32), sp.csr_array((2, 3))
    X.indptr = np.array([0, 2**30, 2**31 - 1], dtype=np.int32)  # as if they were stored
    rows.indptr = np.array([0, 2, 5], dtype=np.int32)
    assert n_nonzeros(X, LevelProblem(None, None, rows)) == 2 * 2**30 + 3 * (2**30 - 1)
