import copy
import io
import pickle
import re

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone

from sklearn_xmr import LabelTree


class Holder(BaseEstimator):
    def __init__(self, tree=None):
        self.tree = tree


def small_tree():
    """Root -> {A, B}; A -> {a, b}, B -> {c}; a: label 4, b: labels 0 and 1, c: labels 2, 3 and 5."""
    return LabelTree([[0, 2], [0, 2, 3], [0, 1, 3, 6]], [4, 0, 1, 2, 3, 5])


def overlapping_tree():
    """Two leaves; label 1 sits in both."""
    return LabelTree([[0, 2], [0, 2, 5]], [1, 3, 0, 1, 2])


@st.composite
def trees(draw):
    """Random trees, labels shuffled, some of them with an extra slot in another leaf."""
    child_ptr, width = [], 1
    for _ in range(draw(st.integers(1, 3))):
        fan_outs = draw(st.lists(st.integers(1, 4), min_size=width, max_size=width))
        child_ptr.append(np.concatenate([[0], np.cumsum(fan_outs)]))
        width = int(child_ptr[-1][-1])
    slots = np.arange(width)
    n_labels = width
    if len(child_ptr) > 1:
        leaf_of_slot = np.repeat(np.arange(child_ptr[-1].size - 1), np.diff(child_ptr[-1]))
        if leaf_of_slot[0] != leaf_of_slot[-1] and draw(st.booleans()):
            slots = np.append(slots[:-1], 0)  # label 0 in the first leaf and in the last
            n_labels = width - 1
    order = np.array(draw(st.permutations(range(n_labels))))
    return LabelTree(child_ptr, order[slots])


@st.composite
def trees_and_labels(draw):
    tree = draw(trees())
    rows = draw(st.lists(st.sets(st.integers(0, tree.n_labels - 1)), min_size=1, max_size=6))
    Y = np.zeros((len(rows), tree.n_labels))
    for i, row in enumerate(rows):
        Y[i, list(row)] = 1
    return tree, Y


# ---------------------------------------------------------------------- attributes and views


def test_attributes():
    tree = small_tree()
    assert tree.n_levels == 3
    assert tree.n_nodes == (1, 2, 3, 6)
    assert tree.n_labels == 6
    assert tree.leaf_sizes.tolist() == [1, 2, 3]
    assert not tree.has_overlap
    assert [ptr.dtype for ptr in tree.child_ptr] == [np.int64] * 3
    assert tree.slot_labels.dtype == np.int32
    assert repr(tree) == "LabelTree(n_labels=6, n_nodes=(1, 2, 3, 6))"


