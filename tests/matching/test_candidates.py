"""Candidates for training an encoder: against plain loops, and under a limit."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.candidates import candidate_sets

from sklearn_xmr.matching._candidates import candidate_batch, mean_candidates


def random_level(seed, n_rows=7):
    rng = np.random.default_rng(seed)
    n_parents = int(rng.integers(1, 5))
    child_ptr = np.concatenate([[0], np.cumsum(rng.integers(1, 6, n_parents))])
    n_children = int(child_ptr[-1])
    counts = rng.integers(1, 4, (n_rows, n_children)) * (rng.random((n_rows, n_children)) < 0.2)
    parents = rng.integers(0, 3, (n_rows, n_parents))
    return child_ptr, counts.astype(np.float32), parents.astype(np.float32)


def as_dicts(candidates, targets):
    """Node -> target of each row; checks order and padding on the way."""
    rows = []
    for nodes, values in zip(candidates, targets, strict=True):
        found = nodes >= 0
        assert np.all(np.diff(found.astype(int)) <= 0), "padding comes last"
        assert np.all(np.diff(nodes[found]) > 0)
        assert np.all(values[~found] == 0)
        rows.append(dict(zip(nodes[found].tolist(), values[found].tolist(), strict=True)))
    return rows


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=60)
def test_equals_loops(seed):
    child_ptr, counts, parents = random_level(seed)
    found = candidate_batch(child_ptr, sp.csr_array(counts), sp.csr_array(parents))
    expected = candidate_sets(child_ptr, counts, parents)
    assert as_dicts(*found) == expected
    assert found[0].shape[1] == max(map(len, expected))  # no wider than needed


@given(st.integers(0, 10**6), st.integers(1, 8))
@settings(deadline=None, max_examples=60)
def test_limit_keeps_positives_and_samples_negatives(seed, limit):
    child_ptr, counts, parents = random_level(seed)
    rng = np.random.default_rng(seed)
    found = candidate_batch(child_ptr, sp.csr_array(counts), sp.csr_array(parents), limit, rng)
    for kept, targets in zip(as_dicts(*found), candidate_sets(child_ptr, counts, parents), strict=True):
        positives = {node: value for node, value in targets.items() if value}
        assert positives.items() <= kept.items() <= targets.items()
        assert len(kept) == max(len(positives), min(limit, len(targets)))


def test_sample_is_uniform_over_negatives():
    counts, parents = np.zeros((1000, 4), dtype=np.float32), np.ones((1000, 1))
    counts[:, 1] = 2
    candidates, _ = candidate_batch(
        np.array([0, 4]), sp.csr_array(counts), sp.csr_array(parents), 2, np.random.default_rng(0)
    )
    drawn = np.bincount(candidates.ravel(), minlength=4)
    assert drawn[1] == 1000
    assert np.all(np.abs(drawn[[0, 2, 3]] - 333) < 60)  # four standard deviations


def test_by_hand():
    # node 0 has children 0, 1; node 1 has 2, 3, 4
    counts = sp.csr_array(np.array([[0, 2, 0, 0, 1], [0, 0, 1, 0, 0]], dtype=np.float32))
    parents = sp.csr_array(np.array([[1, 2], [0, 1]]))
    candidates, targets = candidate_batch(np.array([0, 2, 5]), counts, parents)
    np.testing.assert_array_equal(candidates, [[0, 1, 4], [2, 3, 4]])
    np.testing.assert_array_equal(targets, [[0, 2, 1], [1, 0, 0]])


@given(st.integers(0, 10**6), st.integers(1, 8))
@settings(deadline=None, max_examples=60)
def test_mean(seed, limit):
    child_ptr, counts, parents = random_level(seed)
    sizes = [len(targets) for targets in candidate_sets(child_ptr, np.zeros_like(counts), parents)]
    mean = max(1, np.mean(sizes))
    assert mean_candidates(child_ptr, sp.csr_array(parents)) == pytest.approx(mean)
    assert mean_candidates(child_ptr, sp.csr_array(parents), limit) == pytest.approx(min(mean, limit))
