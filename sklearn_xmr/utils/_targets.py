"""Every form of y that scikit-learn knows for classification, as one label matrix, and back."""

import warnings
from collections.abc import Set
from dataclasses import dataclass
from numbers import Number, Real

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from sklearn_xmr.utils._sklearn_private import check_sample_weight
from sklearn_xmr.utils._sparse_entries import contains_entries
from sklearn_xmr.utils._validation import BINARIZER_HINT, as_array, check_label_matrix


@dataclass(frozen=True)
class TargetForm:
    """What y looked like, so that answers can look the same.

    Attributes
    ----------
    kind : {"binary", "multiclass", "multilabel"}
        One-dimensional with at most two classes, with more, or an indicator matrix.
    is_sparse, is_sparray : bool
        Whether y was sparse, and whether a sparse array rather than a sparse matrix.
    """

    kind: str
    is_sparse: bool = False
    is_sparray: bool = False

    def wrap(self, matrix):
        """A csr_array in the container that y came in."""
        if not self.is_sparse:
            return matrix.toarray()
        return matrix if self.is_sparray else sp.csr_matrix(matrix)

    def decisions(self, scores, threshold):
        """Answer of ``decision_function``, from the scores of labels as a csr_array."""
        scores = self.wrap(scores)
        if self.is_sparse or self.kind == "multiclass":
            return scores
        if self.kind == "multilabel":
            return scores - _check_threshold(threshold)
        return scores[:, -1] - scores[:, 0] if scores.shape[1] == 2 else scores[:, 0]

    def label_sets(self, scores, threshold):
        """Indicator of the labels that score above the threshold; takes over the csr_array of scores."""
        scores.data = (scores.data > _check_threshold(threshold)).astype(np.int64)
        scores.eliminate_zeros()
        return self.wrap(scores)


def _check_threshold(threshold):
    """The parameter as it is read, which may have been set after fit, in the type of scores."""
    if not (isinstance(threshold, Real) and 0 <= threshold <= 1):
        raise ValueError(f"threshold must be a number between 0 and 1, got {threshold!r}.")
    return np.float32(threshold)


def check_truth(y, n_samples, n_labels):
    """Label matrix of the true labels of predictions, of as many columns as there were labels in fit.

    Raises
    ------
    ValueError
        If y is no such indicator.
    """
    Y = check_label_matrix(y, n_samples=n_samples)
    if Y.shape[1] != n_labels:
        raise ValueError(f"y must have {n_labels} columns, got shape {Y.shape}.")
    return Y


def share_of_hits(best, y, classes, form, sample_weight=None):
    """Share of rows whose best label is one of theirs, in [0, 1].

    Parameters
    ----------
    best : ndarray of shape (n_samples,)
        Best label of each row, -1 for none.
    y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape (n_samples, n_labels)
        True classes or labels, in the form of the y of fit.
    classes : ndarray of shape (n_labels,)
        Class of each label.
    form : TargetForm
    sample_weight : array-like of shape (n_samples,), default=None
        Weight of each row in the mean.

    Raises
    ------
    ValueError
        If y differs in its number of rows or in its form, or a weight is negative.
    """
    if form.kind == "multilabel":
        Y = check_truth(y, best.size, classes.size)
        hits = contains_entries(Y, np.arange(best.size), best)
    else:
        y = column_or_1d(y, warn=True)
        if y.size != best.size:
            raise ValueError(f"X and y must have the same number of rows, got {best.size} and {y.size}.")
        _check_classes(y)
        if not _are_alike(y[0], classes[0]):
            raise ValueError(
                f"y must have classes like those of fit, such as {classes[0]!r}, got {y[0]!r}."
            )
        hits = (classes[best] == y) & (best >= 0)
    if sample_weight is not None:
        sample_weight = check_sample_weight(sample_weight, best, ensure_non_negative=True)
    return float(np.average(hits.astype(np.float64), weights=sample_weight))