def test_parent_of():
    tree = small_tree()
    assert tree.parent_of(1).tolist() == [0, 0]
    assert tree.parent_of(2).tolist() == [0, 0, 1]
    assert tree.parent_of(3).tolist() == [0, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("level", [-1, 0, 4])
def test_parent_of_an_unknown_level(level):
    with pytest.raises(ValueError, match=rf"level must be in \[1, \d\], got {level}"):
        small_tree().parent_of(level)


def test_path_and_leaves():
    tree = small_tree()
    assert [tree.path(label) for label in range(6)] == [
        [(0, 1)], [(0, 1)], [(1, 2)], [(1, 2)], [(0, 0)], [(1, 2)],
    ]  # fmt: skip
    assert tree.label_leaves().tolist() == [1, 1, 2, 2, 0, 2]


@pytest.mark.parametrize("label", [-1, 6])
def test_path_of_an_unknown_label(label):
    with pytest.raises(ValueError, match=rf"label must be in \[0, 6\), got {label}"):
        small_tree().path(label)


def test_overlap():
    tree = overlapping_tree()
    assert tree.has_overlap
    assert tree.n_labels == 4
    assert tree.n_nodes == (1, 2, 5)
    assert tree.path(1) == [(0,), (1,)]
    assert tree.path(2) == [(1,)]
    assert tree.label_leaves().tolist() == [1, 0, 1, 0]
    assert tree.assignments[-1].toarray().tolist() == [[0, 1], [1, 1], [0, 1], [1, 0]]


def test_flat():
    tree = LabelTree.flat(4)
    assert tree.n_nodes == (1, 4)
    assert tree.slot_labels.tolist() == [0, 1, 2, 3]
    assert tree.leaf_sizes.tolist() == [4]
    assert tree.path(2) == [()]
    assert tree.label_leaves().tolist() == [0] * 4
    assert LabelTree.flat(1).n_nodes == (1, 1)


def test_flat_needs_a_label():
    for n_labels, error, message in (
        (0, ValueError, "n_labels must be at least 1, got 0"),
        ("3", TypeError, "n_labels must be an integer, got '3'"),
        (None, TypeError, "n_labels must be an integer, got None"),
    ):
        with pytest.raises(error, match=message):
            LabelTree.flat(n_labels)


# ---------------------------------------------------------------------- validation


@pytest.mark.parametrize(
    ("child_ptr", "slot_labels", "message"),
    [
        ([], [0], "at least one level, got none"),
        ([[0, 2], [0, 1]], [0], r"child_ptr\[1\] must start with 0 and have 3 entries .* got 2 entries"),
        ([[0, 1, 2]], [0, 1], r"child_ptr\[0\] must start with 0 and have 2 entries"),
        ([[1, 2]], [0, 1], r"child_ptr\[0\] must start with 0"),
        ([[[0, 2]]], [0, 1], r"child_ptr\[0\] must start with 0"),
        ([[0, 3], [0, 1, 1, 2]], [0, 1], r"child_ptr\[1\]: node 1 has no children"),
        ([[0, 2], [0, 3, 2]], [0, 1], r"child_ptr\[1\]: node 1 has no children"),
        ([[0, 2]], [0, 1, 2], r"slot_labels must have 2 entries, .* got shape \(3,\)"),
        ([[0, 2]], [[0, 1]], r"slot_labels must have 2 entries, .* got shape \(1, 2\)"),
        ([[0, 2], [0, 2, 3]], [0, 2, 0], "label 1 is in no leaf"),
        ([[0, 2]], [1, 2], "the largest is 2, but there are only 2 entries"),
        ([[0, 2]], [0, -1], "slot_labels must hold numbers from 0 to 2147483647, got -1"),
        ([[0, 3]], [0, 1, 0], "a label occurs twice in one leaf"),
        ([[0, 2.0]], [0, 1], r"child_ptr\[0\] must hold integers, got dtype float64"),
        ([[0, 2]], ["0", "1"], "slot_labels must hold integers"),
        ([[0, 2]], [0, 2**32 + 1], "numbers from 0 to 2147483647, got 4294967297"),
        ([[0, 2]], [0, 1 - 2**32], "numbers from 0 to 2147483647, got -4294967295"),
    ],
)
def test_bad_arrays(child_ptr, slot_labels, message):
    with pytest.raises(ValueError, match=message):
        LabelTree(child_ptr, slot_labels)


# ---------------------------------------------------------------------- from_assignments


def test_from_assignments_renumbers_siblings():
    # node 0 of level 1 has the children 1 and 2, node 1 the child 0
    top = np.ones((2, 1))
    middle = np.array([[0, 1], [1, 0], [1, 0]])
    labels = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]])
    tree = LabelTree.from_assignments([top, middle, labels])
    assert tree.n_nodes == (1, 2, 3, 4)
    assert tree.child_ptr[1].tolist() == [0, 2, 3]
    assert tree.slot_labels.tolist() == [2, 1, 0, 3]


@pytest.mark.parametrize(
    "convert", [sp.csc_matrix, sp.csr_array, sp.coo_array, np.asarray, lambda C: C.tolist()]
)
def test_from_assignments_takes_any_container(convert):
    matrices = [matrix.toarray() for matrix in small_tree().assignments]
    assert LabelTree.from_assignments([convert(matrix) for matrix in matrices]) == small_tree()


def test_from_assignments_ignores_stored_zeros_and_sums_duplicates():
    labels = sp.coo_array(
        (np.array([1, 1, 0, 1, 1]), (np.array([0, 0, 0, 1, 2]), np.array([0, 0, 1, 1, 1]))), shape=(3, 2)
    )
    tree = LabelTree.from_assignments([np.ones((2, 1)), labels])
    assert not tree.has_overlap
    assert tree.slot_labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        ([], "at least one matrix, got none"),
        ([np.ones((3, 2))], r"assignments\[0\] must have 1 column\(s\), .* got shape \(3, 2\)"),
        ([np.ones((2, 1)), np.ones((4, 3))], r"assignments\[1\] must have 2 column\(s\)"),
        ([np.ones((2, 1)), [[1, 0], [0, 0], [0, 1]]], r"assignments\[1\]: row 1 has no parent"),
        ([np.ones((2, 1)), [[1, 1], [0, 1]], np.eye(2)], r"\[1\]: row 0 has 2 parents; only labels"),
        ([np.ones((2, 1)), [[1, 0], [1, 0]]], "node 1 has no children"),
    ],
)  # fmt: skip
def test_from_assignments_bad_input(assignments, message):
    with pytest.raises(ValueError, match=message):
        LabelTree.from_assignments(assignments)


