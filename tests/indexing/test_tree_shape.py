import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_xmr.indexing._tree_shape import (
    binary_depth,
    draw_seeds,
    fan_outs,
    halve,
    smallest_leaves,
    wide_tree,
)


@pytest.mark.parametrize(
    ("n_labels", "max_leaf_size", "depth"),
    [(1, 2, 0), (100, 100, 0), (101, 100, 1), (200, 100, 1), (201, 100, 2), (20_000, 100, 8),
     (30_938, 100, 9), (5, 2, 2), (4, 2, 1)],
)  # fmt: skip
def test_binary_depth(n_labels, max_leaf_size, depth):
    assert binary_depth(n_labels, max_leaf_size) == depth


@given(st.integers(1, 10**7), st.integers(2, 1000))
def test_depth_is_the_smallest_that_fits(n_labels, max_leaf_size):
    depth = binary_depth(n_labels, max_leaf_size)
    assert 2**depth * max_leaf_size >= n_labels
    assert depth == 0 or 2 ** (depth - 1) * max_leaf_size < n_labels
    assert 2**depth <= n_labels


@pytest.mark.parametrize(
    ("depth", "branching_factor", "expected"),
    [(9, 16, [8, 8, 8]), (8, 16, [16, 16]), (10, 16, [16, 8, 8]), (5, 16, [8, 4]), (1, 16, [2]),
     (3, 2, [2, 2, 2]), (4, 64, [16]), (7, None, [128]), (8, None, [16, 16]), (12, None, [64, 64]),
     (13, None, [32, 16, 16])],
)  # fmt: skip
def test_fan_outs(depth, branching_factor, expected):
    assert fan_outs(depth, branching_factor) == expected


@given(st.integers(1, 30), st.integers(1, 8))
def test_fan_outs_are_even_and_few(depth, bits):
    found = fan_outs(depth, 2**bits)
    assert np.prod(found) == 2**depth
    assert max(found) <= 2**bits
    assert max(found) <= 2 * min(found)
    assert len(found) == -(-depth // bits)
    assert found == sorted(found, reverse=True)


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(0, 500))
def test_halve(depth, surplus):
    n_members = 2**depth + surplus
    leaf_ptr, node_sizes = halve(n_members, depth)
    assert (leaf_ptr[0], leaf_ptr[-1], leaf_ptr.size) == (0, n_members, 2**depth + 1)
    assert set(np.diff(leaf_ptr)) <= {n_members // 2**depth, -(-n_members // 2**depth)}
    node = 0
    for layer in range(depth):
        sizes = node_sizes[node : node + 2**layer]
        assert sizes.sum() == n_members
        assert sizes.min() >= 2
        node += 2**layer
    assert node == node_sizes.size


def test_halve_by_hand():
    leaf_ptr, node_sizes = halve(7, 2)
    assert leaf_ptr.tolist() == [0, 1, 3, 5, 7]
    assert node_sizes.tolist() == [7, 3, 4]


def test_seeds_are_two_distinct_members():
    sizes = np.array([50, 2, 3] * 40)
    seeds = draw_seeds(sizes, 3, np.random.RandomState(0))
    assert seeds.shape == (120, 3, 2)
    assert np.all((seeds >= 0) & (seeds < sizes[:, None, None]))
    assert np.all(seeds[..., 0] != seeds[..., 1])
    assert len(np.unique(seeds[sizes == 3], axis=0)) > 1


def test_smallest_leaves_by_hand():
    assert smallest_leaves(np.array([2, 1, 2, 1]), 7).tolist() == [1, 3, 0, 1, 2, 3, 0]
    assert smallest_leaves(np.array([2, 2]), 0).tolist() == []


@given(st.lists(st.integers(3, 4), min_size=1, max_size=8), st.integers(0, 40))
def test_smallest_leaves_against_a_loop(sizes, n_more):
    found = smallest_leaves(np.array(sizes), n_more)
    for leaf in found:
        assert leaf == sizes.index(min(sizes))
        sizes[leaf] += 1
    assert len(found) == n_more


def test_wide_tree_orders_labels_by_leaf_and_number():
    tree = wide_tree(np.array([3, 1, 0, 1, 2, 0, 3]), depth=2, branching_factor=2)
    assert tree.n_nodes == (1, 2, 4, 7)
    assert tree.slot_labels.tolist() == [2, 5, 1, 3, 4, 0, 6]
    assert tree.leaf_sizes.tolist() == [2, 2, 1, 2]
    assert wide_tree(np.zeros(3, int), depth=0, branching_factor=2).n_nodes == (1, 3)
