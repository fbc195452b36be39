"""Checks of arguments that scikit-learn does not have."""

import numbers
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Set

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from sklearn_xmr.utils._csr_fast import is_clean

MAX_INT32 = np.iinfo(np.int32).max
#: For who passes lists of labels.
BINARIZER_HINT = (
    "sklearn.preprocessing.MultiLabelBinarizer(sparse_output=True) turns lists of labels into an indicator "
    "matrix"
)


def check_label_matrix(Y, *, n_samples=None, input_name="y"):
    """Bring a multilabel indicator matrix into the one form the library works on.

    Parameters
    ----------
    Y : {array-like, sparse matrix, sparse array} of shape (n_samples, n_labels)
        Entries 0 and 1, of any numeric or boolean dtype.
    n_samples : int, default=None
        Number of rows wanted; not checked if None.
    input_name : str, default="y"
        Name of the argument in error messages.

    Returns
    -------
    Y : csr_array of shape (n_samples, n_labels), dtype float32
        A copy or a new view, with int32 column indices, sorted, without duplicates or stored zeros;
        every stored value is 1.

    Raises
    ------
    ValueError
        If Y is not two-dimensional, has another number of rows than wanted, has no column, or holds
        anything but 0 and 1.
    """
    if sp.issparse(Y):
        check_sparse_structure(Y, input_name)
        if Y.ndim != 2:
            raise ValueError(f"{input_name} must be two-dimensional, got {Y.ndim} dimension(s).")
        kind = Y.dtype.kind
    else:
        Y = as_array(Y, input_name)
        if Y.ndim != 2:
            raise ValueError(
                f"{input_name} must be an indicator matrix of shape (n_samples, n_labels), "
                f"got an array of shape {Y.shape}."
            )
        Y = as_numbers(Y)
        kind = Y.dtype.kind
    if kind not in "biuf":
        hint = f"; {BINARIZER_HINT}" if kind in "OSU" else ""
        raise ValueError(f"{input_name} must be numeric or boolean, got dtype {Y.dtype}{hint}.")
    if n_samples is not None and Y.shape[0] != n_samples:
        raise ValueError(
            f"X and {input_name} must have the same number of rows, got {n_samples} rows in X and "
            f"{input_name} of shape {Y.shape}."
        )
    if Y.shape[1] == 0:
        raise ValueError(f"{input_name} must have at least one label (column), got shape {Y.shape}.")
    csr = sp.csr_array(Y, dtype=np.float64)
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    if np.any(csr.data == 0):
        csr = csr.copy()
        csr.eliminate_zeros()
    wrong = csr.data[csr.data != 1]
    if wrong.size:
        raise ValueError(
            f"{input_name} must contain only 0 and 1, got the value {wrong[0]:g} "
            f"({wrong.size} such entries). If these are numbers of labels, {BINARIZER_HINT}."
        )
    return as_csr_array(
        sp.csr_array((np.ones(csr.nnz, np.float32), csr.indices, csr.indptr), shape=csr.shape)
    )


def as_numbers(array):
    """An array of Python objects as float64 if they are numbers, anything else as it is.

    Columns of pandas' nullable types come as objects.
    """
    if array.dtype.kind != "O" or any(isinstance(value, (str, bytes)) for value in array.ravel()):
        return array
    try:
        return array.astype(np.float64)
    except (OverflowError, TypeError, ValueError):
        return array


def as_csr_array(X):
    """CSR matrix as csr_array, its indices int32 wherever that suffices; copies only what it must."""
    index_dtype = np.int32 if max(X.nnz, *X.shape) <= MAX_INT32 else np.int64
    indices, indptr = (array.astype(index_dtype, copy=False) for array in (X.indices, X.indptr))
    return sp.csr_array((X.data, indices, indptr), shape=X.shape)


def check_sparse_structure(X, name):
    """Refuse a sparse matrix that points outside of itself: kernels trust it, and so does SciPy.

    Comes before any conversion, which would read what it points at.

    Parameters
    ----------
    X : object
        What is not sparse is left to other checks.
    name : str
        Of the argument, for the message.

    Raises
    ------
    ValueError
        If there is not one pointer for each row (column, block of rows) and one more, they do not rise from
        0 to at most the number of entries, or an index is out of range.
    """
    if not sp.issparse(X):
        return
    if X.format == "coo":
        for axis, (indices, length) in enumerate(zip(X.coords, X.shape, strict=True)):
            kind = "column" if axis == X.ndim - 1 else "row"
            _check_indices(indices, length, kind, name)
        return
    if X.format == "lil":
        X = X.tocsr()  # which copies what the lists say, without a look
    if X.format not in ("csr", "csc", "bsr"):
        return
    height, width = X.blocksize if X.format == "bsr" else (1, 1)
    n_runs, length, kind = (X.shape[0] if X.ndim == 2 else 1) // height, X.shape[-1] // width, "column"
    if X.format == "csc":
        n_runs, length, kind = length, n_runs, "row"
    indptr, n_entries = X.indptr, min(X.indices.size, X.data.shape[0])
    if indptr.size != n_runs + 1:
        raise ValueError(f"{name} must have {n_runs + 1} pointers (indptr), got {indptr.size}.")
    if indptr[0] != 0 or indptr[-1] > n_entries or np.any(indptr[1:] < indptr[:-1]):
        raise ValueError(
            f"{name} must have pointers (indptr) that start at 0, never fall and end at the number of "
            f"entries, {n_entries}, got {reprlib.repr(indptr.tolist())}."
        )
    _check_indices(X.indices, length, kind, name)