@pytest.mark.parametrize("single", [np.ones((3, 1)), sp.csr_array(np.ones((3, 1))), [[1], [1], [1]]])
def test_from_assignments_refuses_a_single_matrix(single):
    with pytest.raises(TypeError, match="list of matrices, one a level, got a single matrix"):
        LabelTree.from_assignments(single)


@given(trees())
def test_assignments_round_trip(tree):
    again = LabelTree.from_assignments(tree.assignments)
    assert again.n_nodes == tree.n_nodes
    # within a leaf from_assignments sorts by label; everything else is kept
    assert all(map(np.array_equal, again.child_ptr, tree.child_ptr))
    assert [again.path(label) for label in range(tree.n_labels)] == [
        tree.path(label) for label in range(tree.n_labels)
    ]


# ---------------------------------------------------------------------- taxonomies


def test_from_paths():
    tree = LabelTree.from_paths([("law", "tax"), ("food", "fish"), ("law", "trade"), ("law", "tax")])
    assert tree.n_nodes == (1, 2, 3, 4)
    assert tree.slot_labels.tolist() == [0, 3, 2, 1]
    assert tree.leaf_sizes.tolist() == [2, 1, 1]


def test_from_paths_tells_groups_apart_by_the_whole_path():
    tree = LabelTree.from_paths([("a", "other"), ("b", "other")])
    assert tree.n_nodes == (1, 2, 2, 2)


def test_from_paths_pads_short_paths():
    tree = LabelTree.from_paths([("a", "b", "c"), (), ("a",), ()])
    assert tree.n_nodes == (1, 2, 3, 3, 4)
    assert tree.label_leaves()[1] == tree.label_leaves()[3]
    assert tree.path(0)[0][:1] == tree.path(2)[0][:1]


def test_from_paths_padding_is_no_group():
    tree = LabelTree.from_paths([("a",), ("a", None), ("a", "b")])
    assert tree.n_nodes == (1, 1, 3, 3)


def test_from_paths_without_groups_is_flat():
    assert LabelTree.from_paths([(), ()]) == LabelTree.flat(2)


def test_from_paths_refuses_texts():
    with pytest.raises(TypeError, match="each of paths must be a sequence, got 'law/tax' of type str"):
        LabelTree.from_paths([("law",), "law/tax"])


def test_from_paths_needs_a_path():
    with pytest.raises(ValueError, match="one path per label, got none"):
        LabelTree.from_paths([])


def test_from_parents():
    parents = {"law": None, "tax": "law", "vat": "tax", "excise": "tax", "fish": "food"}
    tree = LabelTree.from_parents(parents, labels=["vat", "fish", "excise", "tax"])
    # "tax" is a label and a group: an extra leaf of its own group; "food" is only named as a parent
    assert tree.n_nodes == (1, 2, 2, 4)
    leaves = tree.label_leaves()
    assert leaves[0] == leaves[2] == leaves[3] != leaves[1]


