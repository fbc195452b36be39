"""Read and write the text format of the Extreme Classification Repository."""

import gzip
import os
import zlib

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array

from sklearn_xmr.datasets._xmc_parser import read_xmc_stream
from sklearn_xmr.utils._validation import check_label_matrix, check_sparse_structure


def load_xmc_file(path, *, dtype=np.float32):
    """Load a file in the format of the Extreme Classification Repository.

    The first line holds ``n_samples n_features n_labels``. Each further line is one sample: its labels,
    separated by commas (nothing if it has none), then ``index:value`` pairs, each after a space. All
    indices start at 0.

    Parameters
    ----------
    path : str, bytes or path-like
        File to read; decompressed if the name ends in ``.gz``.
    dtype : {np.float32, np.float64}, default=np.float32
        Dtype of the feature values.

    Returns
    -------
    X : csr_array of shape (n_samples, n_features)
        Features, indices sorted. Zeros written in the file are stored.
    Y : csr_array of shape (n_samples, n_labels), dtype float32
        Label indicators.

    Raises
    ------
    ValueError
        If the file breaks the format: the message names the file and the line, counted from 1. Refused
        are a header that is not three non-negative integers, more or fewer rows than it says, blank
        lines (a sample without labels and features is a line with one space), indices that are not
        integers in range, values that are not finite numbers, and a label or feature that a row holds
        twice. Feature indices and labels may come in any order.

    See Also
    --------
    dump_xmc_file : Write this format.

    References
    ----------
    .. [1] K. Bhatia, K. Dahiya, H. Jain, P. Kar, A. Mittal, Y. Prabhu and M. Varma, "The extreme
       classification repository: multi-label datasets and code", 2016.
       http://manikvarma.org/downloads/XC/XMLRepository.html

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn_xmr.datasets import load_xmc_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "train.txt")
    ...     with open(path, "w") as file:
    ...         _ = file.write("2 4 3\\n0,2 1:0.5 3:2\\n 0:1\\n")
    ...     X, Y = load_xmc_file(path)
    >>> X.toarray()
    array([[0. , 0.5, 0. , 2. ],
           [1. , 0. , 0. , 0. ]], dtype=float32)
    >>> Y.toarray()
    array([[1., 0., 1.],
           [0., 0., 0.]], dtype=float32)
    """
    path = os.fsdecode(path)
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rb") as stream:
        try:
            return read_xmc_stream(stream, path, dtype=dtype)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: not a complete gzip file: {error}") from error


def dump_xmc_file(X, Y, path):
    """Write a data set in the format of the Extreme Classification Repository.

    Parameters
    ----------
    X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
        Features. Stored entries are written, stored zeros included, with as many digits as it takes to
        read back the same float32 or float64.
    Y : {array-like, sparse matrix, sparse array} of shape (n_samples, n_labels)
        Label indicators.
    path : str, bytes or path-like
        File to write; compressed if the name ends in ``.gz``. An existing file is replaced.

    Raises
    ------
    ValueError
        If X holds NaN, infinity or a column index out of range, Y anything but 0 and 1, or their numbers
        of rows differ.

    See Also
    --------
    load_xmc_file : Read this format.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn_xmr.datasets import dump_xmc_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "train.txt")
    ...     dump_xmc_file([[0, 0.5], [1, 0]], [[1, 0, 1], [0, 0, 0]], path)
    ...     with open(path) as file:
    ...         print(file.read())
    2 2 3
    0,2 1:0.5
     0:1
    """
    check_sparse_structure(X, "X")
    X = check_array(
        X,
        accept_sparse="csr",
        dtype=[np.float64, np.float32],
        ensure_min_samples=0,
        ensure_min_features=0,
        input_name="X",
    )
    X = sp.csr_array(X)
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    Y = check_label_matrix(Y, n_samples=X.shape[0], input_name="Y")
    path = os.fsdecode(path)
    # Nine digits of a float32 stay clear of the midpoint between two float32 numbers, so that reading
    # them as float64 first cannot round to the wrong one; the shortest digits do not promise that.
    text_of = "{:.9g}".format if X.dtype == np.float32 else "{:.17g}".format
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "wb") as stream:
        stream.write(f"{X.shape[0]} {X.shape[1]} {Y.shape[1]}\n".encode())
        for i in range(X.shape[0]):
            labels = ",".join(map(str, Y.indices[Y.indptr[i] : Y.indptr[i + 1]].tolist()))
            row = slice(X.indptr[i], X.indptr[i + 1])
            pairs = zip(X.indices[row].tolist(), map(text_of, X.data[row].tolist()), strict=True)
            features = " ".join(f"{j}:{value}" for j, value in pairs)
            # the space stays in a row without labels or without features: a blank line is no row
            stream.write(f"{labels} {features}\n".encode())
