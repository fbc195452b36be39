"""Parser behind `load_xmc_file`: whole blocks at a time, with the line of the first error."""

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.utils._validation import MAX_INT32

_BLOCK = 1 << 22  # bytes parsed at a time; bounds the memory of the token lists
_MAX_EXACT = 1 << 53  # indices are read as float64
_NEWLINE, _SPACE, _COMMA, _COLON = b"\n ,:"
_TO_SPACES = bytes.maketrans(b"\n,:", b"   ")
_LABEL, _FEATURE, _VALUE, _NOTHING = range(4)
_BLANK_LINE = "a blank line; a sample without labels and features is a line with one space"
_TOKEN_NAMES = ("label", "feature index", "feature value")


def read_xmc_stream(stream, name, *, dtype=np.float32):
    """Parse an open binary file; `name` is what error messages call it.

    Parameters
    ----------
    stream : binary file-like
        Positioned at the header.
    name : str
        Name for error messages.
    dtype : {np.float32, np.float64}, default=np.float32
        Dtype of the feature values.

    Returns
    -------
    X : csr_array of shape (n_samples, n_features)
    Y : csr_array of shape (n_samples, n_labels), dtype float32
    """
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, got {dtype}.")
    header = stream.readline().split()
    if len(header) != 3 or not all(field.isdigit() for field in header):
        raise ValueError(
            f"{name}, line 1: the header must be three non-negative integers, "
            f"n_samples n_features n_labels, got {_text(b' '.join(header))}."
        )
    n_samples, n_features, n_labels = map(int, header)
    if max(n_samples, n_features, n_labels) >= _MAX_EXACT:
        raise ValueError(f"{name}, line 1: the header must hold numbers below {_MAX_EXACT}.")
    blocks, n_rows = [], 0
    while block := stream.read(_BLOCK):
        block = (block + stream.readline()).replace(b"\r\n", b"\n")
        if not block.endswith(b"\n"):
            block += b"\n"
        block = _cut_after(block, n_samples - n_rows, n_rows, name)
        if block:
            blocks.append(_parse_block(block, n_rows, n_features, n_labels, dtype, name))
            n_rows += blocks[-1][0].size
    if n_rows != n_samples:
        raise ValueError(
            f"{name}: the header says {n_samples} rows, but the file ends after line {n_rows + 1} "
            f"with {n_rows}."
        )
    label_counts, labels, feature_counts, features, values = (
        np.concatenate(parts) if parts else np.empty(0, np.int64)
        for parts in (zip(*blocks, strict=True) if blocks else [()] * 5)
    )
    ones = np.ones(labels.size, np.float32)
    X = _build_csr(values.astype(dtype, copy=False), features, feature_counts, n_features, "feature", name)
    Y = _build_csr(ones, labels, label_counts, n_labels, "label", name)
    return X, Y


def _cut_after(block, n_wanted, n_rows, name):
    """Drop what follows the last row of the header's count, which may only be line ends."""
    if block.count(b"\n") <= n_wanted:
        return block
    lines = block.split(b"\n", n_wanted)
    rest = lines.pop()
    if rest.strip(b"\n"):
        if b"" in lines:
            raise ValueError(f"{name}, line {n_rows + lines.index(b'') + 2}: {_BLANK_LINE}.")
        line = n_rows + n_wanted + 2 + len(rest) - len(rest.lstrip(b"\n"))
        raise ValueError(f"{name}, line {line}: more rows than the header says.")
    return b"".join(line + b"\n" for line in lines)