@pytest.mark.parametrize("parents, labels, message", [
    ({"a": None, "b": "a"}, {"a", "b"}, "labels must be a sequence, got {"),  # in the order of hashes
    ({"a": None, "b": None}, "ab", "labels must be a sequence, got 'ab' of type str"),
    ({"a": None}, None, "labels must be a sequence, got None"),
    (["a"], ["a"], "parents must be a mapping, such as a dict, got list"),
    (None, ["a"], "parents must be a mapping, such as a dict, got NoneType"),
], ids=["set", "str", "no labels", "list", "no parents"])  # fmt: skip
def test_from_parents_needs_an_order(parents, labels, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        LabelTree.from_parents(parents, labels)


def test_from_parents_takes_labels_of_any_sequence():
    parents = {"a": None, "b": "a", "c": "a", "d": None}
    expected = LabelTree.from_parents(parents, ["c", "d", "b"])
    for labels in (("c", "d", "b"), np.array(["c", "d", "b"]), iter(["c", "d", "b"])):
        assert LabelTree.from_parents(parents, labels) == expected


@pytest.mark.parametrize("paths", [None, 3, {("a",), ("b",)}, [None], [("a",), {"b", "c"}]], ids=repr)
def test_from_paths_needs_an_order(paths):
    with pytest.raises(TypeError, match="paths must be a sequence, got"):
        LabelTree.from_paths(paths)


def test_from_parents_drops_groups_without_labels():
    parents = {"law": None, "tax": "law", "food": None, "fish": "food"}
    assert LabelTree.from_parents(parents, labels=["tax"]).n_nodes == (1, 1, 1)


@pytest.mark.parametrize(
    ("parents", "labels", "message"),
    [
        ({"a": "b", "b": "c", "c": "b"}, ["a"], "cycle through 'b'"),
        ({"a": "a"}, ["a"], "cycle through 'a'"),
        ({"a": None}, ["a", "z"], "'z' is not in parents"),
        ({"a": None}, ["a", "a"], "must not name a node twice"),
        ({"a": None}, [], "labels must name at least one node, got none"),
    ],
)
def test_from_parents_bad_input(parents, labels, message):
    with pytest.raises(ValueError, match=message):
        LabelTree.from_parents(parents, labels)


# ---------------------------------------------------------------------- propagate


def propagate_in_loops(tree, Y):
    """For each level a dense 0/1 array, from the paths of the labels alone."""
    patterns = [np.zeros((len(Y), n)) for n in tree.n_nodes]
    for i, row in enumerate(Y):
        for slot, label in enumerate(tree.slot_labels):
            if row[label]:
                node = slot
                for t in range(tree.n_levels, -1, -1):
                    patterns[t][i, node] = 1
                    if t > 0:
                        ptr = tree.child_ptr[t - 1]
                        node = next(k for k in range(len(ptr) - 1) if ptr[k] <= node < ptr[k + 1])
    return patterns


@settings(deadline=None)
@given(trees_and_labels())
def test_propagate_against_loops(problem):
    tree, Y = problem
    patterns = tree.propagate(sp.csr_array(Y))
    expected = propagate_in_loops(tree, Y)
    assert len(patterns) == tree.n_levels + 1
    for found, wanted in zip(patterns, expected, strict=True):
        np.testing.assert_array_equal(found.toarray(), wanted)
        assert isinstance(found, sp.csr_array)
        assert found.dtype == np.float32
        assert found.indices.size == found.data.size == found.indptr[-1]
        assert np.all(found.data == 1)
        assert found.has_canonical_format


def test_propagate_by_hand():
    Y = sp.csr_array([[1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0]])
    level0, level1, level2, level3 = (p.toarray().tolist() for p in small_tree().propagate(Y))
    assert level0 == [[1], [1], [0]]
    assert level1 == [[1, 0], [1, 1], [0, 0]]
    assert level2 == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]
    assert level3 == [[0, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0]]


def test_propagate_ignores_stored_values_and_keeps_its_input():
    Y = sp.csr_array(([0.5, -2.0, 3.0], [0, 4, 5], [0, 2, 3]), shape=(2, 6))
    ones = sp.csr_array((np.ones(3), Y.indices, Y.indptr), shape=Y.shape)
    before = Y.copy()
    for found, wanted in zip(small_tree().propagate(Y), small_tree().propagate(ones), strict=True):
        np.testing.assert_array_equal(found.toarray(), wanted.toarray())
    np.testing.assert_array_equal(Y.data, before.data)
    np.testing.assert_array_equal(Y.indptr, before.indptr)


def test_propagate_takes_stored_zeros_for_zeros():
    Y = sp.csr_array(([0.0, 1.0], [0, 4], [0, 2]), shape=(1, 6))
    for found, wanted in zip(small_tree().propagate(Y), small_tree().propagate(Y.toarray()), strict=True):
        np.testing.assert_array_equal(found.toarray(), wanted.toarray())
        assert found.nnz == np.count_nonzero(wanted.toarray())


def test_lift_sums_by_hand():
    tree = small_tree()
    values = sp.csr_array([[0.5, 2.0, 0, 0, 1.0, 0], [0, 0, 0, 0, 0, 4.0]])
    before = values.copy()
    sums = tree.lift_sums(values, tree.n_levels)
    assert len(sums) == tree.n_levels + 1
    for t in range(tree.n_levels, 0, -1):
        wanted = np.zeros(sums[t - 1].shape)
        for node, parent in enumerate(tree.parent_of(t)):
            wanted[:, parent] += sums[t].toarray()[:, node]
        np.testing.assert_array_equal(sums[t - 1].toarray(), wanted)
        assert sums[t - 1].has_canonical_format
    assert sums[0].toarray().tolist() == [[3.5], [4.0]]
    np.testing.assert_array_equal(sums[-1].toarray(), before.toarray())
    assert (values != before).nnz == 0


# ---------------------------------------------------------------------- a value like any other


