"""HierarchicalKMeans: a balanced label tree by recursive 2-means."""

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_xmr.indexing._balanced_kmeans_fast import split_labels
from sklearn_xmr.indexing._label_rows import fixed_point_scale, kernel_arrays, leaf_centers, row_factors
from sklearn_xmr.indexing._tree_shape import (
    binary_depth,
    draw_seeds,
    halve,
    smallest_leaves,
    wide_tree,
)
from sklearn_xmr.utils._doc_link import DocLinkMixin
from sklearn_xmr.utils._sklearn_private import Interval, validate_estimator_params
from sklearn_xmr.utils._threads import effective_n_threads
from sklearn_xmr.utils._validation import MAX_INT32, check_sparse_structure

# similarities that `transform` holds at once
_BLOCK_ENTRIES = 2**23


class HierarchicalKMeans(  # type: ignore[call-arg]
    DocLinkMixin,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
    BaseEstimator,
    auto_wrap_output_keys=None,
):
    """Index labels in a balanced tree by hierarchical (spherical) k-means.

    The label vectors are halved again and again by 2-means under the constraint that both halves are
    equally large, until no leaf holds more than `max_leaf_size` labels; the sizes of the leaves then
    differ by at most one. The binary levels are collapsed into wide ones, at most `branching_factor`
    children a node. Read more in the user guide on indexing.

    Parameters
    ----------
    branching_factor : int or None, default=None
        Most children of a node above the leaves; a power of two, at least 2. A tree of d binary levels
        gets the fewest wide levels that this allows, d spread evenly over them and the larger fan-outs
        on top, where every row visits a single parent. None is 128 where a single level results, which
        with leaves of 200 labels is up to 25,600 labels, else 64.
    max_leaf_size : int, default=200
        Most labels in a leaf, at least 2. If there are no more labels than this, the tree is flat.
    spherical : bool, default=True
        If True, vectors are compared by cosine: rows count with unit length and a centre is the
        normalised sum of its rows. If False, centres are means (Euclidean 2-means).
    max_iter : int, default=20
        Most passes over the labels of a node, or over its sample, for each start.
    tol : float, default=0.005
        A node is done when a pass would move no more than this share of its labels from one half to the
        other; 0 goes on until none moves.
    sample_size : int or None, default=2048
        Nodes of at least twice as many labels take these passes on a sample of them, of this size or a
        sixteenth of the node where that is more; then all labels are assigned to the centres that this
        gives. None: no samples.
    n_init : int, default=1
        Starts per node, each from two random labels of it. The one with the largest total similarity
        of the labels to their centres is kept.
    random_state : int, RandomState instance or None, default=None
        Draws the starting labels, node by node from the root down. Pass an int for reproducible trees.
        The number of threads never changes a tree.

    Attributes
    ----------
    tree_ : LabelTree
        The tree; ``tree_.n_labels`` is the number of rows of Z.
    labels_ : ndarray of shape (n_labels,), dtype int32
        Leaf of each label. As in every scikit-learn clusterer the name means cluster ids, not classes.
    leaf_centers_ : {ndarray, csr_array} of shape (n_leaves, n_dims), dtype float32
        Centre of each leaf, of unit length if `spherical`; sparse if Z was.
    n_iter_ : int
        Most passes that a node took; 1 for a flat tree.
    n_features_in_ : int
        Number of columns of Z.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names of Z, where it was a data frame with string names.

    See Also
    --------
    LabelTree : The tree itself, also to be built from a taxonomy.
    sklearn.cluster.BisectingKMeans : Hierarchical k-means without balance.

    Notes
    -----
    Zero rows, labels that nothing is known about, take no part in clustering. They are appended to the
    smallest leaves in the order of the labels, so leaves stay balanced. Only if there are fewer nonzero
    rows than leaves are the first zero rows clustered along, so that no leaf is empty.

    `transform` places a row in the leaf of the nearest centre, whatever the size of the leaf; for the
    rows of `fit` this may be another leaf than the balanced one of `labels_`.

    References
    ----------
    .. [1] Yu, Zhong, Zhang, Chang and Dhillon, "PECOS: Prediction for Enormous and Correlated Output
       Spaces", Journal of Machine Learning Research 23, 2022.
    .. [2] Prabhu, Kag, Harsola, Agrawal and Varma, "Parabel: Partitioned Label Trees for Extreme
       Classification with Application to Dynamic Search Advertising", WWW 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_xmr import HierarchicalKMeans
    >>> Z = np.array([[1, 0], [0, 1], [0.9, 0.1], [0.1, 0.9], [1, 0.1], [0.2, 1]])
    >>> indexer = HierarchicalKMeans(max_leaf_size=3, random_state=0).fit(Z)
    >>> indexer.tree_
    LabelTree(n_labels=6, n_nodes=(1, 2, 6))
    >>> groups = indexer.labels_
    >>> bool(groups[0] == groups[2] == groups[4] != groups[1] == groups[3] == groups[5])
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "branching_factor": [Interval(Integral, 2, None, closed="left"), None],
        "max_leaf_size": [Interval(Integral, 2, None, closed="left")],
        "spherical": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, 1, closed="both")],
        "sample_size": [Interval(Integral, 2, None, closed="left"), None],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    # Z is the data, not metadata to be routed
    __metadata_request__fit: ClassVar[dict] = {"Z": UNUSED}
    __metadata_request__transform: ClassVar[dict] = {"Z": UNUSED}

    def __init__(
        self,
        branching_factor=None,
        max_leaf_size=200,
        *,
        spherical=True,
        max_iter=20,
        tol=0.005,
        sample_size=2048,
        n_init=1,
        random_state=None,
    ):
        self.branching_factor = branching_factor
        self.max_leaf_size = max_leaf_size
        self.spherical = spherical
        self.max_iter = max_iter
        self.tol = tol
        self.sample_size = sample_size
        self.n_init = n_init
        self.random_state = random_state

    def fit(self, Z, y=None):
        """Cluster label vectors.

        Parameters
        ----------
        Z : {array-like, sparse matrix} of shape (n_labels, n_dims)
            One row per label.
        y : None
            Ignored.

        Returns
        -------
        HierarchicalKMeans
            The fitted indexer itself.

        Raises
        ------
        ValueError
            If a parameter is out of range, `branching_factor` is no power of two, or Z is not a
            finite matrix.
        """
        tree, leaves, n_iter, rows, factors = self._build(Z)
        centers = leaf_centers(rows, factors, leaves, tree.n_nodes[-2], self.spherical)

        # only now, so that a failed fit leaves an earlier one as it was
        validate_data(self, Z, skip_check_array=True)
        self.tree_ = tree
        self.labels_ = leaves
        self.leaf_centers_ = centers
        self.n_iter_ = n_iter
        return self

    def build_tree(self, Z):
        """Make the tree of `fit` without the centres of its leaves, and keep nothing.

        Parameters
        ----------
        Z : {array-like, sparse matrix} of shape (n_labels, n_dims)
            One row per label.

        Returns
        -------
        tree : LabelTree
            What `fit` keeps as ``tree_``.

        Raises
        ------
        ValueError
            As in `fit`.
        """
        return self._build(Z)[0]

    def _build(self, Z):
        """Tree, leaf of each label, most passes of a node, and the checked rows with their factors."""
        validate_estimator_params(self)
        if self.branching_factor is not None and self.branching_factor & (self.branching_factor - 1):
            raise ValueError(
                f"branching_factor must be a power of two (2, 4, 8, ...), got {self.branching_factor}."
            )
        check_sparse_structure(Z, "Z")
        rows = check_array(Z, accept_sparse="csr", dtype=np.float32, input_name="Z", estimator=self)
        if sp.issparse(rows):
            if not rows.has_canonical_format:
                rows = rows.copy()
                rows.sum_duplicates()
        factors = row_factors(rows, self.spherical)
        depth = binary_depth(rows.shape[0], int(self.max_leaf_size))
        leaves, n_iter = self._assign(rows, factors, depth)
        tree = wide_tree(leaves, depth, self.branching_factor)
        return tree, leaves, n_iter, rows, factors

    def transform(self, Z):
        """Place label vectors, new ones included, in the leaf with the nearest centre.

        Ties go to the smaller leaf id; so does a zero row, whose cosine with every centre is 0.

        Parameters
        ----------
        Z : {array-like, sparse matrix} of shape (n_rows, n_dims)
            Label vectors, same columns as in `fit`.

        Returns
        -------
        csr_array of shape (n_rows, n_leaves), dtype float32
            One 1 in each row.
        """
        check_is_fitted(self)
        check_sparse_structure(Z, "Z")
        Z = validate_data(self, Z, reset=False, accept_sparse="csr", dtype=np.float32)
        centers = self.leaf_centers_.astype(np.float64)  # holds squares of any float32
        n_rows, n_leaves = Z.shape[0], centers.shape[0]
        if sp.issparse(centers):
            squared_norms = np.asarray(centers.multiply(centers).sum(axis=1)).ravel()
        else:
            squared_norms = np.einsum("ij,ij->i", centers, centers)
        nearest = np.empty(n_rows, dtype=np.int32)
        step = max(1, _BLOCK_ENTRIES // n_leaves)
        for start in range(0, n_rows, step):
            similarity = safe_sparse_dot(
                Z[start : start + step].astype(np.float64), centers.T, dense_output=True
            )
            if not self.spherical:  # |z - c|^2 = |z|^2 - 2 (<z, c> - |c|^2 / 2)
                similarity = similarity - squared_norms / 2
            nearest[start : start + step] = similarity.argmax(axis=1)
        return sp.csr_array(
            (np.ones(n_rows, dtype=np.float32), nearest, np.arange(n_rows + 1)), shape=(n_rows, n_leaves)
        )

    def _assign(self, rows, factors, depth):
        """Leaf of each label, and the most passes that a node took."""
        n_labels, n_leaves = rows.shape[0], 2**depth
        known = factors > 0
        if depth == 0:
            return np.zeros(n_labels, dtype=np.int32), 1
        n_members = max(n_leaves, np.count_nonzero(known))
        members = np.sort(np.argsort(~known, kind="stable")[:n_members]).astype(np.int32)
        leaf_ptr, node_sizes = halve(n_members, depth)
        seeds = draw_seeds(node_sizes, self.n_init, check_random_state(self.random_state))
        n_iter = 1
        if known.any():
            n_passes = split_labels(
                *kernel_arrays(rows), factors, fixed_point_scale(n_labels), rows.shape[1], leaf_ptr,
                seeds, self.spherical, min(self.max_iter, MAX_INT32), self.tol,
                min(self.sample_size or 0, MAX_INT32), members, effective_n_threads(),
            )  # fmt: skip
            n_iter = int(n_passes.max())
        leaf_sizes = np.diff(leaf_ptr)
        leaves = np.full(n_labels, -1, dtype=np.int32)
        leaves[members] = np.repeat(np.arange(n_leaves), leaf_sizes)
        left_over = np.flatnonzero(leaves < 0)
        leaves[left_over] = smallest_leaves(leaf_sizes, left_over.size)
        return leaves, n_iter

    @property
    def _n_features_out(self):
        return self.leaf_centers_.shape[0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = []
        return tags
