"""Rules against plain loops."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.decision import best_f1_cut, expected_f1, threshold_of_cut
from reference.decision import label_thresholds as label_thresholds_by_loops

from sklearn_xmr.decision._candidates import Candidates
from sklearn_xmr.decision._rules import (
    best_expected_f1_sizes,
    best_f1_thresholds,
    label_thresholds,
    sets_to_csr,
)
from sklearn_xmr.utils._sparse_entries import contains_entries


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 4), st.booleans())
def test_best_f1_thresholds(seed, n_candidates, n_groups, weighted):
    rng = np.random.default_rng(seed)
    groups = rng.integers(n_groups, size=n_candidates)
    scores = (rng.integers(1, 12, size=n_candidates) / 16).astype(np.float32)
    hits = rng.random(n_candidates) < 0.4
    weights = rng.integers(0, 3, size=n_candidates) / 2 if weighted else np.ones(n_candidates)
    missed = rng.integers(0, 3, size=n_groups)  # true labels that are no candidates
    n_positives = np.bincount(groups, weights=weights * hits, minlength=n_groups) + missed
    thresholds = best_f1_thresholds(groups, scores, hits, n_positives, weights)
    for group in range(n_groups):
        mine = groups == group
        values = scores[mine].tolist()
        best = best_f1_cut(values, hits[mine], n_positives[group], weights[mine])
        np.testing.assert_equal(thresholds[group], threshold_of_cut(values, best))


def test_thresholds_of_hand_made_scores():
    groups = np.array([0, 0, 0, 1, 1])
    scores = np.array([0.9, 0.5, 0.1, 0.8, 0.2])
    hits = np.array([True, True, False, False, False])
    thresholds = best_f1_thresholds(groups, scores, hits, np.array([2.0, 1.0, 0.0]), np.ones(5))
    assert thresholds[0] == pytest.approx(0.3)
    assert np.isnan(thresholds[1:]).all()


def test_threshold_between_neighbours_in_floating_point():
    low = 0.5
    high = np.nextafter(low, 1)
    scores = np.array([high, low])
    (threshold,) = best_f1_thresholds(
        np.zeros(2, int), scores, np.array([True, False]), np.array([1.0]), np.ones(2)
    )
    assert (scores >= threshold).tolist() == [True, False]


def test_no_candidates():
    nothing = np.empty(0)
    thresholds = best_f1_thresholds(nothing.astype(int), nothing, nothing.astype(bool), np.ones(2), nothing)
    assert np.isnan(thresholds).all()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(1, 25), st.integers(1, 8), st.integers(1, 12))
def test_label_thresholds(seed, n_rows, n_labels, min_positives):
    rng = np.random.default_rng(seed)
    truth = (rng.random((n_rows, n_labels)) < rng.random(n_labels)).astype(float)
    scores = np.round(rng.random((n_rows, n_labels)), 2) * (rng.random((n_rows, n_labels)) < 0.7)
    rows, labels = np.nonzero(scores)
    Y = sp.csr_array(truth)
    candidates = Candidates(
        rows, labels, scores[rows, labels], contains_entries(Y, rows, labels), Y, np.ones(n_rows)
    )
    shared, thresholds = label_thresholds(candidates, min_positives)
    rankings = [[(j, scores[i, j]) for j in range(n_labels) if scores[i, j]] for i in range(n_rows)]
    sets = [set(np.flatnonzero(row).tolist()) for row in truth]
    wanted = label_thresholds_by_loops(rankings, sets, n_labels, min_positives)
    assert shared == pytest.approx(wanted[0])
    np.testing.assert_allclose(thresholds, wanted[1])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 0.01, 0.2, 0.5, 0.77, 1.0]), min_size=5, max_size=5),
        min_size=1,
        max_size=3,
    )
)
def test_expected_f1(rows):
    probabilities = -np.sort(-np.array(rows), axis=1)
    sizes, expected = best_expected_f1_sizes(probabilities)
    for row, size, value in zip(probabilities, sizes, expected, strict=True):
        of_size = [expected_f1(row.tolist(), m) for m in range(6)]
        assert value == pytest.approx(max(of_size))
        assert of_size[size] == pytest.approx(max(of_size))


def test_expected_f1_of_certainty():
    sizes, expected = best_expected_f1_sizes(np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))
    assert sizes.tolist() == [2, 0]
    assert expected.tolist() == [1.0, 0.0]


def test_sets():
    labels = np.array([[2, 0], [1, -1]])
    taken = np.array([[True, True], [True, False]])
    assert sets_to_csr(labels, taken, 3).toarray().tolist() == [[1, 0, 1], [0, 1, 0]]