@given(trees())
def test_invariants(tree):
    for t in range(1, tree.n_levels + 1):
        parents = tree.parent_of(t)
        assert parents.size == tree.n_nodes[t]
        assert np.all(np.diff(parents) >= 0)
        assert set(parents) == set(range(tree.n_nodes[t - 1]))
    assert set(tree.slot_labels) == set(range(tree.n_labels))
    assert tree.leaf_sizes.sum() == tree.slot_labels.size
    assert sum(len(tree.path(label)) for label in range(tree.n_labels)) == tree.slot_labels.size
    if tree.n_levels > 1:
        leaves = tree.label_leaves()
        for label in range(tree.n_labels):
            assert tree.path(label)[0][-1] == leaves[label]


def test_immutable():
    child_ptr, slot_labels = [np.array([0, 2])], np.array([1, 0])
    tree = LabelTree(child_ptr, slot_labels)
    slot_labels[:] = 7  # the tree has its own copy
    assert tree.slot_labels.tolist() == [1, 0]
    with pytest.raises(AttributeError, match="immutable; cannot set 'n_labels'"):
        tree.n_labels = 3
    with pytest.raises(AttributeError, match="immutable; cannot delete 'slot_labels'"):
        del tree.slot_labels
    for array in (tree.slot_labels, tree.child_ptr[0]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_equal_and_immutable(protocol):
    tree = overlapping_tree()
    again = pickle.loads(pickle.dumps(tree, protocol=protocol))
    assert again == tree
    assert again.n_labels == tree.n_labels
    for array in (*again.child_ptr, again.slot_labels):
        assert not array.flags.writeable
    with pytest.raises(AttributeError, match="immutable"):
        again.n_labels = 3


def test_joblib_memory_map(tmp_path):
    joblib.dump(small_tree(), tmp_path / "tree.joblib")
    assert joblib.load(tmp_path / "tree.joblib", mmap_mode="r") == small_tree()
    buffer = io.BytesIO()
    joblib.dump(small_tree(), buffer)
    buffer.seek(0)
    assert joblib.load(buffer) == small_tree()


def test_copies_are_the_tree_itself():
    tree = small_tree()
    assert copy.copy(tree) is tree
    assert copy.deepcopy(tree) is tree
    assert clone(Holder(tree)).tree is tree


def test_equality_and_hash():
    tree = small_tree()
    assert tree == small_tree()
    assert hash(tree) == hash(small_tree())
    assert tree != LabelTree(tree.child_ptr, [0, 4, 1, 2, 3, 5])
    assert tree != LabelTree([[0, 2], [0, 1, 3], [0, 1, 3, 6]], tree.slot_labels)
    assert tree != LabelTree.flat(6)
    assert tree != "tree"
    assert len({tree, small_tree(), LabelTree.flat(6)}) == 2


def test_lift_and_propagate_check_shapes():
    tree = small_tree()
    Y = np.eye(tree.n_labels, dtype=np.float32)
    for dense, sparse in zip(tree.propagate(Y), tree.propagate(sp.csr_array(Y)), strict=True):
        assert abs(dense - sparse).max() == 0
    wide = np.ones((2, tree.n_labels + 1))
    with pytest.raises(ValueError, match=rf"must have {tree.n_labels} column\(s\), one per label"):
        tree.propagate(wide)
    level = tree.n_levels
    pattern = np.eye(tree.n_nodes[level])
    for dense, sparse in zip(
        tree.lift(pattern, level), tree.lift(sp.csr_array(pattern), level), strict=True
    ):
        assert abs(dense - sparse).max() == 0
    with pytest.raises(ValueError, match=rf"over level 1 must have {tree.n_nodes[1]} column"):
        tree.lift(np.ones((2, tree.n_nodes[1] + 1)), 1)
    with pytest.raises(ValueError, match=f"level must be between 0 and {level}, got {level + 1}"):
        tree.lift(pattern, level + 1)
    with pytest.raises(ValueError, match=rf"one per label, got shape \({tree.n_labels},\)"):
        tree.propagate(np.ones(tree.n_labels))
    with pytest.raises(ValueError, match=r"one per node, got shape \(3,\)"):
        tree.lift_sums(np.ones(3), level)


def test_sums_of_small_integers_do_not_wrap():
    tree = small_tree()
    values = sp.csr_array(np.full((1, tree.n_nodes[-1]), 100, dtype=np.int8))
    assert tree.lift_sums(values, tree.n_levels)[0].toarray() == [[100 * tree.n_nodes[-1]]]
