"""Label trees that people can read: labels and top features of each node."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import check_array

from sklearn_xmr._label_tree import LabelTree
from sklearn_xmr.inspection._names import (
    check_classifier,
    check_names,
    feature_names_of,
    label_names_of,
    name_of,
)
from sklearn_xmr.utils._validation import as_array, check_positive_int


@dataclass(frozen=True)
class TreeNode:
    """One node of a described label tree; the parameters are attributes.

    Parameters
    ----------
    level, node : int
        Where the node is: its level (0 for the root) and its number within the level.
    parent : int or None
        Node number of its parent, one level up.
    n_labels : int
        Number of labels below the node.
    n_children : int
        Number of children.
    labels : list of str
        Some of the labels below the node, most frequent first where frequencies are known.
    features : list of str
        Features with the largest positive weights of the node's ranker; empty for the root and for a
        tree without weights.
    weights : list of float
        Their weights.
    n_hidden_children : int
        Children that the description leaves out, for width or for depth.
    """

    level: int
    node: int
    parent: int | None
    n_labels: int
    n_children: int
    labels: list
    features: list
    weights: list
    n_hidden_children: int


class TreeDescription:
    """Readable label tree; printing it gives indented text.

    Parameters
    ----------
    nodes : list of TreeNode
        In the order of the text: every node before its children, children by decreasing number of
        labels.

    Attributes
    ----------
    nodes : list of TreeNode
        As given.
    """

    def __init__(self, nodes):
        self.nodes = nodes

    def __repr__(self):
        children: dict = {}
        for node in self.nodes[1:]:
            children.setdefault((node.level - 1, node.parent), []).append(node)
        lines: list = []
        _write(self.nodes[0], children, lines)
        return "\n".join(lines)


def _write(node, children, lines):
    """Append the text of a node and of what is below it."""
    indent = "  " * node.level
    line = f"{indent}[{node.level}.{node.node}] {node.n_labels} label{'' if node.n_labels == 1 else 's'}"
    lines.append(f"{line}: {', '.join(node.features)}" if node.features else line)
    if node.labels:
        more = ", ..." if node.n_labels > len(node.labels) else ""
        lines.append(f"{indent}  = {', '.join(node.labels)}{more}")
    for child in children.get((node.level, node.node), []):
        _write(child, children, lines)
    if node.n_hidden_children:
        plural = "child" if node.n_hidden_children == 1 else "children"
        lines.append(f"{indent}  ... {node.n_hidden_children} {plural} not shown")


def describe_tree(
    model,
    *,
    max_depth=None,
    max_children=10,
    n_labels=5,
    n_features=5,
    label_names=None,
    feature_names=None,
    label_counts=None,
):
    """Describe a label tree: for each node some of its labels and its strongest features.

    Parameters
    ----------
    model : XRLinearClassifier or LabelTree
        A fitted classifier, or a tree alone, whose nodes then have no features.
    max_depth : int, default=None
        Lowest level described. None stops above the labels: at the leaves.
    max_children : int, default=10
        Children described of each node, those with most labels first, those without training rows last.
    n_labels : int, default=5
        Labels named for each node.
    n_features : int, default=5
        Features named for each node, those with the largest positive weights.
    label_names : array-like of str of shape (n_labels,), default=None
        Names of the labels. None takes ``classes_`` for one-dimensional y, else numbers.
    feature_names : array-like of str of shape (n_features,), default=None
        Names of the features. None takes ``feature_names_in_`` where the classifier has it, else
        numbers.
    label_counts : array-like of shape (n_labels,) or (1, n_labels), default=None
        Frequency of each label, such as ``Y.sum(axis=0)``: the most frequent ones are named. None names
        those that come first in the tree.

    Returns
    -------
    description : TreeDescription
        Prints as indented text; ``nodes`` is the data behind.

    Raises
    ------
    TypeError
        If model is neither, or a limit is not an integer.
    ValueError
        If there is another number of names or counts, or a limit is below 1.

    See Also
    --------
    LabelTreeDisplay : The same as a drawing.
    explain_prediction : The way of one row down the tree.

    Examples
    --------
    >>> from sklearn_xmr import LabelTree
    >>> from sklearn_xmr.inspection import describe_tree
    >>> tree = LabelTree.from_paths([("law",), ("law",), ("food",)])
    >>> describe_tree(tree, label_names=["tax", "trade", "fruit"])
    [0.0] 3 labels
      = tax, trade, fruit
      [1.0] 2 labels
        = tax, trade
      [1.1] 1 label
        = fruit
    """
    limits = {"max_children": max_children, "n_labels": n_labels, "n_features": n_features}
    for argument, value in limits.items():
        check_positive_int(value, argument)
    if isinstance(model, LabelTree):
        if feature_names is not None:
            raise ValueError("feature_names must be None for a LabelTree: it has no weights.")
        tree, levels, features = model, None, None
        labels = check_names(label_names, tree.n_labels, "label_names")
    else:
        check_classifier(model, "model")
        tree, levels, features = model.tree_, model.chunked_weights_, feature_names_of(model, feature_names)
        labels = label_names_of(model.classes_, label_names)
    if max_depth is None:
        max_depth = max(tree.n_levels - 1, 1)
    depth = min(check_positive_int(max_depth, "max_depth"), tree.n_levels)
    if label_counts is not None:
        # the sum over the rows of a sparse or of a NumPy matrix is a matrix of one row
        label_counts = as_array(label_counts, "label_counts")
        if label_counts.shape not in ((tree.n_labels,), (1, tree.n_labels)):
            raise ValueError(
                f"label_counts must hold {tree.n_labels} counts, got shape {label_counts.shape}."
            )
        label_counts = check_array(
            label_counts.ravel(), ensure_2d=False, dtype=np.float64, input_name="label_counts"
        )

    nodes = []

    def is_untrained(t, child):
        return levels is not None and levels[t].intercepts[child] == -np.inf

    def visit(t, node, parent, first, last):
        """Describe a node whose slots are first, ..., last - 1, then its children."""
        children = range(*tree.child_ptr[t][node : node + 2]) if t < tree.n_levels else range(0)
        bounds = [_slot_range(tree, t + 1, child) for child in children] if t < depth else []
        n_below = [_count_distinct(tree, *slots) for slots in bounds]
        order = sorted(range(len(bounds)), key=lambda i: (is_untrained(t, children[i]), -n_below[i], i))[
            :max_children
        ]
        names_its_labels = t == tree.n_levels - 1 and t == depth  # a leaf: its children are what it names
        below = _distinct(tree.slot_labels[first:last])
        top, top_weights = ([], []) if levels is None or t == 0 else _top(levels[t - 1], node, n_features)
        nodes.append(
            TreeNode(
                level=t,
                node=node,
                parent=parent,
                n_labels=below.size,
                n_children=len(children),
                labels=[
                    str(name_of(label, labels, "label"))
                    for label in _frequent(below, label_counts, n_labels)
                ],
                features=[str(name_of(j, features, "feature")) for j in top],
                weights=[float(weight) for weight in top_weights],
                n_hidden_children=0 if names_its_labels else len(children) - len(order),
            )
        )
        for i in order:
            visit(t + 1, children[i], node, *bounds[i])

    visit(0, 0, None, 0, tree.slot_labels.size)
    return TreeDescription(nodes)


def _slot_range(tree, level, node):
    """First slot below a node, and one past the last."""
    first, last = node, node + 1
    for ptr in tree.child_ptr[level:]:
        first, last = int(ptr[first]), int(ptr[last])
    return first, last


def _top(level, node, n_features):
    """Features with the largest positive weights of a node, and the weights."""
    features, weights = level.column(node)
    order = np.argsort(-weights, kind="stable")[:n_features]
    order = order[weights[order] > 0]
    return features[order], weights[order]


def _count_distinct(tree, first, last):
    """Number of labels in some slots."""
    return _distinct(tree.slot_labels[first:last]).size if tree.has_overlap else last - first


def _distinct(labels):
    """Each label once, where it comes first: some are in several leaves."""
    return labels[np.sort(np.unique(labels, return_index=True)[1])]


def _frequent(labels, counts, n_labels):
    """The most frequent labels, or the first ones."""
    if counts is None:
        return labels[:n_labels]
    return labels[np.argsort(-counts[labels], kind="stable")[:n_labels]]