def _parse_block(block, n_rows, n_features, n_labels, dtype, name):
    """Label counts, labels, feature counts, feature indices and values of whole lines."""
    chars = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero((chars == _NEWLINE) | (chars == _SPACE) | (chars == _COMMA) | (chars == _COLON))
    after = chars[ends]  # the separator that ends each token, which may be empty
    before = np.concatenate([[_NEWLINE], after[:-1]])
    starts = np.concatenate([[0], ends[:-1] + 1])
    rows = np.cumsum(before == _NEWLINE) - 1

    def refuse(wrong, what):
        if wrong.any():
            i = int(np.argmax(wrong))
            token = _text(block[starts[i] : ends[i]])
            raise ValueError(f"{name}, line {n_rows + rows[i] + 2}: {what(i).format(token=token)}.")

    kind = np.full(ends.size, _NOTHING)
    kind[(before == _NEWLINE) | (before == _COMMA)] = _LABEL
    kind[(before == _SPACE) & (after == _COLON)] = _FEATURE
    kind[before == _COLON] = _VALUE
    empty = starts == ends
    refuse(
        (before == _NEWLINE) & (after == _NEWLINE) & empty,
        lambda i: _BLANK_LINE,
    )
    # an empty list of labels is fine
    kind[empty & (before == _NEWLINE) & (after == _SPACE)] = _NOTHING
    refuse(
        ((kind == _NOTHING) & ~empty)  # a word between spaces
        | ((kind == _LABEL) & (after == _COLON))
        | ((kind == _VALUE) & (after != _SPACE) & (after != _NEWLINE))
        | ((before == _SPACE) & (after == _COMMA)),
        lambda i: "expected comma-separated labels, then index:value pairs, got {token} out of place",
    )
    digits = np.concatenate([[0], np.cumsum((chars >= ord("0")) & (chars <= ord("9")))])
    is_integer = (digits[ends] - digits[starts] == ends - starts) & ~empty
    refuse(
        (kind <= _FEATURE) & ~is_integer,
        lambda i: f"{_TOKEN_NAMES[kind[i]]} {{token}} is not a non-negative integer",
    )
    bounds = np.array([n_labels, n_features, 0, 0])
    numbers = np.full(ends.size, np.nan)
    numbers[~empty] = _parse_numbers(block, int(np.count_nonzero(~empty)))
    refuse(
        (kind <= _FEATURE) & (numbers >= bounds[kind]),
        lambda i: f"{_TOKEN_NAMES[kind[i]]} {{token}} is out of range, the header says {bounds[kind[i]]}",
    )
    with np.errstate(over="ignore"):
        values = numbers.astype(dtype)
    refuse(
        (kind == _VALUE) & ~np.isfinite(values),
        lambda i: f"feature value {{token}} is not a finite {dtype} number",
    )
    counts = [np.bincount(rows[kind == k], minlength=rows[-1] + 1) for k in (_LABEL, _FEATURE)]
    labels, features = (
        numbers[kind == k].astype(np.int32 if bounds[k] <= MAX_INT32 else np.int64)
        for k in (_LABEL, _FEATURE)
    )
    return counts[0], labels, counts[1], features, values[kind == _VALUE]


def _parse_numbers(block, n_tokens):
    """All tokens as float64; what is not a number becomes NaN."""
    tokens = list(filter(None, block.translate(_TO_SPACES).split(b" ")))
    if b"_" not in block:  # float() takes digit separators, the format does not
        try:
            return np.fromiter(map(float, tokens), np.float64, n_tokens)
        except ValueError:
            pass  # some token is no number: find out which
    return np.array([_float_or_nan(token) for token in tokens])


def _float_or_nan(token):
    try:
        return np.nan if b"_" in token else float(token)
    except ValueError:
        return np.nan


def _build_csr(data, indices, counts, n_columns, what, name):
    indptr = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    if indices.dtype == np.int32 and indptr[-1] <= MAX_INT32:
        indptr = indptr.astype(np.int32)
    matrix = sp.csr_array((data, indices, indptr), shape=(counts.size, n_columns))
    matrix.sort_indices()
    twice = np.flatnonzero(matrix.indices[1:] == matrix.indices[:-1])
    rows = np.searchsorted(indptr, twice, side="right") - 1
    same_row = twice + 1 < indptr[rows + 1]
    if same_row.any():
        i = int(np.argmax(same_row))
        raise ValueError(
            f"{name}, line {rows[i] + 2}: {what} {matrix.indices[twice[i]]} occurs more than once."
        )
    return matrix


def _text(token):
    return repr(token[:40].decode("ascii", "backslashreplace"))
