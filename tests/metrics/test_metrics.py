"""Metrics at k against plain loops and hand-computed values."""

from functools import partial
from math import log2

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import metrics as reference
from sklearn.metrics import f1_score

from sklearn_xmr.metrics import (
    coverage_at_k,
    f1_at_k,
    ndcg_at_k,
    precision_at_k,
    propensity_scored_ndcg_at_k,
    propensity_scored_precision_at_k,
    recall_at_k,
    topk,
)

# Rows: two hits out of three, a hit at rank 2 followed by padding, no true labels, nothing predicted.
Y_TRUE = np.array([[1, 0, 1, 1, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]])
LABELS = np.array([[0, 4, 3], [2, 1, -1], [3, 0, 1], [-1, -1, -1]])
SCORES = np.where(LABELS >= 0, [3.0, 2.0, 1.0], -np.inf)
PROPENSITIES = np.array([0.5, 0.25, 0.2, 1.0, 0.1])

# every metric as (y_true, y_pred, *, k) -> float on the five labels above
METRICS = {
    "precision": precision_at_k,
    "recall": recall_at_k,
    "f1": f1_at_k,
    "ndcg": ndcg_at_k,
    "coverage": coverage_at_k,
    "ps_precision": partial(propensity_scored_precision_at_k, propensities=PROPENSITIES),
    "ps_ndcg": partial(propensity_scored_ndcg_at_k, propensities=PROPENSITIES),
}
D2, D3 = 1 / log2(3), 1 / log2(4)


@pytest.fixture(params=METRICS)
def metric(request):
    return METRICS[request.param]


@pytest.mark.parametrize(
    ("name", "k", "expected"),
    [
        ("precision", 1, 1 / 4),
        ("precision", 3, (2 / 3 + 1 / 3) / 4),
        ("precision", 10, (2 / 10 + 1 / 10) / 4),
        ("recall", 1, (1 / 3) / 4),
        ("recall", 3, (2 / 3 + 1) / 4),
        ("f1", 1, (2 / 4) / 4),
        ("f1", 3, (4 / 6 + 2 / 3) / 4),
        ("ndcg", 1, 1 / 4),
        ("ndcg", 3, ((1 + D3) / (1 + D2 + D3) + D2) / 4),
        ("coverage", 1, 1 / 5),
        ("coverage", 3, 3 / 5),
        # best of row 0 is label 2 (1/p = 5), then 0 (2), then 3 (1); of row 1: 4; of row 3: 10
        ("ps_precision", 1, 2 / (5 + 4 + 10)),
        ("ps_precision", 2, (2 + 4) / (5 + 2 + 4 + 10)),
        ("ps_precision", 3, (2 + 1 + 4) / (5 + 2 + 1 + 4 + 10)),
        ("ps_ndcg", 1, 2 / (5 + 4 + 10)),
        ("ps_ndcg", 2, (2 / (1 + D2) + 4 * D2) / ((5 + 2 * D2) / (1 + D2) + 4 + 10)),
    ],
)
def test_hand_computed(name, k, expected):
    result = METRICS[name](Y_TRUE, (LABELS, SCORES), k=k)
    assert isinstance(result, float)
    assert result == pytest.approx(expected, rel=1e-14)


def test_k_is_5_unless_told():
    y_true, y_score = np.eye(7)[:1], np.arange(7.0)[None, ::-1]
    assert precision_at_k(y_true, y_score) == 1 / 5


