"""PIFA: a label is the sum of the features of the instances that carry it."""

import numbers

import numpy as np
import scipy.sparse as sp
from sklearn.base import OneToOneFeatureMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from sklearn_xmr.label_embedding._base import BaseLabelEmbedding, label_indicator, unit_rows
from sklearn_xmr.utils._runs import positions_in_runs
from sklearn_xmr.utils._sklearn_private import Interval, check_sample_weight, validate_estimator_params
from sklearn_xmr.utils._sparse_product import sparse_product
from sklearn_xmr.utils._validation import as_csr_array, check_sparse_structure

# Labels whose full vectors exist at one time while max_features cuts them down.
LABELS_PER_BLOCK = 1024


class PIFA(OneToOneFeatureMixin, BaseLabelEmbedding):
    r"""Embed labels by positive instance feature aggregation.

    A label is the weighted sum of the feature vectors of its positive instances, scaled to unit length:

    .. math:: v_l = \sum_{i : Y_{il} = 1} w_i s_i x_i, \qquad z_l = v_l / \|v_l\|_2

    with :math:`w_i = 1/\sqrt{|Y_i|}`, so that an instance with many labels says less about each of them,
    and the sample weight :math:`s_i`. X is used as it comes; rows of unit length (as tf-idf gives them)
    let every instance count alike.

    Read more in the :ref:`User Guide <label_embedding>`.

    Parameters
    ----------
    normalize_labels : bool, default=True
        Whether to scale each row of Y to unit l2 norm (the weights :math:`w_i`). False lets an instance
        count fully for each of its labels.
    max_features : int, default=None
        Keep only this many entries per label, the largest in absolute value (ties: the feature with the
        smaller index), and scale the rest to unit norm. Saves memory when labels with many instances
        would fill up. None keeps all.

    Attributes
    ----------
    embedding_ : {csr_array, ndarray} of shape (n_labels, n_features), dtype float32
        One row per label, of unit l2 norm; zero for a label without evidence, that is, whose instances
        are missing, have weight 0, or sum to zero. Sparse if X is; column indices are then not sorted.
    has_embedding_ : ndarray of shape (n_labels,), dtype bool
        False for the zero rows.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen during fit; only if X has feature names that are all strings.

    See Also
    --------
    PII : Needs no features.
    LabelTextEmbedding : Places labels by their names, positives or not.

    References
    ----------
    .. [1] H.-F. Yu, K. Zhong, J. Zhang, W.-C. Chang and I. S. Dhillon, "PECOS: Prediction for enormous
       and correlated output spaces", Journal of Machine Learning Research 23, 2022, section 3.1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_xmr import PIFA
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> Y = np.array([[1, 0, 0], [1, 1, 0]])
    >>> embedding = PIFA(normalize_labels=False)
    >>> embedding.fit_transform(X, Y).round(2)
    array([[0.71, 0.71],
           [0.  , 1.  ],
           [0.  , 0.  ]], dtype=float32)
    >>> embedding.transform([[3.0, 4.0]])
    array([[0.6, 0.8]], dtype=float32)
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "normalize_labels": ["boolean"],
        "max_features": [Interval(numbers.Integral, 1, None, closed="left"), None],
    }

    def __init__(self, *, normalize_labels=True, max_features=None):
        self.normalize_labels = normalize_labels
        self.max_features = max_features

    def fit(self, X, y=None, sample_weight=None):
        """Embed the labels and keep the result.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features of the instances.
        y : {array-like, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
            Indicator matrix of zeros and ones, or one class per row; the labels are then the sorted
            distinct classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the instances; None gives all the same.

        Returns
        -------
        self : object
            The fitted embedding.
        """
        self.fit_transform(X, y, sample_weight=sample_weight)
        return self

    def fit_transform(self, X, y=None, sample_weight=None):
        """Embed the labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features of the instances.
        y : {array-like, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
            Indicator matrix of zeros and ones, or one class per row; the labels are then the sorted
            distinct classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the instances; None gives all the same.

        Returns
        -------
        Z : {ndarray, csr_array} of shape (n_labels, n_features), dtype float32
            One unit or zero row per label, sparse if X is; the object kept as ``embedding_``.
        """
        validate_estimator_params(self)
        V, attributes = self._embed(X, y, sample_weight)
        Z = unit_rows(V)
        validate_data(self, X, skip_check_array=True)  # sets n_features_in_ and feature_names_in_
        return self._keep(Z, attributes)

    def transform(self, X):
        """Place instances in the space of the labels, by scaling them to unit length.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features of the instances.

        Returns
        -------
        Q : {ndarray, csr_array} of shape (n_samples, n_features), dtype float32
            One unit or zero row per instance, sparse if X is. The dot product with a row of
            ``embedding_`` is the cosine of instance and label.
        """
        check_is_fitted(self)
        check_sparse_structure(X, "X")
        with np.errstate(over="ignore"):  # what overflows is refused as infinite
            Q = validate_data(self, X, reset=False, accept_sparse="csr", dtype=np.float32, copy=True)
        if sp.issparse(Q):
            Q = as_csr_array(Q)
            Q.sum_duplicates()
        return unit_rows(Q)

    def _embed(self, X, y, sample_weight=None):
        check_sparse_structure(X, "X")
        with np.errstate(over="ignore"):  # what overflows is refused as infinite
            features = check_array(X, accept_sparse="csr", dtype=np.float32, estimator=self, input_name="X")
        if sp.issparse(features):
            features = as_csr_array(features)
        label_weights = self._label_weights(features, y, sample_weight)
        if self.max_features is None:
            return _product(label_weights, features), {}
        starts = range(0, label_weights.shape[0], LABELS_PER_BLOCK)
        blocks = (_product(label_weights[start : start + LABELS_PER_BLOCK], features) for start in starts)
        n_kept = min(int(self.max_features), features.shape[1])
        return _vstack([_keep_largest(block, n_kept) for block in blocks]), {}

    def _label_weights(self, X, y, sample_weight):
        """The weighted, transposed indicator matrix: csr_array of shape (n_labels, n_samples)."""
        Y = label_indicator(X, y, name=type(self).__name__)
        n_positives = np.diff(Y.indptr)
        weights = np.ones(Y.shape[0])
        if self.normalize_labels:
            weights /= np.sqrt(np.maximum(n_positives, 1))
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, X, ensure_non_negative=True)
            if not np.any(sample_weight[n_positives > 0]):
                raise ValueError("sample_weight must be positive for some instance that has a label.")
            weights *= sample_weight / sample_weight.max()  # only ratios matter; no overflow in float32
        data = np.repeat(weights.astype(np.float32), n_positives)
        # explicitly CSR: the product of a CSC matrix would first convert X
        label_weights = sp.csr_array(sp.csr_array((data, Y.indices, Y.indptr), shape=Y.shape).T)
        label_weights.eliminate_zeros()
        return label_weights


def _product(weights, features):
    return sparse_product(weights, features) if sp.issparse(features) else weights @ features


def _vstack(blocks):
    return sp.vstack(blocks, format="csr") if sp.issparse(blocks[0]) else np.vstack(blocks)


def _keep_largest(V, n_kept):
    """Set all but the `n_kept` entries of largest absolute value of each row to zero."""
    if not sp.issparse(V):
        drop = np.argsort(-np.abs(V), axis=1, kind="stable")[:, n_kept:]
        np.put_along_axis(V, drop, 0, axis=1)
        return V
    sizes = np.diff(V.indptr)
    too_long = sizes > n_kept
    entries = np.flatnonzero(np.repeat(too_long, sizes))
    row_sizes = sizes[too_long]
    rows = np.repeat(np.arange(row_sizes.size), row_sizes)
    # The bits of non-negative floats are ordered as the floats are: one sort of integers (row, magnitude
    # descending) yields the smallest magnitude to keep in every row.
    magnitude = np.abs(V.data[entries]).view(np.uint32)
    key = (rows.astype(np.uint64) << np.uint64(32)) | ~magnitude
    key.sort()
    threshold = ~key[np.cumsum(row_sizes) - row_sizes + n_kept - 1].astype(np.uint32)
    threshold = np.repeat(threshold, row_sizes)
    keep = magnitude > threshold
    n_free = n_kept - np.bincount(rows[keep], minlength=row_sizes.size)
    tied = np.flatnonzero(magnitude == threshold)
    tied = tied[np.lexsort((V.indices[entries[tied]], rows[tied]))]
    n_tied = np.bincount(rows[tied], minlength=row_sizes.size)
    rank = positions_in_runs(n_tied)
    keep[tied[rank < n_free[rows[tied]]]] = True
    dropped = np.zeros(V.nnz, dtype=bool)
    dropped[entries] = ~keep
    V.data[dropped] = 0
    V.eliminate_zeros()
    return V
