"""Readable label trees."""

import numpy as np
import pytest
import scipy.sparse as sp
from _data import random_problem

from sklearn_xmr import HierarchicalKMeans, LabelTree, XRLinearClassifier
from sklearn_xmr.inspection import describe_tree

NAMES = ["tax", "trade", "vat", "apple", "pear"]


@pytest.fixture
def tree():
    return LabelTree.from_paths(
        [("law", "money"), ("law", "goods"), ("law", "money"), ("food", "fruit"), ("food", "fruit")]
    )


def test_text_of_a_tree(tree):
    assert repr(describe_tree(tree, label_names=NAMES)).splitlines() == [
        "[0.0] 5 labels",
        "  = tax, vat, trade, apple, pear",
        "  [1.0] 3 labels",
        "    = tax, vat, trade",
        "    [2.0] 2 labels",
        "      = tax, vat",
        "    [2.1] 1 label",
        "      = trade",
        "  [1.1] 2 labels",
        "    = apple, pear",
        "    [2.2] 2 labels",
        "      = apple, pear",
    ]


def test_limits(tree):
    shallow = describe_tree(tree, max_depth=1, n_labels=1)
    assert repr(shallow).splitlines() == [
        "[0.0] 5 labels",
        "  = label 0, ...",
        "  [1.0] 3 labels",
        "    = label 0, ...",
        "    ... 2 children not shown",
        "  [1.1] 2 labels",
        "    = label 3, ...",
        "    ... 1 child not shown",
    ]
    narrow = describe_tree(tree, max_children=1, max_depth=3, label_names=NAMES)
    assert [(node.level, node.node, node.n_hidden_children) for node in narrow.nodes] == [
        (0, 0, 1),
        (1, 0, 1),
        (2, 0, 1),
        (3, 0, 0),
    ]
    assert repr(narrow).count("not shown") == 3
    assert len(describe_tree(tree, max_depth=99).nodes) == sum(tree.n_nodes)


def test_most_frequent_labels_are_named(tree):
    named = describe_tree(tree, n_labels=2, label_names=NAMES, label_counts=[1, 5, 3, 0, 9])
    assert named.nodes[0].labels == ["pear", "trade"]
    assert named.nodes[1].labels == ["trade", "vat"]


@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csr_array, np.asarray])
def test_counts_are_sums_of_any_matrix(tree, container):
    counts = container(np.diag([1, 5, 3, 0, 9])).sum(axis=0)
    named = describe_tree(tree, n_labels=2, label_names=NAMES, label_counts=counts)
    assert named.nodes[0].labels == ["pear", "trade"]


def test_records_match_the_model():
    X, Y = random_problem(200, 40, 12)
    model = XRLinearClassifier(indexer=HierarchicalKMeans(2, 3), random_state=0).fit(X, Y)
    names = [f"word{j}" for j in range(40)]
    description = describe_tree(model, max_depth=3, max_children=50, n_features=4, feature_names=names)
    assert len(description.nodes) == sum(model.tree_.n_nodes)
    for node in description.nodes[1:]:
        assert node.parent == model.tree_.parent_of(node.level)[node.node]
        column = model.coefs_[node.level - 1][:, [node.node]].toarray().ravel()
        order = [j for j in np.argsort(-column, kind="stable")[:4] if column[j] > 0]
        assert node.features == [names[j] for j in order]
        np.testing.assert_allclose(node.weights, column[order])
        below = [label for label in range(12) if node.node in _nodes_of(model.tree_, label, node.level)]
        assert node.n_labels == len(below)
    assert description.nodes[0].features == []


def _nodes_of(tree, label, level):
    slots = np.flatnonzero(tree.slot_labels == label)
    paths = [(*path, int(slot)) for path, slot in zip(tree.path(label), slots, strict=True)]
    return [path[level - 1] for path in paths]