def _check_indices(indices, length, kind, name):
    # one pass: as unsigned numbers, negative indices are the largest
    native = indices.astype(indices.dtype.newbyteorder("="), copy=False)
    unsigned = native.view(f"u{native.itemsize}")
    if unsigned.size and unsigned.max() >= length:
        wrong = indices[np.argmax(unsigned >= length)]
        raise ValueError(f"{name} must have {kind} indices in [0, {length}), got {wrong}.")


def check_feature_names(X):
    """Refuse columns with names of which only some are texts, before a long fit and not at its end.

    Raises
    ------
    TypeError
        As scikit-learn words it.
    """
    if not (isinstance(X, (list, tuple)) and len(X) == 0):  # scikit-learn looks into the first row
        validate_data(BaseEstimator(), X, skip_check_array=True)


def is_clean_csr(X, n_columns):
    """Whether X is a CSR matrix that the kernels can read as it is.

    Parameters
    ----------
    X : object
    n_columns : int

    Returns
    -------
    clean : bool
        True for a float32 CSR matrix or array with int32 indices, `n_columns` columns, at least one row,
        contiguous arrays, nothing out of range and only finite values.
    """
    return (
        isinstance(X, (sp.csr_matrix, sp.csr_array))
        and X.data.dtype == np.float32
        and X.indices.dtype == np.int32
        and X.indptr.dtype == np.int32
        and X.ndim == 2
        and X.shape[1] == n_columns
        and X.shape[0] > 0
        and X.indptr.size == X.shape[0] + 1
        and X.indptr.flags.c_contiguous
        and X.data.flags.c_contiguous
        and X.indices.flags.c_contiguous
        and is_clean(X.indptr, X.indices, X.data, n_columns)
    )


def as_kernel_array(array, dtype):
    """An array as the kernels read it: contiguous, and aligned, which parts of mapped files need not be."""
    array = np.ascontiguousarray(array, dtype=dtype)
    return array if array.flags.aligned else array.copy()


def as_array(values, name):
    """`values` as ndarray; rows of different lengths are refused by the argument's name.

    Raises
    ------
    ValueError
        If `values` is a ragged sequence.
    """
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{name} must be an array, got rows of different lengths; {BINARIZER_HINT}."
        ) from error


def check_positive_int(value, name):
    """Return `value` as an int of at least 1; otherwise say what came.

    Raises
    ------
    TypeError
        If `value` is not an integer.
    ValueError
        If `value` is below 1.
    """
    if type(value) is not int and (  # first what takes no time to see
        not isinstance(value, numbers.Integral) or isinstance(value, (bool, np.bool_))
    ):
        raise TypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}.")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}.")
    return int(value)


def check_positive_ints(values, name):
    """Return `values` as a list of one int or more, each of at least 1; otherwise say what came.

    Raises
    ------
    TypeError
        If `values` cannot be iterated over, or one is not an integer.
    ValueError
        If there is none, or one is below 1.
    """
    if not isinstance(values, Iterable):
        raise TypeError(f"{name} must be an array-like of integers, got {values!r}.")
    values = [check_positive_int(value, name) for value in values]
    if not values:
        raise ValueError(f"{name} must hold at least one integer, got none.")
    return values


def to_read_again(X):
    """X, or the list of what an iterator gives, such as a generator of texts, which gives it once."""
    return list(X) if isinstance(X, Iterator) else X


