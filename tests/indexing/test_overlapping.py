"""OverlappingIndexer: the leaves it gives to labels, against plain loops."""

import copy

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.overlap import assign
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from sklearn_xmr import HierarchicalKMeans, LabelTree, OverlappingIndexer
from sklearn_xmr.indexing._leaf_assignment import assign_leaves


def random_case(seed, n_rows=25, n_labels=9, n_leaves=4):
    rng = np.random.default_rng(seed)
    Y = (rng.uniform(size=(n_rows, n_labels)) < rng.uniform(0.02, 0.6, size=n_labels)).astype(int)
    matched = (rng.uniform(size=(n_rows, n_leaves)) < rng.uniform(0.05, 0.8)).astype(int)
    own = np.concatenate([np.arange(n_leaves), rng.integers(0, n_leaves, size=n_labels - n_leaves)])
    return Y, matched, rng.permutation(own)


@settings(deadline=None, max_examples=120)
@given(
    st.integers(0, 10**6),
    st.integers(1, 4),
    st.one_of(st.none(), st.integers(1, 6)),
    st.sampled_from(["count", "coverage"]),
    st.sampled_from([0.5, 1, 2, 4]),
    st.booleans(),
)
def test_leaves_equal_the_reference(seed, max_parents, cap, objective, min_support, weighted):
    Y, matched, own = random_case(seed)
    weights = np.random.default_rng(seed).integers(1, 4, size=len(Y)) / 2 if weighted else None
    got = assign_leaves(
        sp.csr_array(Y, dtype=np.float32), sp.csr_array(matched, dtype=np.float32), own,
        max_parents=max_parents, max_leaf_size=cap, objective=objective, min_support=min_support,
        sample_weight=weights,
    )  # fmt: skip
    wanted = assign(
        Y.tolist(), matched.tolist(), own.tolist(), max_parents, cap, objective, min_support, weights
    )
    got = np.pad(
        got, ((0, 0), (0, max_parents - got.shape[1])), constant_values=-1
    )  # rounds without a leaf
    assert [[None if leaf < 0 else leaf for leaf in row] for row in got.tolist()] == wanted


def two_leaves(n_labels=4):
    half = n_labels // 2
    return LabelTree([[0, 2], [0, half, n_labels]], np.arange(n_labels))


def refined(Y, matched, tree=None, **parameters):
    tree = two_leaves(np.shape(Y)[1]) if tree is None else tree
    return OverlappingIndexer(tree, **parameters).fit(np.eye(tree.n_labels)).refine(Y, matched)


# label 0 is found in both leaves, label 1 in the other one only, labels 2 and 3 never
Y = np.array([[1, 0, 0, 0]] * 4 + [[0, 1, 0, 0]] * 2 + [[0, 0, 1, 1]])
MATCHED = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 1], [0, 1], [0, 0]])


def test_copies_moves_and_labels_that_stay():
    indexer = refined(Y, MATCHED, max_leaf_size=None)
    assert indexer.tree_.path(0) == [(0,), (1,)]
    assert indexer.tree_.path(1) == [(1,)]
    assert indexer.tree_.path(2) == indexer.tree_.path(3) == [(1,)]
    assert indexer.labels_.tolist() == [0, 1, 1, 1]
    assert indexer.labels_.dtype == np.int32


def test_no_copy_below_min_support():
    assert not refined(Y, MATCHED, min_support=3, max_leaf_size=None).tree_.has_overlap


def test_one_parent_moves_only():
    tree = refined(Y, MATCHED, max_parents=1, max_leaf_size=None).tree_
    assert tree.path(0) == [(0,)] and tree.path(1) == [(1,)]


def test_coverage_counts_a_row_once():
    everywhere = np.ones((6, 2), dtype=int)
    Y = np.tile([1, 1, 0, 0], (6, 1))
    assert not refined(Y, everywhere, objective="coverage", max_leaf_size=None).tree_.has_overlap
    assert refined(Y, everywhere, objective="count", max_leaf_size=None).tree_.path(0) == [(0,), (1,)]


@pytest.mark.parametrize(("limit", "largest"), [(1.0, 2), (1.5, 3), (1, 2), (3, 3), (2.5, 4), (None, 4)])
def test_leaves_have_room_for_so_many(limit, largest):
    Y = np.ones((3, 4), dtype=int)
    tree = refined(Y, np.ones((3, 2), dtype=int), max_leaf_size=limit).tree_
    assert tree.leaf_sizes.max() == largest


def test_emptied_leaf_takes_its_labels_back():
    Y = np.ones((3, 4), dtype=int)
    matched = np.tile([1, 0], (3, 1))
    assert refined(Y, matched, max_parents=1, max_leaf_size=None).tree_ == two_leaves()
    tree = refined(Y, matched, max_parents=2, max_leaf_size=None).tree_
    assert tree.leaf_sizes.tolist() == [4, 2]


def test_levels_above_are_kept_and_calls_do_not_add_up():
    tree = LabelTree([[0, 2], [0, 2, 4], [0, 2, 4, 6, 8]], np.arange(8))
    rng = np.random.default_rng(0)
    Y, matched = rng.integers(0, 2, size=(30, 8)), rng.integers(0, 2, size=(30, 4))
    indexer = refined(Y, matched, tree, max_parents=3, max_leaf_size=None)
    first = indexer.tree_
    assert first.has_overlap
    assert all(np.array_equal(a, b) for a, b in zip(first.child_ptr[:-1], tree.child_ptr[:-1], strict=True))
    assert indexer.refine(Y, matched).tree_ == first
    assert np.bincount(first.slot_labels).max() <= 3


