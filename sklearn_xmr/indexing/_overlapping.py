"""OverlappingIndexer: a label may live in several leaves, which the matcher's successes choose."""

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    MetaEstimatorMixin,
    TransformerMixin,
)
from sklearn.utils import check_array, check_random_state
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_xmr._label_tree import LabelTree
from sklearn_xmr.indexing._hierarchical_kmeans import HierarchicalKMeans
from sklearn_xmr.indexing._leaf_assignment import assign_leaves
from sklearn_xmr.utils._doc_link import DocLinkMixin
from sklearn_xmr.utils._seeds import seeded_clone
from sklearn_xmr.utils._sklearn_private import (
    HasMethods,
    Interval,
    StrOptions,
    check_sample_weight,
    validate_estimator_params,
)
from sklearn_xmr.utils._validation import MAX_INT32, check_label_matrix


def _base_transforms(estimator):
    base = HierarchicalKMeans() if estimator.base_indexer is None else estimator.base_indexer
    return hasattr(base, "transform")


class OverlappingIndexer(  # type: ignore[call-arg]
    DocLinkMixin,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
    MetaEstimatorMixin,
    BaseEstimator,
    auto_wrap_output_keys=None,
):
    """Index labels in a tree whose leaves overlap: label disentanglement.

    A label of two meanings ("apple": fruit and computers) has no good place in a tree of clusters. This
    indexer starts from the tree of another one and moves and copies each label to the leaves in which the
    matcher looks for it [1]_. `XRLinearClassifier` does so in its ``fit``: it trains the levels above the
    labels, matches each row with leaves, hands both to `refine`, and trains all levels anew on the tree
    with overlap.

    Read more in the :ref:`User Guide <overlap>`.

    Parameters
    ----------
    base_indexer : object or LabelTree, default=None
        Builds the tree to start from: anything whose ``fit(Z)`` sets ``tree_``; a fitted one in
        `sklearn.frozen.FrozenEstimator`; or a `LabelTree`. Its leaves must not overlap. None uses
        `HierarchicalKMeans` with its defaults.
    max_parents : int, default=2
        Most leaves of a label. With 1, labels are moved but not copied.
    max_leaf_size : float, int or None, default=1.25
        Most labels of a leaf, as a multiple of the largest leaf of the base tree (float) or as a
        number (int; no less than that leaf's size is taken). A label that finds no room stays in its leaf,
        even if that makes the leaf larger. None sets no limit, which makes a few leaves very large.
    objective : {"count", "coverage"}, default="count"
        What a further leaf is worth to a label: the number of the label's rows that the matcher sends
        there, or only those that it sends to none of the label's leaves so far.
    min_support : float, default=2
        Least worth at which a label is copied.
    n_rounds : int, default=1
        How often the classifier matches and refines.
    beam_width : int, default=3
        Leaves per row that count as matched.
    cv : int, default=2
        Folds of the classifier's matching: a row is matched by rankers of the other folds. No more than one
        fold per row is made. None matches each row by rankers that were trained on it, too.
    positives : {"split", "all"}, default="split"
        Which copies of its labels a row trains. ``"split"``: those in leaves that it is matched with, at
        least one. ``"all"``: all of them.
    random_state : int, RandomState instance or None, default=None
        Seeds the base indexer where its own ``random_state`` is None.

    Attributes
    ----------
    base_indexer_ : object
        The fitted base indexer.
    tree_ : LabelTree
        The base indexer's tree after `fit`, one with overlapping leaves after `refine`.
    labels_ : ndarray of shape (n_labels,), dtype int32
        Leaf of each label; where it has several, the one with most of its rows. As in every scikit-learn
        clusterer the name means cluster ids, not classes.
    n_features_in_ : int
        Number of columns of Z.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names of Z, where it was a data frame with string names.

    See Also
    --------
    HierarchicalKMeans : The default base indexer.
    LabelTree : The tree, which says how overlap is represented.

    Notes
    -----
    Let M be the matched leaves of the training rows and C the membership of labels in leaves, both of zeros
    and ones. The number of pairs of a row and a true label that the matcher finds is bounded above by
    sum(C * S) with S = Y^T M. Under the limit on parents alone the largest entries of each row of S
    maximise it; with the limit on leaves they are taken greedily by falling value, first places before
    copies.

    References
    ----------
    .. [1] X. Liu, W.-C. Chang, H.-F. Yu, C.-J. Hsieh, I. S. Dhillon, "Label Disentanglement in
       Partition-based Extreme Multilabel Classification", NeurIPS 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_xmr import LabelTree, OverlappingIndexer
    >>> indexer = OverlappingIndexer(LabelTree([[0, 2], [0, 2, 4]], [0, 1, 2, 3]), max_leaf_size=3)
    >>> Y = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 1, 1]])
    >>> matched = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 1]])
    >>> tree = indexer.fit(np.eye(4)).refine(Y, matched).tree_
    >>> tree.path(0), tree.path(1)
    ([(0,), (1,)], [(0,)])
    """

    _parameter_constraints: ClassVar[dict] = {
        "base_indexer": [HasMethods("fit"), HasMethods("propagate"), None],
        "max_parents": [Interval(Integral, 1, None, closed="left")],
        "max_leaf_size": [Interval(Real, 1, None, closed="left"), None],
        "objective": [StrOptions({"count", "coverage"})],
        "min_support": [Interval(Real, 0, None, closed="neither")],
        "n_rounds": [Interval(Integral, 1, None, closed="left")],
        "beam_width": [Interval(Integral, 1, None, closed="left")],
        "cv": [Interval(Integral, 2, None, closed="left"), None],
        "positives": [StrOptions({"split", "all"})],
        "random_state": ["random_state"],
    }

    # Z is the data, what refine takes comes from the classifier: nothing to be routed
    __metadata_request__fit: ClassVar[dict] = {"Z": UNUSED}
    __metadata_request__transform: ClassVar[dict] = {"Z": UNUSED}

    def __init__(
        self,
        base_indexer=None,
        *,
        max_parents=2,
        max_leaf_size=1.25,
        objective="count",
        min_support=2,
        n_rounds=1,
        beam_width=3,
        cv=2,
        positives="split",
        random_state=None,
    ):
        self.base_indexer = base_indexer
        self.max_parents = max_parents
        self.max_leaf_size = max_leaf_size
        self.objective = objective
        self.min_support = min_support
        self.n_rounds = n_rounds
        self.beam_width = beam_width
        self.cv = cv
        self.positives = positives
        self.random_state = random_state

    def fit(self, Z, y=None):
        """Fit the base indexer.

        Parameters
        ----------
        Z : {array-like, sparse matrix} of shape (n_labels, n_dims)
            One row per label.
        y : None
            Ignored.

        Returns
        -------
        OverlappingIndexer
            The fitted indexer itself, with the tree of the base indexer.

        Raises
        ------
        ValueError
            If a parameter is out of range, the base indexer refuses Z or has another number of labels, or
            its leaves overlap.
        TypeError
            If the base indexer sets no `LabelTree`.
        """
        validate_estimator_params(self)
        base = HierarchicalKMeans() if self.base_indexer is None else self.base_indexer
        tree = base
        if not isinstance(base, LabelTree):
            seed = check_random_state(self.random_state).randint(MAX_INT32)
            base = seeded_clone(base, seed)
            if not hasattr(base, "tree_"):  # FrozenEstimator: fitted before
                base.fit(Z)
            tree = getattr(base, "tree_", None)
            if not isinstance(tree, LabelTree):
                raise TypeError(
                    f"base_indexer must set tree_ to a LabelTree when fitted, {self.base_indexer!r} set "
                    f"{type(tree).__name__}."
                )
        n_rows = check_array(Z, accept_sparse="csr", input_name="Z", estimator=self).shape[0]
        if n_rows != tree.n_labels:
            raise ValueError(
                f"Z must have {tree.n_labels} row(s), one per label of the tree, got {n_rows}."
            )
        if tree.has_overlap:
            raise ValueError("base_indexer must give each label one leaf, got a tree with overlap.")
        # only now, so that a failed fit leaves an earlier one as it was
        validate_data(self, Z, skip_check_array=True)
        self.base_indexer_ = base
        self.tree_ = tree
        self.labels_ = tree.label_leaves()
        return self

    def refine(self, Y, matched, sample_weight=None):
        """Move and copy labels to the leaves that the matcher sends their rows to.

        Parameters
        ----------
        Y : {array-like, sparse matrix} of shape (n_samples, n_labels)
            Multilabel indicator of zeros and ones.
        matched : {array-like, sparse matrix} of shape (n_samples, n_leaves)
            Indicator of the leaves that the matcher sends each row to.
        sample_weight : array-like of shape (n_samples,), default=None
            A row counts as many times. None counts each once.

        Returns
        -------
        OverlappingIndexer
            The indexer itself, with a new ``tree_``. It depends on the tree of the base indexer and
            the arguments, not on earlier calls.

        Raises
        ------
        ValueError
            If the shapes do not match each other and the tree.
        """
        check_is_fitted(self)
        validate_estimator_params(self)
        base = getattr(self.base_indexer_, "tree_", self.base_indexer_)
        Y = check_label_matrix(Y, input_name="Y")
        matched = check_label_matrix(matched, input_name="matched")
        n_labels, n_leaves = base.n_labels, base.n_nodes[-2]
        if Y.shape[1] != n_labels or matched.shape != (Y.shape[0], n_leaves):
            raise ValueError(
                f"Y and matched must have the same number of rows, and {n_labels} and {n_leaves} columns, "
                f"one per label and per leaf of the tree; got shapes {Y.shape} and {matched.shape}."
            )
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, Y, ensure_non_negative=True)
        leaves = assign_leaves(
            Y, matched, base.label_leaves(), max_parents=self.max_parents,
            max_leaf_size=self._largest_leaf(base), objective=self.objective,
            min_support=self.min_support, sample_weight=sample_weight,
        )  # fmt: skip
        label, copy = np.nonzero(leaves >= 0)
        leaf = leaves[label, copy]
        order = np.lexsort((label, leaf))
        sizes = np.bincount(leaf, minlength=n_leaves)
        self.tree_ = LabelTree(
            [*base.child_ptr[:-1], np.concatenate([[0], np.cumsum(sizes)])], label[order]
        )
        self.labels_ = leaves[:, 0].astype(np.int32)
        return self

    @available_if(_base_transforms)
    def transform(self, Z):
        """Place label vectors as the base indexer does, whatever `refine` did.

        Parameters
        ----------
        Z : {array-like, sparse matrix} of shape (n_rows, n_dims)
            Label vectors, same columns as in `fit`.

        Returns
        -------
        csr_array of shape (n_rows, n_leaves), dtype float32
            Membership in the leaves.
        """
        check_is_fitted(self)
        validate_data(self, Z, reset=False, accept_sparse="csr", dtype=np.float32)
        return sp.csr_array(self.base_indexer_.transform(Z))

    def _largest_leaf(self, tree):
        """The limit on leaves as a number of labels."""
        largest = int(tree.leaf_sizes.max())
        if self.max_leaf_size is None or isinstance(self.max_leaf_size, Integral):
            return None if self.max_leaf_size is None else max(largest, self.max_leaf_size)
        return int(min(self.max_leaf_size * largest, tree.n_labels))

    @property
    def _n_features_out(self):
        return getattr(self.base_indexer_, "tree_", self.base_indexer_).n_nodes[-2]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = []
        return tags