def encode_targets(y, n_samples):
    """Label matrix of a classification target.

    Parameters
    ----------
    y : array-like of shape (n_samples,), or {array-like, sparse matrix} of shape (n_samples, n_labels)
        Class of each row, or multilabel indicator.
    n_samples : int
        Number of rows of X.

    Returns
    -------
    Y : csr_array of shape (n_samples, n_labels), dtype float32
        Ones where the row has the label.
    classes : ndarray of shape (n_labels,)
        Class of each column; for an indicator its column numbers.
    form : TargetForm

    Raises
    ------
    ValueError
        If y is missing, continuous, multioutput, not binary where it is an indicator, holds no
        positive at all, or has another number of rows than X.
    """
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None.")
    if sp.issparse(y):
        Y = check_label_matrix(y, n_samples=n_samples)
        form = TargetForm("multilabel", is_sparse=True, is_sparray=isinstance(y, sp.sparray))
        return _not_empty(Y), np.arange(Y.shape[1]), form
    y = as_array(y, "y") if not hasattr(y, "iloc") else y.to_numpy()
    if y.ndim == 2 and y.shape[1] == 1:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected. Please change the shape of y to "
            "(n_samples,), for example using ravel().",
            DataConversionWarning,
            stacklevel=4,
        )
        y = y.ravel()
    if y.ndim == 0 or y.shape[0] != n_samples:
        raise ValueError(
            f"X and y must have the same number of rows, got {n_samples} rows in X and y of shape "
            f"{y.shape}."
        )
    if y.ndim > 1:
        _check_finite(y)
        Y = check_label_matrix(y, n_samples=n_samples)
        return _not_empty(Y), np.arange(Y.shape[1]), TargetForm("multilabel")
    Y, classes = encode_classes(y)
    return Y, classes, TargetForm("binary" if classes.size <= 2 else "multiclass")


def rows_that_count(sample_weight, Y):
    """Numbers of the rows whose weight is not 0, ascending.

    Raises
    ------
    ValueError
        If there are none, none of them has a label, or a weight does not fit into float32.
    """
    rows = np.flatnonzero(sample_weight)
    if rows.size == 0:
        raise ValueError("sample_weight must be positive for at least one row, got only zeros.")
    if sample_weight.max() > np.finfo(np.float32).max:
        raise ValueError(f"sample_weight must fit into float32, got {sample_weight.max():g}.")
    if not np.diff(Y.indptr)[rows].any():
        raise ValueError("sample_weight must be positive for at least one row with a label.")
    return rows


def encode_classes(y):
    """Indicator of one class per row.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Classes; finite where they are floats.

    Returns
    -------
    Y : csr_array of shape (n_samples, n_classes), dtype float32
    classes : ndarray of shape (n_classes,)
        Sorted.

    Raises
    ------
    ValueError
        If y is not a classification target, a class is missing, or classes are of types that do not
        compare.
    """
    _check_classes(y)
    classes, codes = np.unique(y, return_inverse=True)
    Y = sp.csr_array(
        (np.ones(y.size, np.float32), codes.astype(np.int32), np.arange(y.size + 1)),
        shape=(y.size, classes.size),
    )
    return Y, classes


def _check_classes(y):
    """Refuse what are no classes; see `encode_classes`."""
    _check_finite(y)
    if y.dtype.kind in "OmM":
        missing = [_is_missing(value) for value in y]
        if any(missing):
            raise ValueError(f"y must have a class for each row, got {y[np.argmax(missing)]!r}.")
    if y.dtype.kind == "O":
        for value in y:
            if isinstance(value, (Set, list, tuple)):
                raise ValueError(f"y must have one class for each row, got {value!r}; {BINARIZER_HINT}.")
        try:
            np.unique(y)
        except TypeError as error:
            raise ValueError(f"y must have classes that can be sorted: {error}.") from error
    check_classification_targets(y)


def _check_finite(y):
    if y.dtype.kind == "f" and not np.all(np.isfinite(y)):
        raise ValueError("Input y contains NaN or infinity.")


def _are_alike(value, known):
    """Whether two classes are both texts, both numbers, or both something else."""
    kinds = (str, (Number, np.bool_))
    return all(isinstance(value, kind) == isinstance(known, kind) for kind in kinds)


def _is_missing(value):
    """Whether a value is None, NaN, NaT, or pandas' NA, which is neither equal to itself nor not."""
    try:
        return value is None or bool(value != value)
    except TypeError:
        return True


def _not_empty(Y):
    if Y.nnz == 0:
        raise ValueError(f"y holds no positive label at all (shape {Y.shape}): there is nothing to learn.")
    return Y