@st.composite
def problems(draw):
    n_samples, n_labels = draw(st.integers(1, 8)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    y_true = (rng.random((n_samples, n_labels)) < draw(st.sampled_from([0.0, 0.2, 0.7]))).astype(int)
    scores = rng.integers(0, 4, (n_samples, n_labels)) / 2  # ties
    stored = rng.random((n_samples, n_labels)) < 0.6
    propensities = rng.uniform(0.05, 1, n_labels)
    weights = rng.uniform(0.1, 2, n_samples)
    return y_true, scores, stored, propensities, weights


@settings(deadline=None, max_examples=150)
@given(problems(), st.integers(1, 11))
def test_agree_with_plain_loops(problem, k):
    y_true, scores, stored, propensities, weights = problem
    rows, columns = np.nonzero(stored)
    y_pred = sp.csr_array((scores[rows, columns], (rows, columns)), shape=scores.shape)
    truth = reference.true_sets(y_true)
    ranked = [
        reference.topk_row([(j, v) for j, v in enumerate(row) if keep[j]], k)
        for row, keep in zip(scores.tolist(), stored, strict=True)
    ]
    check = partial(pytest.approx, rel=1e-12, abs=1e-15)
    for ours, theirs in [
        (precision_at_k, reference.precision),
        (recall_at_k, reference.recall),
        (f1_at_k, reference.f1),
        (ndcg_at_k, reference.ndcg),
        (partial(propensity_scored_precision_at_k, propensities=propensities),
         partial(reference.ps_precision, propensities=propensities)),
        (partial(propensity_scored_ndcg_at_k, propensities=propensities),
         partial(reference.ps_ndcg, propensities=propensities)),
    ]:  # fmt: skip
        assert ours(y_true, y_pred, k=k) == check(theirs(truth, ranked, k, [1] * len(truth)))
        weighted = ours(y_true, y_pred, k=k, sample_weight=weights)
        assert weighted == check(theirs(truth, ranked, k, weights))
    assert coverage_at_k(y_true, y_pred, k=k) == check(reference.coverage(truth, ranked, k))


@settings(deadline=None, max_examples=50)
@given(problems(), st.integers(1, 11))
def test_between_zero_and_what_the_truth_itself_reaches(problem, k):
    y_true, scores, _, propensities, _ = problem
    # the truth as a prediction, rarest labels first, is the best there is
    oracle = np.where(y_true == 1, 1 / propensities, 0)
    for metric in [
        recall_at_k,
        f1_at_k,
        precision_at_k,
        ndcg_at_k,
        partial(propensity_scored_precision_at_k, propensities=propensities),
        partial(propensity_scored_ndcg_at_k, propensities=propensities),
    ]:
        assert 0 <= metric(y_true, scores, k=k) <= metric(y_true, oracle, k=k) + 1e-12
    if y_true.any():
        for scored in (propensity_scored_precision_at_k, propensity_scored_ndcg_at_k):
            assert scored(y_true, oracle, propensities=propensities, k=k) == pytest.approx(1)


def test_same_result_for_every_kind_of_input(metric):
    rng = np.random.default_rng(3)
    y_true = (rng.random((40, 5)) < 0.4).astype(np.int64)
    scores = rng.integers(1, 4, (40, 5)).astype(float)  # no zero: sparse keeps all; ties
    scores[:, 4] = 0.5  # never among the first two, so that no metric reaches 1
    expected = metric(y_true, scores, k=2)
    assert 0 < expected < 1
    pair = topk(scores, 2)
    for y_pred in [
        pair,
        topk(scores, 4),  # more than k ranks
        (pair[0].astype(np.uint8), pair[1]),
        (pair[0].tolist(), pair[1].tolist()),
        scores.tolist(),
        scores.astype(np.float32),
        sp.csr_array(scores),
        sp.csc_matrix(scores),
    ]:
        assert metric(y_true, y_pred, k=2) == expected
    for truth in [
        y_true.tolist(),
        y_true.astype(bool),
        y_true.astype(np.float32),
        sp.csr_matrix(y_true),
        sp.csc_array(y_true, dtype=bool),
        sp.coo_array(y_true),
    ]:
        assert metric(truth, pair, k=2) == expected


def test_stored_zeros_in_the_truth_are_not_labels(metric):
    truth = sp.csr_array(
        (np.array([1, 1, 1, 0, 1, 0, 1.0]), [3, 2, 0, 1, 1, 0, 4], [0, 4, 6, 6, 7]), shape=(4, 5)
    )
    assert metric(truth, (LABELS, SCORES), k=3) == metric(Y_TRUE, (LABELS, SCORES), k=3)


def test_order_of_a_pair_is_trusted():
    pair = (np.array([[0, 1]]), np.array([[0.1, 0.9]]))
    assert precision_at_k([[1, 0]], pair, k=1) == 1


def test_ties_go_to_the_smaller_label():
    scores = [[0.5, 0.5, 0.5]]
    assert precision_at_k([[1, 0, 0]], scores, k=1) == 1
    assert precision_at_k([[0, 1, 0]], scores, k=1) == 0
    assert precision_at_k([[0, 1, 0]], sp.csr_array(scores), k=2) == 1 / 2


def test_absent_sparse_entries_are_misses_whatever_the_sign_of_the_others():
    scores = sp.csr_array(([-1.0], ([0], [1])), shape=(1, 3))
    assert precision_at_k([[1, 1, 0]], scores, k=2) == 1 / 2
    assert precision_at_k([[1, 1, 0]], scores.toarray(), k=2) == 1 / 2  # labels 0 and 2 come first
    assert recall_at_k([[1, 0, 0]], scores, k=3) == 0


def test_padding_between_labels_is_a_miss_at_its_rank():
    pair = (np.array([[-1, 0, -1, 1]]), np.zeros((1, 4)))
    assert precision_at_k([[1, 1]], pair, k=2) == 1 / 2
    assert recall_at_k([[1, 1]], pair, k=4) == 1
    assert ndcg_at_k([[1, 0]], pair, k=2) == pytest.approx(D2)


def test_padding_is_never_mistaken_for_a_label():
    # -1 must not hit the last label, neither of the same row nor of the row before
    y_true = np.array([[0, 1], [0, 1]])
    pair = (np.full((2, 1), -1), np.full((2, 1), -np.inf))
    assert precision_at_k(y_true, pair, k=1) == 0
    assert coverage_at_k(y_true, pair, k=1) == 0


def test_no_predictions_at_all(metric):
    assert metric(Y_TRUE, (np.empty((4, 0), int), np.empty((4, 0))), k=3) == 0
    assert metric(Y_TRUE, sp.csr_array(Y_TRUE.shape), k=3) == 0


def test_no_true_labels_at_all(metric):
    assert metric(np.zeros_like(Y_TRUE), (LABELS, SCORES), k=3) == 0


@pytest.mark.parametrize("name", [name for name in METRICS if name != "coverage"])
def test_weights_stand_for_repeated_rows(name):
    weights = [3, 1, 0, 2]
    repeated = np.repeat(np.arange(4), weights)
    expected = METRICS[name](Y_TRUE[repeated], (LABELS[repeated], SCORES[repeated]), k=3)
    weighted = METRICS[name](Y_TRUE, (LABELS, SCORES), k=3, sample_weight=weights)
    assert weighted == pytest.approx(expected, rel=1e-14)
    assert weighted != METRICS[name](Y_TRUE, (LABELS, SCORES), k=3)


def test_large_label_spaces_stay_sparse():
    n_samples, n_labels = 20_000, 3_000_000  # dense: 60 GB as bool; row * n_labels overflows int32
    rng = np.random.default_rng(0)
    labels = rng.integers(0, n_labels, (n_samples, 5), dtype=np.int32)
    labels[:, 1:] = (labels[:, :1] + [7, 70, 700, 7000]) % n_labels
    rows = np.repeat(np.arange(n_samples), 2)
    y_true = sp.csr_array((np.ones(2 * n_samples), (rows, labels[:, [0, 3]].ravel())),
                          shape=(n_samples, n_labels))  # fmt: skip
    assert precision_at_k(y_true, (labels, np.zeros(labels.shape)), k=5) == pytest.approx(2 / 5)
    assert ndcg_at_k(y_true, (labels, np.zeros(labels.shape)), k=1) == 1


def test_f1_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    y_true = (rng.random((60, 9)) < 0.3).astype(int)
    scores = np.where(rng.random((60, 9)) < 0.5, rng.random((60, 9)), -np.inf)
    for k in (1, 3, 20):
        labels, _ = topk(scores, k)
        sets = np.zeros_like(y_true)
        for row, best in enumerate(labels):
            sets[row, best[best >= 0]] = 1
        expected = f1_score(y_true, sets, average="samples", zero_division=0)
        assert f1_at_k(y_true, scores, k=k) == pytest.approx(expected, rel=1e-12)