def test_flat_and_overlapping_trees():
    flat = describe_tree(LabelTree.flat(3))
    assert repr(flat).splitlines()[:2] == ["[0.0] 3 labels", "  = label 0, label 1, label 2"]
    twice = LabelTree.from_assignments([np.ones((2, 1)), np.array([[1, 1], [0, 1]])])
    assert [node.n_labels for node in describe_tree(twice).nodes] == [2, 2, 1]


@pytest.mark.parametrize(
    ("counts", "named"), [(None, ["label 0", "label 1"]), ([1, 5, 7], ["label 2", "label 1"])]
)
def test_a_label_of_several_leaves_is_named_once(counts, named):
    tree = LabelTree([[0, 2], [0, 2, 4]], [0, 1, 0, 2])
    root = describe_tree(tree, label_counts=counts, n_labels=2).nodes[0]
    assert (root.n_labels, root.labels) == (3, named)


def test_classes_name_the_labels():
    model = XRLinearClassifier(random_state=0).fit(np.eye(3), ["c", "a", "b"])
    assert sorted(describe_tree(model).nodes[0].labels) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"max_depth": 0}, ValueError, "max_depth must be at least 1"),
        ({"max_children": 0}, ValueError, "max_children must be at least 1"),
        ({"n_labels": 1.5}, TypeError, "n_labels must be an integer"),
        ({"n_features": 0}, ValueError, "n_features must be at least 1"),
        ({"label_names": ["a"]}, ValueError, "label_names must hold 5 names, got 1"),
        ({"label_names": dict.fromkeys(range(5), "a")}, ValueError, "label_names must be .* got dict"),
        ({"label_names": np.full((5, 2), "a")}, ValueError, r"label_names must be .* of shape \(5, 2\)"),
        ({"label_names": [["a"]] * 5}, ValueError, "label_names must be .* got nested ones"),
        ({"label_names": "abcde"}, ValueError, "label_names must be .* got str"),
        ({"label_names": 5}, ValueError, "label_names must be .* got int"),
        ({"label_counts": [1, 2]}, ValueError, r"label_counts must hold 5 counts, got shape \(2,\)"),
        ({"label_counts": np.ones((5, 1))}, ValueError, r"must hold 5 counts, got shape \(5, 1\)"),
        ({"label_counts": 5}, ValueError, r"label_counts must hold 5 counts, got shape \(\)"),
        ({"label_counts": [1, 2, 3, 4, np.nan]}, ValueError, "label_counts contains NaN"),
        ({"feature_names": ["a"]}, ValueError, "feature_names must be None for a LabelTree"),
        ({"model": 3}, TypeError, "model must be a fitted XRLinearClassifier, got int"),
    ],
)
def test_bad_input(tree, change, error, match):
    with pytest.raises(error, match=match):
        describe_tree(**{"model": tree, **change})


@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, bool])
def test_counts_of_any_type(dtype):
    tree = LabelTree.from_paths([("a",), ("a",), ("a",), ("b",)])
    counts = np.array([0, 3, 1, 1]).astype(dtype)
    assert describe_tree(tree, label_counts=counts, n_labels=2).nodes[0].labels == ["label 1", "label 2"]


def test_children_with_most_labels_first_whatever_their_copies():
    membership = sp.csr_array([[1, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]])
    inner = sp.csr_array([[1, 0], [1, 0], [0, 1]])
    tree = LabelTree.from_assignments([sp.csr_array(np.ones((2, 1))), inner, membership])
    nodes = describe_tree(tree, max_children=1, max_depth=1).nodes
    assert [(node.node, node.n_labels) for node in nodes[:2]] == [(0, 5), (1, 3)]


def test_boolean_classes_are_names():
    X, _ = random_problem(40, 10, 5)
    classifier = XRLinearClassifier(random_state=0).fit(X, np.arange(40) % 2 == 0)
    assert describe_tree(classifier).nodes[0].labels == ["False", "True"]
    numbered = XRLinearClassifier(random_state=0).fit(X, np.arange(40) % 2)
    assert describe_tree(numbered).nodes[0].labels == ["label 0", "label 1"]