def as_kernel_csr(X):
    """The arrays of a matrix as the kernels read them.

    Parameters
    ----------
    X : {ndarray, sparse matrix, sparse array} of shape (n_rows, n_columns)
        Already validated.

    Returns
    -------
    indptr : ndarray of shape (n_rows + 1,), dtype int64
    indices : ndarray of shape (nnz,), dtype int32
    data : ndarray of shape (nnz,), dtype float32
        No copy of what already has the right type.
    """
    if X.shape[1] > MAX_INT32:
        raise ValueError(f"At most {MAX_INT32} columns are supported, got {X.shape[1]}.")
    if isinstance(X, np.ndarray):  # a tenth of the time that scipy takes
        stored = X != 0
        indptr = np.append(0, np.cumsum(np.count_nonzero(stored, axis=1), dtype=np.int64))
        columns = np.broadcast_to(np.arange(X.shape[1], dtype=np.int32), X.shape)
        return indptr, columns[stored], X[stored].astype(np.float32, copy=False)
    if X.format != "csr":
        X = sp.csr_array(X)
    # not by three calls of as_kernel_array, which take as long as a twentieth of a search for one row
    indptr = np.ascontiguousarray(X.indptr, dtype=np.int64)
    indices = np.ascontiguousarray(X.indices, dtype=np.int32)
    data = np.ascontiguousarray(X.data, dtype=np.float32)
    if not (indptr.flags.aligned and indices.flags.aligned and data.flags.aligned):
        return indptr.copy(), indices.copy(), data.copy()
    return indptr, indices, data


def as_kernel_csc(Y):
    """Column pointers (int64) and row indices (int32) of a sparse pattern."""
    csc = sp.csc_array(Y)
    return (
        as_kernel_array(csc.indptr, np.int64),
        as_kernel_array(csc.indices, np.int32),
    )


def as_float32(X):
    """Validated X in the precision that the library computes in.

    Parameters
    ----------
    X : {ndarray, sparse matrix, sparse array} of shape (n_samples, n_features)

    Returns
    -------
    X : {ndarray, csr_array} of shape (n_samples, n_features), dtype float32

    Raises
    ------
    ValueError
        If a finite value overflows float32.
    """
    with np.errstate(over="ignore"):
        X = sp.csr_array(X, dtype=np.float32) if sp.issparse(X) else np.asarray(X, dtype=np.float32)
    values = X.data if sp.issparse(X) else X
    if values.size and not np.isfinite(np.abs(values).max()):
        raise ValueError("X must fit into float32, got a value beyond 3.4e38.")
    return X


def check_allowed_labels(labels, n_samples, n_labels):
    """Bring an allowed-labels mask into the form that the search takes.

    Parameters
    ----------
    labels : array-like of int of shape (n_allowed,) or of bool of shape (n_labels,), or {array-like, \
            sparse matrix} of shape (n_samples, n_labels)
        Label numbers allowed for every row, or whether each label is; or an indicator of the labels allowed
        for each row.
    n_samples, n_labels : int

    Returns
    -------
    mask : csr_array of shape (1, n_labels) or (n_samples, n_labels)

    Raises
    ------
    ValueError
        If a number is out of range or the indicator has another shape.
    TypeError
        If label numbers are not integers.
    """
    if not sp.issparse(labels):
        labels = as_array(labels, "labels")
    if labels.ndim == 2:
        mask = check_label_matrix(labels, n_samples=n_samples, input_name="labels")
        if mask.shape[1] != n_labels:
            raise ValueError(f"labels must have {n_labels} columns, one per label, got shape {mask.shape}.")
        return mask
    if labels.ndim != 1 or sp.issparse(labels):
        raise ValueError(
            "labels must be an array of label numbers (1-D) or an indicator (2-D), got "
            f"{'a sparse array of ' if sp.issparse(labels) else ''}{labels.ndim} dimension(s)."
        )
    if labels.dtype == bool and labels.size == n_labels:
        labels = np.flatnonzero(labels)
    if labels.size and labels.dtype.kind not in "iu":
        raise TypeError(
            f"labels must be integers, or {n_labels} of bool, got shape {labels.shape} and dtype "
            f"{labels.dtype}."
        )
    labels = np.unique(labels)
    if labels.size and (labels[0] < 0 or labels[-1] >= n_labels):
        raise ValueError(
            f"labels must be in [0, {n_labels}), got {labels[0] if labels[0] < 0 else labels[-1]}."
        )
    return sp.csr_array(
        (np.ones(labels.size, np.float32), labels.astype(np.int64), [0, labels.size]), shape=(1, n_labels)
    )


def check_texts(texts, name):
    """Texts as a list; anything but strings is refused."""
    n_dims = getattr(texts, "ndim", 1)  # not np.ndim, which would copy a list to the width of its longest
    if not hasattr(texts, "__iter__"):
        raise TypeError(f"{name} must be a one-dimensional sequence of str, got {texts!r}.")
    if isinstance(texts, (str, Set, Mapping)) or n_dims != 1:
        raise ValueError(
            f"{name} must be a one-dimensional sequence of str, got {n_dims} dimension(s) and type "
            f"{type(texts).__name__}."
        )
    texts = list(texts)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(
                f"{name}[{i}] must be a str, got {text!r} of type {type(text).__name__}; an empty str "
                "stands for no text."
            )
        try:
            text.encode()
        except UnicodeEncodeError as error:  # a lone surrogate, which tokenizers cannot take
            raise ValueError(f"{name}[{i}] must be valid Unicode, got {text!r}: {error}.") from error
    return texts
