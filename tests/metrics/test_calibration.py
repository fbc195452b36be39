"""Calibration error and reliability curve."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.decision import ece, rank_bin, width_bin

from sklearn_xmr.metrics import calibration_curve_at_k, expected_calibration_error, topk


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(1, 20), st.integers(1, 6), st.integers(1, 8), st.integers(1, 7))
def test_against_plain_loops(seed, n_rows, n_labels, n_bins, k):
    rng = np.random.default_rng(seed)
    y_true = rng.random((n_rows, n_labels)) < 0.4
    y_proba = np.round(rng.random((n_rows, n_labels)), 1)
    labels, scores = topk(y_proba, k)
    ranked = [
        [(label, p) for label, p in zip(*row, strict=True) if label >= 0]
        for row in zip(labels, scores, strict=True)
    ]
    got = expected_calibration_error(y_true, y_proba, k=k, n_bins=n_bins, strategy="uniform")
    assert got == pytest.approx(ece(y_true, ranked, k, n_bins, width_bin))
    got = expected_calibration_error(y_true, (labels, scores), k=k, n_bins=n_bins)
    assert got == pytest.approx(ece(y_true, ranked, k, n_bins, rank_bin))
    sparse = sp.csr_array(np.maximum(y_proba, 1e-9))
    assert expected_calibration_error(y_true, sparse, k=n_labels, n_bins=1) == pytest.approx(
        abs(y_true.mean() - y_proba.mean()), abs=1e-6
    )


def test_curve_by_hand():
    y_true = [[1, 0, 0], [0, 1, 0]]
    pair = (np.array([[0, 1], [1, -1]]), np.array([[0.9, 0.3], [0.7, -np.inf]]))
    curve = calibration_curve_at_k(y_true, pair, k=2, n_bins=2, strategy="uniform")
    assert curve.prob_true.tolist() == [0.0, 1.0]
    np.testing.assert_allclose(curve.prob_pred, [0.3, 0.8])
    assert curve.counts.tolist() == [1, 2]
    assert expected_calibration_error(y_true, pair, k=2, n_bins=2, strategy="uniform") == pytest.approx(
        (0.3 + 2 * 0.2) / 3
    )


def test_adaptive_bins_hold_equally_many():
    rng = np.random.default_rng(0)
    y_proba = rng.random((300, 4))
    curve = calibration_curve_at_k(rng.random((300, 4)) < y_proba, y_proba, k=4, n_bins=10)
    assert curve.counts.tolist() == [120] * 10
    assert np.all(np.diff(curve.prob_pred) > 0)


def test_large_groups_of_equal_probabilities_stay_apart():
    y_proba = np.repeat([0.1, 0.9], 50)[:, None]
    curve = calibration_curve_at_k(y_proba < 0.5, y_proba, k=1)
    assert curve.counts.tolist() == [50, 50] and curve.prob_true.tolist() == [1, 0]
    assert expected_calibration_error(y_proba < 0.5, y_proba, k=1) == pytest.approx(0.9)


def test_honest_probabilities_have_no_error():
    rng = np.random.default_rng(0)
    y_proba = rng.random((20_000, 3))
    y_true = rng.random(y_proba.shape) < y_proba
    assert expected_calibration_error(y_true, y_proba, k=3) < 0.01
    assert expected_calibration_error(y_true, y_proba**3, k=3) > 0.1


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"n_bins": 0}, ValueError, "n_bins must be at least 1"),
        ({"n_bins": 2.0}, TypeError, "n_bins must be an integer"),
        ({"k": 0}, ValueError, "k must be at least 1"),
        ({"strategy": "width"}, ValueError, "strategy must be 'quantile' or 'uniform', got 'width'"),
        ({"y_proba": [[2.0, 0.1]]}, ValueError, r"probabilities in \[0, 1\], got 2"),
        ({"y_proba": [[-0.5, 0.1]]}, ValueError, r"probabilities in \[0, 1\], got -0.5"),
        ({"y_proba": sp.csr_array((1, 2))}, ValueError, "at least one prediction, got none"),
        ({"y_proba": [[0.5]]}, ValueError, "the same shape"),
    ],
)
@pytest.mark.parametrize("metric", [expected_calibration_error, calibration_curve_at_k])
def test_bad_input(metric, change, error, match):
    with pytest.raises(error, match=match):
        metric(**{"y_true": [[1, 0]], "y_proba": [[0.9, 0.2]], **change})
