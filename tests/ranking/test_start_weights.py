"""Start of node scorers: solved, weighted by counts, inherited, random."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize

from sklearn_xmr.ranking._linear_ranker import LevelProblem
from sklearn_xmr.ranking._start_weights import (
    BOOTSTRAP_C,
    RANDOM_SCALE,
    inherited_weights,
    random_weights,
    solved_weights,
)

CHILD_PTR = np.array([0, 2, 5])


def level(seed=0, n_rows=40, n_dims=6):
    """Counts of two parents' children; rows 0-4 serve as positives only."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 4, (n_rows, 5)) * (rng.random((n_rows, 5)) < 0.4)
    parents = np.column_stack([counts[:, :2].sum(axis=1), counts[:, 2:].sum(axis=1)]) > 0
    rows = parents.astype(np.float32)
    rows[:5] *= 2
    problem = LevelProblem(CHILD_PTR, sp.csr_array(counts.astype(np.float32)), sp.csr_array(rows))
    return rng.standard_normal((n_rows, n_dims)).astype(np.float32), counts, rows, problem


def objective_of(x, X, y, weights):
    margins = y * (X @ x[:-1] + x[-1])
    return 0.5 * x @ x + BOOTSTRAP_C * np.sum(weights * np.maximum(0, 1 - margins) ** 2)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_solves_the_problem_of_each_node(is_weighted):
    X, counts, rows, problem = level()
    row_weights = np.random.default_rng(1).uniform(0.2, 3, len(X))
    weights, biases = solved_weights(problem, X, row_weights, is_weighted=is_weighted, seed=0)
    for node in range(5):
        parent = 0 if node < 2 else 1
        flags, positive = rows[:, parent], counts[:, node] > 0
        used = (flags == 1) | ((flags == 2) & positive)
        y = np.where(positive, 1, -1)[used]
        cost = (row_weights * np.where(positive & is_weighted, counts[:, node], 1))[used]
        arguments = (X[used].astype(float), y, cost)
        best = minimize(objective_of, np.zeros(7), arguments, method="L-BFGS-B", tol=1e-12).fun
        ours = objective_of(np.append(weights[node], biases[node]).astype(float), *arguments)
        assert ours == pytest.approx(best, rel=1e-4)


def test_node_without_positives_starts_as_never():
    X, counts, rows, _ = level()
    counts[:, 3] = 0
    problem = LevelProblem(CHILD_PTR, sp.csr_array(counts.astype(np.float32)), sp.csr_array(rows))
    weights, biases = solved_weights(problem, X, np.ones(len(X)), is_weighted=True, seed=0)
    assert biases[3] == -1
    assert not weights[3].any()


def test_children_inherit():
    weights, biases = inherited_weights(CHILD_PTR, np.array([[1.0, 2], [3, 4]]), np.array([5.0, 6]))
    np.testing.assert_array_equal(weights, [[1, 2], [1, 2], [3, 4], [3, 4], [3, 4]])
    np.testing.assert_array_equal(biases, [5, 5, 6, 6, 6])


def test_random_weights():
    weights, biases = random_weights(300, 50, np.random.default_rng(0))
    assert weights.std() == pytest.approx(RANDOM_SCALE, rel=0.05)
    assert weights.dtype == biases.dtype == np.float32
    assert np.all(biases == -1)
