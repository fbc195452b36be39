"""LabelTree: the one type that indexing, matching and ranking share."""

import operator
from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.utils._sparse_entries import pattern_of
from sklearn_xmr.utils._validation import check_positive_int, check_sparse_structure


class LabelTree:
    """Immutable tree over the labels of a multilabel problem.

    Level 0 is the root, level ``n_levels`` holds the labels, the level above it the leaves (clusters of
    labels). Nodes of a level are numbered so that the children of a node are contiguous and come in
    the order of their parents. A tree of one level has no clusters: every label is a child of the root.

    A label usually sits in one leaf. It may sit in several (overlap); it then has one *slot* per leaf.

    Parameters
    ----------
    child_ptr : sequence of array-like of shape (n_nodes[t] + 1,)
        For each level t = 0, ..., n_levels - 1: the children of node k of level t are the nodes
        ``child_ptr[t][k]`` to ``child_ptr[t][k + 1] - 1`` of level t + 1.
    slot_labels : array-like of shape (n_slots,)
        Label of each node of the lowest level; every label occurs, at most once per leaf.

    Attributes
    ----------
    child_ptr : tuple of ndarray, dtype int64
        As given, read-only.
    slot_labels : ndarray of shape (n_slots,), dtype int32
        As given, read-only.
    n_labels : int
        Number of labels.
    n_levels : int
        Number of levels below the root.
    n_nodes : tuple of int
        Nodes of each level, root first; the last entry is the number of slots.

    Raises
    ------
    ValueError
        If a node has no child, the levels do not chain, a label is missing from all leaves, or a label
        occurs twice in one leaf.

    See Also
    --------
    HierarchicalKMeans : Builds a tree by clustering label embeddings.

    Examples
    --------
    >>> from sklearn_xmr import LabelTree
    >>> tree = LabelTree([[0, 2], [0, 2, 5]], [4, 0, 1, 2, 3])
    >>> tree
    LabelTree(n_labels=5, n_nodes=(1, 2, 5))
    >>> tree.leaf_sizes
    array([2, 3])
    >>> tree.path(3)
    [(1,)]
    """

    def __init__(self, child_ptr, slot_labels):
        self.child_ptr = tuple(
            _read_only(ptr, np.int64, f"child_ptr[{t}]") for t, ptr in enumerate(child_ptr)
        )
        self.slot_labels = _read_only(slot_labels, np.int32, "slot_labels")
        self._validate()
        self.n_labels = int(self.slot_labels.max()) + 1
        self._check_labels()

    # ------------------------------------------------------------------ construction

    @classmethod
    def flat(cls, n_labels: int) -> "LabelTree":
        """Tree of one level: every label hangs from the root (plain one-vs-rest).

        Parameters
        ----------
        n_labels : int
            Number of labels, at least 1.

        Returns
        -------
        tree : LabelTree
        """
        n_labels = check_positive_int(n_labels, "n_labels")
        return cls([[0, n_labels]], np.arange(n_labels))

    @classmethod
    def from_assignments(cls, assignments: Sequence) -> "LabelTree":
        """Build a tree from child-by-parent indicator matrices.

        Parameters
        ----------
        assignments : sequence of {array-like, sparse matrix} of shape (n_nodes[t + 1], n_nodes[t])
            From the root down; the first has one column, the last one row per label. A nonzero says
            that the row's node is a child of the column's node. In the last matrix a row may have
            several nonzeros (overlapping leaves), in the others exactly one. This is PECOS' cluster
            chain.

        Returns
        -------
        tree : LabelTree
            Nodes are renumbered so that siblings are contiguous; labels keep their numbers.

        Raises
        ------
        ValueError
            If the shapes do not chain or a row or column is empty.
        TypeError
            If `assignments` is a single matrix.
        """
        if sp.issparse(assignments) or np.ndim(assignments[:1]) == 2:
            raise TypeError("assignments must be a list of matrices, one a level, got a single matrix.")
        if len(assignments) == 0:
            raise ValueError("assignments must hold at least one matrix, got none.")
        child_ptr = []
        order = np.zeros(1, dtype=np.int64)  # old ids of the level above, in new order
        for t, matrix in enumerate(assignments):
            check_sparse_structure(matrix, f"assignments[{t}]")
            matrix = sp.csr_array(matrix)
            # csc of a transposed view: row k of `children` lists the children of node k
            children = sp.csr_array(matrix.T, copy=True)
            children.sum_duplicates()
            children.eliminate_zeros()
            if children.shape[0] != order.size:
                raise ValueError(
                    f"assignments[{t}] must have {order.size} column(s), one per node of the level "
                    f"above, got shape {children.shape[::-1]}."
                )
            n_parents = np.bincount(children.indices, minlength=children.shape[1])
            if np.any(n_parents == 0):
                raise ValueError(
                    f"assignments[{t}]: row {int(np.argmin(n_parents))} has no parent; every node and "
                    "every label needs one."
                )
            if t < len(assignments) - 1 and np.any(n_parents > 1):
                raise ValueError(
                    f"assignments[{t}]: row {int(np.argmax(n_parents))} has {n_parents.max()} parents; "
                    "only labels may have several."
                )
            children = children[order]
            child_ptr.append(children.indptr)
            order = children.indices
        return cls(child_ptr, order)

    @classmethod
    def from_paths(cls, paths: Iterable[Sequence[Hashable]]) -> "LabelTree":
        """Build a tree from the path of each label through a taxonomy.

        Parameters
        ----------
        paths : iterable of sequence of hashable, length n_labels
            ``paths[l]`` names the groups of label l from the top down, without the root and without
            the label. Groups are told apart by their whole path. Shorter paths are padded with unary
            groups, so all labels end on one level; labels with an empty path share a group directly below
            the root.

        Returns
        -------
        tree : LabelTree

        Raises
        ------
        ValueError
            If there is no path.
        TypeError
            If paths have no order, or a path is a str, whose letters would be taken for groups.

        Examples
        --------
        >>> from sklearn_xmr import LabelTree
        >>> LabelTree.from_paths([("law", "tax"), ("law", "trade"), ("food",)])
        LabelTree(n_labels=3, n_nodes=(1, 2, 3, 3))
        """
        paths = [tuple(_as_list(path, "each of paths")) for path in _as_list(paths, "paths")]
        if not paths:
            raise ValueError("paths must hold one path per label, got none.")
        depth = max(map(len, paths))
        padding = object()  # equal to no group of the user's
        padded = [(*path, *(padding for _ in range(depth - len(path)))) for path in paths]
        parents = np.zeros(len(paths), dtype=np.int64)
        groups: list[np.ndarray] = []  # parent of each node, level by level
        for t in range(depth):
            index: dict = {}
            nodes = np.array([index.setdefault(path[: t + 1], len(index)) for path in padded])
            parent_of_node = np.empty(len(index), dtype=np.int64)
            parent_of_node[nodes] = parents
            groups.append(parent_of_node)
            parents = nodes
        groups.append(parents)
        widths = [1, *(len(group) for group in groups)]
        return cls.from_assignments(
            [
                sp.csr_array((np.ones(len(group)), (np.arange(len(group)), group)),
                             shape=(len(group), width))
                for group, width in zip(groups, widths, strict=False)
            ]
        )  # fmt: skip

    @classmethod
    def from_parents(
        cls, parents: Mapping[Hashable, Hashable | None], labels: Sequence[Hashable]
    ) -> "LabelTree":
        """Build a tree from a taxonomy given as child -> parent.

        Parameters
        ----------
        parents : mapping of hashable to hashable or None
            Parent of each node; a node mapped to None, or a parent that is not itself a key, hangs
            below the root.
        labels : sequence of hashable, length n_labels
            Node of each label, in the order of the columns of Y. A label that has children itself
            becomes an extra leaf of its own group. Nodes without a label below them are dropped.

        Returns
        -------
        tree : LabelTree

        Raises
        ------
        ValueError
            If the parents form a cycle, a label is unknown or named twice, or there is none.
        TypeError
            If parents is no mapping, or labels have no order.

        Examples
        --------
        >>> from sklearn_xmr import LabelTree
        >>> parents = {"law": None, "tax": "law", "vat": "tax", "food": None}
        >>> LabelTree.from_parents(parents, labels=["tax", "vat", "food"])
        LabelTree(n_labels=3, n_nodes=(1, 2, 2, 3))
        """
        if not isinstance(parents, Mapping):
            raise TypeError(f"parents must be a mapping, such as a dict, got {type(parents).__name__}.")
        labels = _as_list(labels, "labels")
        known = set(parents) | {parent for parent in parents.values() if parent is not None}
        groups = {parent for parent in parents.values() if parent is not None}
        if len(labels) == 0:
            raise ValueError("labels must name at least one node, got none.")
        if len(set(labels)) != len(labels):
            raise ValueError("labels must not name a node twice.")
        paths = []
        for label in labels:
            if label not in known:
                raise ValueError(f"labels: {label!r} is not in parents.")
            path: deque = deque([label] if label in groups else [])
            seen = {label}
            node = parents.get(label)
            while node is not None:
                if node in seen:
                    raise ValueError(f"parents must form a tree, got a cycle through {node!r}.")
                seen.add(node)
                path.appendleft(node)
                node = parents.get(node)
            paths.append(tuple(path))
        return cls.from_paths(paths)

    # ------------------------------------------------------------------ views

    @property
    def n_levels(self):
        """Number of levels below the root, int."""
        return len(self.child_ptr)

    @property
    def n_nodes(self):
        """Nodes of each level, tuple of int; the root first, the slots last."""
        return (1, *(int(ptr[-1]) for ptr in self.child_ptr))

    @property
    def leaf_sizes(self):
        """Number of labels in each leaf, ndarray of shape (n_leaves,)."""
        return np.diff(self.child_ptr[-1])

    @property
    def has_overlap(self):
        """Whether some label sits in several leaves."""
        return self.slot_labels.size > self.n_labels

    def parent_of(self, level: int) -> np.ndarray:
        """Parent of each node.

        Parameters
        ----------
        level : int
            From 1 to ``n_levels``.

        Returns
        -------
        ndarray of shape (n_nodes[level],), dtype int32
            Node ids of level ``level - 1``.

        Raises
        ------
        ValueError
            If there is no such level or it is the root's.
        """
        if not 1 <= level <= self.n_levels:
            raise ValueError(f"level must be in [1, {self.n_levels}], got {level}.")
        fan_outs = np.diff(self.child_ptr[level - 1])
        return np.repeat(np.arange(fan_outs.size, dtype=np.int32), fan_outs)

    @property
    def assignments(self):
        """Child-by-parent indicator matrices, root first: list of csc_array of float32.

        The rows of the last one are labels (several ones in a row: overlap), all other rows and
        columns are nodes.
        """
        matrices = []
        for t in range(1, self.n_levels + 1):
            parents = self.parent_of(t)
            last = t == self.n_levels
            rows = self.slot_labels if last else np.arange(parents.size, dtype=np.int32)
            shape = (self.n_labels if last else parents.size, self.n_nodes[t - 1])
            matrices.append(sp.csc_array((np.ones(rows.size, np.float32), (rows, parents)), shape=shape))
        return matrices

    def label_leaves(self) -> np.ndarray:
        """Leaf of each label, the first one where a label has several.

        Returns
        -------
        ndarray of shape (n_labels,), dtype int32
            Node ids of level ``n_levels - 1``.
        """
        leaves = np.empty(self.n_labels, dtype=np.int32)
        # backwards, so that the first slot of a label is written last
        leaves[self.slot_labels[::-1]] = self.parent_of(self.n_levels)[::-1]
        return leaves

    def path(self, label: int) -> list[tuple[int, ...]]:
        """List the nodes from below the root down to each leaf of a label.

        Parameters
        ----------
        label : int
            Label index.

        Returns
        -------
        list of tuple of int
            One tuple per leaf; entry t is the node of level t + 1.

        Raises
        ------
        ValueError
            If there is no such label.
        """
        label = operator.index(label)
        if not 0 <= label < self.n_labels:
            raise ValueError(f"label must be in [0, {self.n_labels}), got {label}.")
        paths = []
        for slot in np.flatnonzero(self.slot_labels == label):
            node, nodes = int(slot), []
            for t in range(self.n_levels, 1, -1):
                node = int(np.searchsorted(self.child_ptr[t - 1], node, side="right")) - 1
                nodes.append(node)
            paths.append(tuple(reversed(nodes)))
        return paths

    def propagate(self, Y) -> list:
        """Lift a label pattern to every level of the tree (Y_{t-1} = Y_t C_t).

        Parameters
        ----------
        Y : sparse array of shape (n_samples, n_labels)
            Pattern over labels: which entries are not zero.

        Returns
        -------
        list of csr_array of shape (n_samples, n_nodes[t]), dtype float32
            For t = 0, ..., n_levels. A node is 1 for a row if a label below it is; the columns of the
            last are slots.
        """
        check_sparse_structure(Y, "Y")
        Y = sp.csr_array(Y)
        if Y.ndim != 2 or Y.shape[1] != self.n_labels:
            raise ValueError(f"Y must have {self.n_labels} column(s), one per label, got shape {Y.shape}.")
        slots = Y[:, self.slot_labels]
        slots.eliminate_zeros()
        return self.lift(slots, self.n_levels)

    def lift(self, pattern, level: int) -> list:
        """Lift a pattern over the nodes of one level to all levels above it.

        Parameters
        ----------
        pattern : csr_array of shape (n_samples, n_nodes[level])
            Every stored entry counts.
        level : int
            From 0 to ``n_levels``.

        Returns
        -------
        list of csr_array of shape (n_samples, n_nodes[t]), dtype float32
            For t = 0, ..., level. A node is 1 for a row if a node below it is.
        """
        return [pattern_of(sums) for sums in self.lift_sums(pattern_of(sp.csr_array(pattern)), level)]

    def lift_sums(self, values, level: int) -> list:
        """Sum a matrix over the nodes of one level up to all levels above it (V_{t-1} = V_t C_t).

        Parameters
        ----------
        values : csr_array of shape (n_samples, n_nodes[level])
            Numbers to be added.
        level : int
            From 0 to ``n_levels``.

        Returns
        -------
        list of csr_array of shape (n_samples, n_nodes[t])
            For t = 0, ..., level, in canonical format. A node has the sum over the nodes below it.
        """
        if not 0 <= level <= self.n_levels:
            raise ValueError(f"level must be between 0 and {self.n_levels}, got {level}.")
        check_sparse_structure(values, "values")
        values = sp.csr_array(values)
        if values.ndim != 2 or values.shape[1] != self.n_nodes[level]:
            raise ValueError(
                f"A matrix over level {level} must have {self.n_nodes[level]} column(s), one per node, got "
                f"shape {values.shape}."
            )
        if values.dtype.kind in ("b", "u", "i"):
            values = values.astype(np.int64)  # sums may not fit into a smaller type
        values = values if values.has_canonical_format else values.copy()
        values.sum_duplicates()
        sums = [values]
        for t in range(level, 0, -1):
            values = sp.csr_array(
                (values.data, self.parent_of(t)[values.indices], values.indptr),
                shape=(values.shape[0], self.n_nodes[t - 1]),
                copy=True,  # duplicates are summed in place
            )
            values.sum_duplicates()
            sums.append(values)
        return sums[::-1]

    # ------------------------------------------------------------------ checks and plumbing

    def _validate(self):
        if not self.child_ptr:
            raise ValueError("child_ptr must describe at least one level, got none.")
        width = 1
        for t, ptr in enumerate(self.child_ptr):
            if ptr.ndim != 1 or ptr.size != width + 1 or ptr[0] != 0:
                raise ValueError(
                    f"child_ptr[{t}] must start with 0 and have {width + 1} entries (the level has "
                    f"{width} node(s)), got {ptr.size} entries."
                )
            if np.any(np.diff(ptr) < 1):
                empty = int(np.argmax(np.diff(ptr) < 1))
                raise ValueError(f"child_ptr[{t}]: node {empty} has no children.")
            width = int(ptr[-1])
        if self.slot_labels.shape != (width,):
            raise ValueError(
                f"slot_labels must have {width} entries, one per node of the lowest level, got shape "
                f"{self.slot_labels.shape}."
            )

    def _check_labels(self):
        if self.n_labels > self.slot_labels.size:
            raise ValueError(
                "slot_labels must hold every label from 0 up: the largest is "
                f"{self.n_labels - 1}, but there are only {self.slot_labels.size} entries."
            )
        missing = np.flatnonzero(np.bincount(self.slot_labels, minlength=self.n_labels) == 0)
        if missing.size:
            raise ValueError(
                f"slot_labels must hold every label from 0 up: label {missing[0]} is in no leaf."
            )
        pairs = self.parent_of(self.n_levels) * np.int64(self.n_labels) + self.slot_labels
        if self.has_overlap and np.unique(pairs).size < pairs.size:
            raise ValueError("slot_labels: a label occurs twice in one leaf.")

    def __setattr__(self, name, value):
        if name in self.__dict__:
            raise AttributeError(f"LabelTree is immutable; cannot set {name!r}.")
        super().__setattr__(name, value)

    def __delattr__(self, name):
        raise AttributeError(f"LabelTree is immutable; cannot delete {name!r}.")

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._validate()
        if self.slot_labels.dtype != np.int32 or self.slot_labels.max() != self.n_labels - 1:
            raise ValueError("This label tree is damaged: slot_labels does not hold its labels.")
        for array in (*self.child_ptr, self.slot_labels):
            array.flags.writeable = False  # pickles do not keep it

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __eq__(self, other):
        if not isinstance(other, LabelTree):
            return NotImplemented
        return (
            self.n_nodes == other.n_nodes
            and all(map(np.array_equal, self.child_ptr, other.child_ptr))
            and np.array_equal(self.slot_labels, other.slot_labels)
        )

    def __hash__(self):
        return hash((self.n_nodes, self.slot_labels.tobytes()))

    def __sklearn_clone__(self):
        return self  # immutable, so sharing is safe and keeps large trees single

    def __repr__(self):
        return f"LabelTree(n_labels={self.n_labels}, n_nodes={self.n_nodes})"


def _as_list(values, name):
    """The values in their order; a str would be taken for its letters."""
    if isinstance(values, (str, bytes, Set, Mapping)) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a sequence, got {values!r} of type {type(values).__name__}.")
    return list(values)


def _read_only(values, dtype, name):
    array = np.array(values)
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"{name} must hold integers, got dtype {array.dtype}.")
    if array.size and (array.min() < 0 or array.max() > np.iinfo(dtype).max):
        wrong = array.min() if array.min() < 0 else array.max()
        raise ValueError(f"{name} must hold numbers from 0 to {np.iinfo(dtype).max}, got {wrong}.")
    array = array.astype(dtype)
    array.flags.writeable = False
    return array