def test_weights_stand_for_repeated_rows():
    rng = np.random.default_rng(1)
    Y, matched = rng.integers(0, 2, size=(20, 4)), rng.integers(0, 2, size=(20, 2))
    weights = rng.integers(1, 4, size=20)
    indexer = OverlappingIndexer(two_leaves()).fit(np.eye(4))
    once = indexer.refine(Y, matched, sample_weight=weights).tree_
    assert once == indexer.refine(np.repeat(Y, weights, 0), np.repeat(matched, weights, 0)).tree_


def test_any_container():
    indexer = OverlappingIndexer(two_leaves(), max_leaf_size=None).fit(np.eye(4))
    wanted = indexer.refine(Y, MATCHED).tree_
    for container in (sp.csr_array, sp.csc_matrix, sp.coo_array, np.asarray, lambda a: a.astype(bool)):
        assert indexer.refine(container(Y), container(MATCHED)).tree_ == wanted


def test_random_state_seeds_the_base_indexer():
    Z = np.random.default_rng(0).normal(size=(200, 5))

    def tree(state, base_state=None):
        base = HierarchicalKMeans(max_leaf_size=10, random_state=base_state)
        return OverlappingIndexer(base, random_state=state).fit(Z).tree_

    assert tree(0) == tree(0) != tree(1)
    assert tree(0, base_state=3) == tree(1, base_state=3)


def test_base_indexers():
    Z = np.random.default_rng(0).normal(size=(30, 5))
    base = HierarchicalKMeans(max_leaf_size=10, random_state=0).fit(Z)
    frozen = OverlappingIndexer(FrozenEstimator(base)).fit(Z)
    assert frozen.tree_ == base.tree_
    np.testing.assert_array_equal(frozen.transform(Z).indices, base.transform(Z).indices)
    of_tree = OverlappingIndexer(base.tree_).fit(Z)
    assert of_tree.base_indexer_ is of_tree.tree_ is base.tree_
    assert not hasattr(of_tree, "transform")
    assert len(frozen.get_feature_names_out()) == base.tree_.n_nodes[-2]


class SetsNoTree(BaseEstimator):
    def fit(self, Z, y=None):
        self.tree_ = "oak"
        return self


def test_bad_base_indexers():
    with pytest.raises(TypeError, match=r"tree_ to a LabelTree when fitted, SetsNoTree\(\) set str"):
        OverlappingIndexer(SetsNoTree()).fit(np.eye(4))
    overlap = LabelTree([[0, 2], [0, 2, 4]], [0, 1, 1, 2])
    with pytest.raises(ValueError, match="tree with overlap"):
        OverlappingIndexer(overlap).fit(np.eye(3))
    with pytest.raises(ValueError, match="base_indexer"):
        OverlappingIndexer("kmeans").fit(np.eye(3))
    with pytest.raises(ValueError, match=r"Z must have 4 row\(s\), one per label of the tree, got 3"):
        OverlappingIndexer(two_leaves()).fit(np.eye(3))


def test_limits_beyond_the_tree_are_the_tree():
    few = refined(Y, MATCHED, max_parents=2, max_leaf_size=None)
    many = refined(Y, MATCHED, max_parents=10**9, max_leaf_size=1e308)
    assert many.tree_ == few.tree_


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("max_parents", 0),
        ("max_leaf_size", 0.5),
        ("objective", "recall"),
        ("min_support", 0),
        ("n_rounds", 0),
        ("beam_width", 0),
        ("cv", 1),
        ("positives", "some"),
    ],
)
def test_parameters_out_of_range(parameter, value):
    with pytest.raises(ValueError, match=parameter):
        OverlappingIndexer(**{parameter: value}).fit(np.eye(4))


def test_bad_arguments_of_refine_change_nothing():
    indexer = OverlappingIndexer(two_leaves())
    with pytest.raises(NotFittedError):
        indexer.refine(Y, MATCHED)
    indexer.fit(np.eye(4)).refine(Y, MATCHED)
    before = copy.deepcopy(vars(indexer))
    with pytest.raises(ValueError, match=r"4 and 2 columns.*got shapes \(7, 3\) and \(7, 2\)"):
        indexer.refine(Y[:, :3], MATCHED)
    with pytest.raises(ValueError, match=r"got shapes \(7, 4\) and \(6, 2\)"):
        indexer.refine(Y, MATCHED[:6])
    with pytest.raises(ValueError, match="matched must contain only 0 and 1"):
        indexer.refine(Y, MATCHED * 2)
    with pytest.raises(ValueError, match=r"sample_weight.shape == \(6,\), expected \(7,\)"):
        indexer.refine(Y, MATCHED, sample_weight=np.ones(6))
    with pytest.raises(ValueError, match="Negative values"):
        indexer.refine(Y, MATCHED, sample_weight=-np.ones(7))
    indexer.objective = "recall"
    with pytest.raises(ValueError, match="objective"):
        indexer.refine(Y, MATCHED)
    indexer.objective = before["objective"]
    assert vars(indexer).keys() == before.keys()
    assert indexer.tree_ == before["tree_"]
    np.testing.assert_array_equal(indexer.labels_, before["labels_"])
