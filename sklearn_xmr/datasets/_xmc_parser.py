"""Parser behind `load_xmc_file`: whole blocks at a time, with the line of the first error."""

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.utils._validation import as_csr_array

_BLOCK = 1 << 22  # bytes parsed at a time; bounds the memory of the token lists
_MAX_EXACT = 1 << 53  # indices are read as float64
_NEWLINE, _SPACE, _COMMA, _COLON = b"\n ,:"
_TO_SPACES = bytes.maketrans(b"\n,:", b"   ")
_FOREIGN = (b"_", b"\t", b"\v", b"\f", b"\r")  # float() takes them in numbers, the format does not
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
            f"n_samples n_features n_labels, got {_text(b' '.join(header))}. Files with labels and "
            "features apart, and compressed ones other than .gz, are not read."
        )
    if max(map(len, header)) > 16 or max(map(int, header)) >= _MAX_EXACT:
        raise ValueError(f"{name}, line 1: the header must hold numbers below {_MAX_EXACT}.")
    n_samples, n_features, n_labels = map(int, header)
    blocks, n_rows = [], 0
    while block := stream.read(_BLOCK):
        block = (block + stream.readline()).replace(b"\r\n", b"\n")
        if not block.endswith(b"\n"):
            block += b"\n"
        block, excess = _cut_after(block, n_samples - n_rows)
        if block:
            blocks.append(_parse_block(block, n_rows, n_features, n_labels, dtype, name))
            n_rows += blocks[-1][0].shape[0]
        if excess:
            raise ValueError(f"{name}, line {n_rows + 1 + excess}: more rows than the header says.")
    if n_rows != n_samples:
        raise ValueError(
            f"{name}: the header says {n_samples} rows, but the file ends after line {n_rows + 1} "
            f"with {n_rows}."
        )
    if not blocks:
        return sp.csr_array((0, n_features), dtype=dtype), sp.csr_array((0, n_labels), dtype=np.float32)
    X, Y = (sp.vstack(parts, format="csr") for parts in zip(*blocks, strict=True))
    return X, Y


def _cut_after(block, n_wanted):
    """The first rows, and the number of the first line after them that is not blank, or 0."""
    if block.count(b"\n") <= n_wanted:
        return block, 0
    lines = block.split(b"\n", n_wanted)
    rest = lines.pop()
    excess = 1 + len(rest) - len(rest.lstrip(b"\n")) if rest.strip(b"\n") else 0
    return b"".join(line + b"\n" for line in lines), excess


def _parse_block(block, n_rows, n_features, n_labels, dtype, name):
    """Features and labels of whole lines, or the first line that is wrong."""
    chars = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero((chars == _NEWLINE) | (chars == _SPACE) | (chars == _COMMA) | (chars == _COLON))
    after = chars[ends]  # the separator that ends each token, which may be empty
    before = np.concatenate([[_NEWLINE], after[:-1]])
    starts = np.concatenate([[0], ends[:-1] + 1])
    rows = np.cumsum(before == _NEWLINE) - 1

    errors = []  # the first row that fails each check

    def refuse(wrong, what):
        if wrong.any():
            i = int(np.argmax(wrong))
            token = _text(block[starts[i] : ends[i]])
            errors.append((rows[i], what(i).format(token=token)))

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
    n_good = rows[-1] + 1
    if errors:  # what comes before them may still hold something twice
        n_good = min(row for row, _ in errors)
        good = rows < n_good
        rows, kind, numbers, values = (tokens[good] for tokens in (rows, kind, numbers, values))
    features, labels = kind == _FEATURE, kind == _LABEL
    ones = np.ones(np.count_nonzero(labels), np.float32)
    X = _build_csr(
        rows[features], numbers[features], values[kind == _VALUE], (n_good, n_features), "feature", errors
    )
    Y = _build_csr(rows[labels], numbers[labels], ones, (n_good, n_labels), "label", errors)
    if errors:
        row, error = min(errors, key=lambda each: each[0])
        raise ValueError(f"{name}, line {n_rows + row + 2}: {error}.")
    return X, Y


def _parse_numbers(block, n_tokens):
    """All tokens as float64; what is not a number becomes NaN."""
    tokens = list(filter(None, block.translate(_TO_SPACES).split(b" ")))
    if not any(char in block for char in _FOREIGN):
        try:
            return np.fromiter(map(float, tokens), np.float64, n_tokens)
        except ValueError:
            pass  # some token is no number: find out which
    return np.array([_float_or_nan(token) for token in tokens])


def _float_or_nan(token):
    try:
        return np.nan if any(char in token for char in _FOREIGN) else float(token)
    except ValueError:
        return np.nan


def _build_csr(rows, indices, data, shape, what, errors):
    """CSR matrix with sorted indices; the first row that holds one twice is added to the errors."""
    indptr = np.append(0, np.cumsum(np.bincount(rows, minlength=shape[0])))
    matrix = as_csr_array(sp.csr_array((data, indices.astype(np.int64), indptr), shape=shape))
    matrix.sort_indices()
    twice = np.flatnonzero((rows[1:] == rows[:-1]) & (matrix.indices[1:] == matrix.indices[:-1]))
    if twice.size:
        errors.append((rows[twice[0]], f"{what} {matrix.indices[twice[0]]} occurs more than once"))
    return matrix


def _text(token):
    return repr(token[:40].decode("ascii", "backslashreplace"))
