"""Precision and recall by training frequency."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_xmr.metrics import precision_at_k, precision_recall_by_frequency, topk


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**31), st.integers(1, 15), st.integers(1, 8), st.integers(1, 9),
    st.sets(st.integers(0, 12), min_size=1, max_size=3),
)  # fmt: skip
def test_against_plain_loops(seed, n_rows, n_labels, k, edges):
    rng = np.random.default_rng(seed)
    edges = sorted(edges)
    y_train = (rng.random((14, n_labels)) < rng.random(n_labels)).astype(int)
    y_true = (rng.random((n_rows, n_labels)) < 0.4).astype(int)
    y_score = np.where(rng.random(y_true.shape) < 0.7, rng.random(y_true.shape), -np.inf)
    bins = precision_recall_by_frequency(y_true, y_score, y_train=y_train, k=k, edges=edges)
    labels, _ = topk(y_score, k)
    lowest = [0, *(edge + 1 for edge in edges)]
    assert bins.lowest.tolist() == lowest
    for b, low in enumerate(lowest):
        high = edges[b] if b < len(edges) else 10**9
        members = [j for j in range(n_labels) if low <= y_train[:, j].sum() <= high]
        predicted = [(i, j) for i in range(n_rows) for j in labels[i] if j in members]
        n_hits = sum(y_true[i, j] for i, j in predicted)
        n_true = int(y_true[:, members].sum())
        assert bins.n_labels[b] == len(members)
        assert bins.n_predicted[b] == len(predicted)
        assert bins.n_true[b] == n_true
        assert bins.precision[b] == pytest.approx(n_hits / max(len(predicted), 1))
        assert bins.recall[b] == pytest.approx(n_hits / max(n_true, 1))


def test_bins_add_up_to_precision_at_k():
    rng = np.random.default_rng(0)
    y_true, y_train = (rng.random((30, 9)) < 0.3).astype(int), np.tri(12, 9, dtype=int)
    y_score = rng.random((30, 9))
    bins = precision_recall_by_frequency(y_true, y_score, y_train=y_train, k=4, edges=[5, 8])
    n_hits = (bins.precision * bins.n_predicted).sum()
    assert n_hits / (30 * 4) == pytest.approx(precision_at_k(y_true, y_score, k=4))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint64])
def test_edges_of_any_integer_type(dtype):
    rows = {"y_true": [[1, 0]], "y_pred": [[0.9, 0.1]], "y_train": [[1, 1], [1, 0], [1, 0]], "k": 1}
    bins = precision_recall_by_frequency(**rows, edges=np.array([2, 127], dtype))
    assert bins.lowest.tolist() == [0, 3, 128] and bins.n_labels.tolist() == [1, 1, 0]
    with pytest.raises(ValueError, match=r"edges must be ascending integers from 0 up, got \[5, 2\]"):
        precision_recall_by_frequency(**rows, edges=np.array([5, 2], dtype))


@pytest.mark.parametrize("edges", [[], [3, 3], [5, 2], [-1], [1.5], [[1]], 3])
def test_bad_edges(edges):
    with pytest.raises(ValueError, match="edges must be ascending integers"):
        precision_recall_by_frequency([[1, 0]], [[1, 0]], y_train=[[1, 0]], edges=edges)


def test_bad_training_labels():
    with pytest.raises(ValueError, match="y_train must have 2 columns as y_true, got shape"):
        precision_recall_by_frequency([[1, 0]], [[1, 0]], y_train=[[1, 0, 1]])
