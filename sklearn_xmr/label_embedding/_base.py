"""What all label embeddings share: the contract, the reading of y, unit rows."""

from abc import ABC, abstractmethod

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import normalize
from sklearn.utils import assert_all_finite
from sklearn.utils.extmath import row_norms
from sklearn.utils.validation import check_is_fitted

from sklearn_xmr.utils._doc_link import DocLinkMixin
from sklearn_xmr.utils._sklearn_private import validate_estimator_params
from sklearn_xmr.utils._targets import encode_classes
from sklearn_xmr.utils._validation import as_array, check_label_matrix


class BaseLabelEmbedding(  # type: ignore[call-arg]
    DocLinkMixin, TransformerMixin, BaseEstimator, ABC, auto_wrap_output_keys=None
):
    """Transformer from n_samples labelled instances to one unit row per label.

    A subclass implements ``_embed(X, y)``, which validates both, sets nothing on the estimator and
    returns the rows, not yet of unit length, and a dict of further fitted attributes.
    """

    def __init_subclass__(cls, **kwargs):
        # the rows of the result are labels, so the index of a DataFrame X must never be put on them
        super().__init_subclass__(**{**kwargs, "auto_wrap_output_keys": None})

    def fit(self, X, y=None):
        """Embed the labels and keep the result.

        Parameters
        ----------
        X : object with n_samples rows or None
            Not used except for a check of its number of rows.
        y : {array-like, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
            Indicator matrix of zeros and ones, or one class per row; the labels are then the sorted
            distinct classes.

        Returns
        -------
        self : object
            The fitted embedding.
        """
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X, y=None):
        """Embed the labels.

        Parameters
        ----------
        X : object with n_samples rows or None
            Not used except for a check of its number of rows.
        y : {array-like, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
            Indicator matrix of zeros and ones, or one class per row; the labels are then the sorted
            distinct classes.

        Returns
        -------
        Z : {ndarray, csr_array} of shape (n_labels, n_dims), dtype float32
            One unit or zero row per label; the object kept as ``embedding_``.
        """
        validate_estimator_params(self)
        Z, attributes = self._embed(X, y)
        return self._keep(unit_rows(Z), attributes)

    def transform(self, X):
        """Not available: this embedding has no place for instances.

        Parameters
        ----------
        X : object
            Ignored.

        Raises
        ------
        NotFittedError
            If the embedding is not fitted.
        NotImplementedError
            Otherwise. The method exists because every step of a pipeline needs one.
        """
        check_is_fitted(self)
        raise NotImplementedError(
            f"{type(self).__name__} places labels only, so it cannot transform instances; the label "
            "vectors are the result of fit_transform and the attribute embedding_. PIFA has a "
            "transform for instances."
        )

    @abstractmethod
    def _embed(self, X, y):
        """Rows of the labels, not yet of unit length, and a dict of further fitted attributes."""

    def _keep(self, Z, attributes):
        for name, value in attributes.items():
            setattr(self, name, value)
        self.embedding_ = Z
        self.has_embedding_ = nonzero_rows(Z)
        return Z

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def label_indicator(X, y, *, name, need_positive=True):
    """Bring y into the form of `check_label_matrix`, one column per label.

    Parameters
    ----------
    X : object with n_samples rows or None
        Only its number of rows is looked at; None skips that.
    y : {array-like, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
        Indicator matrix, or one class per row.
    name : str
        Name of the estimator for error messages.
    need_positive : bool, default=True
        Whether to refuse a y without any positive.

    Returns
    -------
    Y : csr_array of shape (n_samples, n_labels), dtype float32

    Raises
    ------
    ValueError
        If y is missing, is neither of the two forms, differs from X in its number of rows, or holds no
        positive though one is needed.
    """
    if y is None:
        raise ValueError(f"{name} requires y to be passed, but the target y is None.")
    if not sp.issparse(y):
        y = as_array(y, "y")
        if y.ndim == 1:
            if y.dtype.kind == "f":
                assert_all_finite(y, input_name="y")
            y, _ = encode_classes(y)
    Y = check_label_matrix(y, n_samples=None if X is None else _n_rows(X))
    if need_positive and Y.nnz == 0:
        raise ValueError(f"y must hold at least one positive label, got none in shape {Y.shape}.")
    return Y


def unit_rows(Z):
    """Scale rows to unit l2 norm, in place; zero rows stay.

    Parameters
    ----------
    Z : {ndarray, csr_array} of shape (n_rows, n_dims), dtype float32
        Overwritten. Without duplicates if sparse; stored zeros are removed.

    Returns
    -------
    Z : {ndarray, csr_array} of shape (n_rows, n_dims), dtype float32

    Raises
    ------
    ValueError
        If an entry is infinite.
    """
    if sp.issparse(Z):
        Z.eliminate_zeros()
    # squares of single precision leave its range long before the values do
    squares = row_norms(Z, squared=True)
    for row in np.flatnonzero(nonzero_rows(Z) & ~((squares > 1e-30) & (squares < 1e30))):
        values = Z.data[Z.indptr[row] : Z.indptr[row + 1]] if sp.issparse(Z) else Z[row]
        peak = np.abs(values).max()
        if not np.isfinite(peak):
            raise ValueError(f"The vector of row {row} exceeds the range of float32; scale the input down.")
        values /= peak
    if sp.issparse(Z):
        return normalize(Z, copy=False)
    # not sklearn's normalize: it leaves dense rows shorter than about 1e-6 as they are
    norms = np.sqrt(np.einsum("ij,ij->i", Z, Z))
    norms[norms == 0] = 1
    Z /= norms[:, np.newaxis]
    return Z


def nonzero_rows(Z):
    """Which rows hold a nonzero entry: ndarray of bool, shape (n_rows,)."""
    return np.diff(Z.indptr) > 0 if sp.issparse(Z) else Z.any(axis=1)


def _n_rows(X):
    if hasattr(X, "shape"):
        return X.shape[0]
    return len(X) if hasattr(X, "__len__") else np.asarray(X).shape[0]
