"""What the metrics refuse, and how they say it."""

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_xmr.metrics import (
    coverage_at_k,
    f1_at_k,
    ndcg_at_k,
    precision_at_k,
    propensity_scored_ndcg_at_k,
    propensity_scored_precision_at_k,
    recall_at_k,
)

Y_TRUE = np.array([[1, 0, 1, 1, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]])
LABELS = np.array([[0, 4, 3], [2, 1, -1], [3, 0, 1], [-1, -1, -1]])
SCORES = np.where(LABELS >= 0, [3.0, 2.0, 1.0], -np.inf)
METRICS = {
    "precision": precision_at_k,
    "recall": recall_at_k,
    "f1": f1_at_k,
    "ndcg": ndcg_at_k,
    "coverage": coverage_at_k,
    "ps_precision": partial(propensity_scored_precision_at_k, propensities=np.full(5, 0.5)),
    "ps_ndcg": partial(propensity_scored_ndcg_at_k, propensities=np.full(5, 0.5)),
}


@pytest.fixture(params=METRICS)
def metric(request):
    return METRICS[request.param]


def _pair(labels, scores=None):
    labels = np.asarray(labels)
    return labels, np.zeros(labels.shape) if scores is None else np.asarray(scores)


@pytest.mark.parametrize(
    ("y_pred", "match"),
    [
        (_pair(np.zeros((3, 1), int)), r"labels must have shape \(4, k\).*got shape \(3, 1\)"),
        (_pair([0, 1, 2, 3]), r"labels must have shape \(4, k\).*got shape \(4,\)"),
        (_pair([[0], [1], [5], [0]]), r"labels must be in \[0, 5\), or -1 for padding, got 5"),
        (_pair([[0], [1], [-2], [0]]), r"labels must be in \[0, 5\).*got -2"),
        (_pair(np.full((4, 1), 2**64 - 1, np.uint64)), r"labels must be in \[0, 5\)"),
        (_pair([[0, 1], [2, 3], [4, 4], [1, 0]]), "row 2 names one label twice"),
        (_pair([[0.0], [1.0], [2.0], [3.0]]), "labels must be integers, got dtype float64"),
        (_pair(LABELS, SCORES[:, :2]), r"the same shape, got \(4, 3\) and \(4, 2\)"),
        (_pair(LABELS, np.full((4, 3), np.nan)), "scores must be numeric and must not contain NaN"),
        (_pair(LABELS, np.full((4, 3), "a")), "scores must be numeric"),
        ((LABELS,), r"must be \(labels, scores\), got 1 item"),
        (np.zeros((4, 4)), r"y_pred and y_true must have the same shape, got \(4, 4\) and \(4, 5\)"),
        (sp.csr_array((3, 5)), r"must have the same shape, got \(3, 5\) and \(4, 5\)"),
        (np.full((4, 5), np.nan), "y_pred must not contain NaN"),
        (np.zeros(4), r"y_pred must have shape \(n_samples, n_labels\), got shape \(4,\)"),
        (None, "y_pred must have shape"),
        ([[1, 2], [3], [1], [2]], "y_pred must be an array, got rows of different lengths"),
        (([[1, 0], [1], [2], [3]], SCORES), "y_pred: labels must be an array, got rows of different"),
        ((LABELS, [[1, 0], [1], [2], [3]]), "y_pred: scores must be an array, got rows of different"),
        (
            sp.csr_array((np.ones(4), np.array([0, 5, 1, 2]), [0, 1, 2, 3, 4]), shape=(4, 5)),
            r"y_pred must have column indices in \[0, 5\), got 5",
        ),
    ],
)
def test_bad_predictions_are_refused(metric, y_pred, match):
    with pytest.raises(ValueError, match=match):
        metric(Y_TRUE, y_pred, k=3)


@pytest.mark.parametrize(
    ("y_true", "match"),
    [
        (2 * Y_TRUE, "y_true must contain only 0 and 1, got the value 2"),
        (np.array([0, 1, 2, 1]), "y_true must be an indicator matrix"),
        (np.empty((0, 5)), "y_true must have at least one row"),
        (np.full((4, 5), "a"), "y_true must be numeric or boolean"),
    ],
)
def test_bad_truth_is_refused(metric, y_true, match):
    with pytest.raises(ValueError, match=match):
        metric(y_true, (LABELS[: len(y_true)], SCORES[: len(y_true)]), k=3)


@pytest.mark.parametrize(
    ("k", "error", "match"),
    [
        (0, ValueError, "k must be at least 1, got 0"),
        (2.0, TypeError, "k must be an integer, got 2.0 of type float"),
        ("3", TypeError, "k must be an integer, got '3' of type str"),
    ],
)
def test_bad_k_is_refused(metric, k, error, match):
    with pytest.raises(error, match=match):
        metric(Y_TRUE, (LABELS, SCORES), k=k)


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ([1, 1, 1], r"sample_weight.shape == \(3,\), expected \(4,\)"),
        ([1, 1, -1, 1], "Negative values"),
        ([1, np.nan, 1, 1], "NaN"),
        ([0, 0, 0, 0], "zero"),
    ],
)
@pytest.mark.parametrize("name", [name for name in METRICS if name != "coverage"])
def test_bad_weights_are_refused(name, weights, match):
    with pytest.raises(ValueError, match=match):
        METRICS[name](Y_TRUE, (LABELS, SCORES), k=3, sample_weight=weights)


@pytest.mark.parametrize("metric", [propensity_scored_precision_at_k, propensity_scored_ndcg_at_k])
@pytest.mark.parametrize(
    ("propensities", "match"),
    [
        ([0.5] * 4, r"propensities must have shape \(5,\), one per column of y_true, got shape \(4,\)"),
        ([0.5, 0.5, 0.0, 0.5, 0.5], r"propensities must lie in \(0, 1\], got 0.0"),
        ([0.5, 0.5, 1.5, 0.5, 0.5], r"propensities must lie in \(0, 1\], got 1.5"),
        ([0.5, 0.5, np.nan, 0.5, 0.5], r"propensities must lie in \(0, 1\], got nan"),
        (list("abcde"), r"propensities must be numbers, got \['a', 'b', 'c', 'd', 'e'\]"),
    ],
)
def test_bad_propensities_are_refused(metric, propensities, match):
    with pytest.raises(ValueError, match=match):
        metric(Y_TRUE, (LABELS, SCORES), propensities=propensities, k=3)
