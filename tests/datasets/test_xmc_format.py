import gzip

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sklearn_xmr.datasets import _xmc_parser, dump_xmc_file, load_xmc_file


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "data.txt"
        path.write_bytes(text.encode())
        return path

    return write


def assert_same_csr(actual, expected):
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    assert_array_equal(actual.indptr, expected.indptr)
    assert_array_equal(actual.indices, expected.indices)
    assert_array_equal(actual.data, expected.data)


@st.composite
def problems(draw, dtype):
    n_samples, n_features, n_labels = draw(st.tuples(st.integers(0, 6), *[st.integers(1, 5)] * 2))
    width = np.dtype(dtype).itemsize * 8
    value = st.floats(allow_nan=False, allow_infinity=False, width=width)
    rows, columns, data = [], [], []
    Y = np.zeros((n_samples, n_labels))
    for i in range(n_samples):
        for j in sorted(draw(st.sets(st.integers(0, n_features - 1)))):
            rows.append(i)
            columns.append(j)
            data.append(draw(value))
        Y[i, list(draw(st.sets(st.integers(0, n_labels - 1))))] = 1
    X = sp.csr_array((np.array(data, dtype), (rows, columns)), shape=(n_samples, n_features))
    return X, sp.csr_array(Y, dtype=np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
def test_round_trip_is_exact(tmp_path_factory, dtype, suffix):
    path = tmp_path_factory.mktemp("xmc") / f"data{suffix}"

    @settings(deadline=None, max_examples=60)
    @given(problem=problems(dtype))
    def check(problem):
        X, Y = problem
        dump_xmc_file(X, Y, path)
        X_read, Y_read = load_xmc_file(path, dtype=dtype)
        assert_same_csr(X_read, X)
        assert_same_csr(Y_read, Y)

    check()


@settings(deadline=None, max_examples=40)
@given(problem=problems(np.float32), block=st.integers(1, 30))
def test_block_size_does_not_matter(tmp_path_factory, problem, block):
    path = tmp_path_factory.mktemp("xmc") / "data.txt"
    dump_xmc_file(*problem, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_xmc_parser, "_BLOCK", block)
        X, Y = load_xmc_file(path)
    assert_same_csr(X, problem[0])
    assert_same_csr(Y, problem[1])


def test_known_file(write):
    X, Y = load_xmc_file(write("3 4 3\n2,0 3:2 1:0.5\n \n1 0:-1e-3\n"))
    assert isinstance(X, sp.csr_array) and isinstance(Y, sp.csr_array)
    assert X.dtype == Y.dtype == np.float32
    assert X.indices.dtype == X.indptr.dtype == Y.indices.dtype == np.int32
    assert_array_equal(X.toarray(), np.float32([[0, 0.5, 0, 2], [0, 0, 0, 0], [-1e-3, 0, 0, 0]]))
    assert_array_equal(Y.toarray(), [[1, 0, 1], [0, 0, 0], [0, 1, 0]])
    assert X.has_sorted_indices and Y.has_sorted_indices


@pytest.mark.parametrize(
    "text",
    [
        "2 4 3\n0,2 1:1 3:2\n1 0:1",  # no line end at the end
        "2 4 3\r\n0,2 1:1 3:2\r\n1 0:1\r\n",
        "2 4 3\n0,2 1:1 3:2 \n1 0:1\n\n\n",  # trailing space, trailing line ends
        "2 4 3\n2,0  3:2  1:1\n1 0:1\n",
    ],
)
def test_harmless_variants(write, text):
    X, Y = load_xmc_file(write(text))
    assert_array_equal(X.toarray(), [[0, 1, 0, 2], [1, 0, 0, 0]])
    assert_array_equal(Y.toarray(), [[1, 0, 1], [0, 1, 0]])


def test_labels_without_features_and_stored_zeros(write):
    X, Y = load_xmc_file(write("2 2 2\n0,1\n 1:0\n"))
    assert_array_equal(Y.toarray(), [[1, 1], [0, 0]])
    assert_array_equal(X.indptr, [0, 0, 1])
    assert_array_equal(X.data, [0])


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "line 1: the header"),
        ("0:1 2:3\n", "line 1: the header"),
        ("2 4\n0 0:1\n0 0:1\n", "line 1: the header"),
        ("1 4 2.0\n0 0:1\n", "line 1: the header"),
        ("-1 4 2\n", "line 1: the header"),
        ("2 3\n0:1\n1:1\n", "got .2 3.. Files with labels and features apart, .* are not read"),
        ("1 9007199254740992 2\n 0:1\n", "line 1: the header must hold numbers below"),
        ("3 4 3\n0 0:1\n0 0:1\n", "header says 3 rows, but the file ends after line 3 with 2"),
        ("1 4 3\n0 0:1\n\n0 0:1\n", "line 4: more rows"),
        ("1 4 3\n0 0:1\n0 0:1\n", "line 3: more rows"),
        ("2 4 3\n0 0:1\n\n", "line 3: a blank line"),
        ("2 4 3\n\n0 0:1\n", "line 2: a blank line"),
        ("2 4 3\n0 0:1\n\n1 1:1\n", "line 3: a blank line"),
        ("2 4 3\n0 0:1\nx 0:1\n", "line 3: label 'x'"),
        ("2 4 3\n0 0:1\n3 0:1\n", "line 3: label '3' is out of range, the header says 3"),
        ("2 4 3\n0 0:1\n-1 0:1\n", "line 3: label '-1'"),
        ("1 4 3\n1.0 0:1\n", "line 2: label '1.0'"),
        ("1 4 3\n0, 0:1\n", "line 2: label ''"),
        ("1 4 3\n,0 0:1\n", "line 2: label ''"),
        ("1 4 3\n0,0 0:1\n", "line 2: label 0 occurs more than once"),
        ("2 4 3\n0 0:1\n0 4:1\n", "line 3: feature index '4' is out of range, the header says 4"),
        ("1 4 3\n0 99999999999999999999:1\n", "line 2: feature index '9+' is out of range"),
        ("1 4 3\n0 -2:1\n", "line 2: feature index '-2'"),
        ("1 4 3\n0 1e0:1\n", "line 2: feature index '1e0'"),
        ("1 4 3\n0 :1\n", "line 2: feature index ''"),
        ("1 4 3\n0 1:x\n", "line 2: feature value 'x' is not a finite float32 number"),
        ("1 4 3\n0 1:\n", "line 2: feature value ''"),
        ("1 4 3\n0 1:1_0\n", "line 2: feature value '1_0'"),
        ("1 4 3\n0,2 1:\t0.5\t\n", "line 2: feature value .* is not a finite"),
        ("1 4 3\n0 1:\r1\n", "line 2: feature value .* is not a finite"),
        ("1 4 " + "1" * 5000 + "\n", "line 1: the header must hold numbers below"),
        # the first wrong line, whatever is wrong with it
        ("2 4 3\n0 1:nan\n\n", "line 2: feature value 'nan'"),
        ("2 4 3\n0 4:1\n0 1\n", "line 2: feature index '4' is out of range"),
        ("3 4 3\n0 0:1\n0 0:1 0:1\n0 4:1\n", "line 3: feature 0 occurs more than once"),
        ("2 4 3\n0,0 0:1\n0 0:1 0:1\n", "line 2: label 0 occurs more than once"),
        ("1 4 3\n0 1:x\n0 1:1\n", "line 2: feature value 'x'"),
        ("1 4 3\n0 1:1 1:1\n0 1:1\n", "line 2: feature 1 occurs more than once"),
        ("1 4 3\n0 1:nan\n", "line 2: feature value 'nan'"),
        ("1 4 3\n0 1:-inf\n", "line 2: feature value '-inf'"),
        ("1 4 3\n0 1:1e39\n", "line 2: feature value '1e39'"),
        ("1 4 3\n0 1:1 0:1 1:2\n", "line 2: feature 1 occurs more than once"),
        ("1 4 3\n0:1 1:1\n", "line 2: expected .* got '0' out of place"),
        ("1 4 3\n0 1:1:1\n", "line 2: expected .* got '1' out of place"),
        ("1 4 3\n0 1:1,2:1\n", "line 2: expected .* got '1' out of place"),
        ("1 4 3\n0 1 2:1\n", "line 2: expected .* got '1' out of place"),
        ("1 4 3\n0 1:1 2\n", "line 2: expected .* got '2' out of place"),
        ("1 4 3\n0 1,2:1\n", "line 2: expected .* got '1' out of place"),
    ],
)
def test_refuses_malformed(write, text, message):
    path = write(text)
    with pytest.raises(ValueError, match=message) as info:
        load_xmc_file(path)
    assert str(path) in str(info.value)


def test_line_number_beyond_the_first_block(write, monkeypatch):
    monkeypatch.setattr(_xmc_parser, "_BLOCK", 50)
    text = "100 4 3\n" + "0 1:1\n" * 90 + "0 1:x\n" + "0 1:1\n" * 9
    with pytest.raises(ValueError, match="line 92: feature value 'x'"):
        load_xmc_file(write(text))
    with pytest.raises(ValueError, match="line 92: feature 1 occurs"):
        load_xmc_file(write(text.replace("1:x", "1:1 1:1")))
    with pytest.raises(ValueError, match="line 102: more rows"):
        load_xmc_file(write(text.replace("1:x", "1:1") + "0 1:1\n"))


def test_value_beyond_float32_is_fine_in_float64(write):
    X, _ = load_xmc_file(write("1 4 3\n0 1:1e39\n"), dtype=np.float64)
    assert X[0, 1] == 1e39


def test_refuses_other_dtypes(write):
    with pytest.raises(ValueError, match="dtype must be float32 or float64, got int64"):
        load_xmc_file(write("1 1 1\n0 0:1\n"), dtype=np.int64)


def test_refuses_broken_gzip(tmp_path):
    path = tmp_path / "data.txt.gz"
    path.write_bytes(gzip.compress(b"1 4 3\n0 1:1\n")[:-9])
    with pytest.raises(ValueError, match=r"data\.txt\.gz: not a complete gzip file"):
        load_xmc_file(path)
    path.write_bytes(b"1 4 3\n0 1:1\n")
    with pytest.raises(ValueError, match=r"data\.txt\.gz: not a complete gzip file"):
        load_xmc_file(path)


def test_dump_text(tmp_path):
    path = tmp_path / "data.txt"
    X = sp.csr_matrix(np.float32([[0, 0.1], [0, 0]]))
    dump_xmc_file(X, np.array([[True, False], [True, True]]), str(path))
    assert path.read_text() == "2 2 2\n0 1:0.100000001\n0,1 \n"
    dump_xmc_file(X.astype(float), [[0, 0], [0, 0]], path)
    assert path.read_text() == "2 2 2\n 1:0.10000000149011612\n \n"


def test_paths_of_bytes(tmp_path):
    path = bytes(tmp_path / "data.txt.gz")
    dump_xmc_file([[0.5]], [[1]], path)
    assert load_xmc_file(path)[0].toarray() == [[0.5]]


def test_dump_leaves_its_input_alone_and_adds_duplicates(tmp_path):
    X = sp.csr_array((np.array([1.0, 2.0, 4.0]), np.array([1, 0, 1]), np.array([0, 3])), shape=(1, 2))
    dump_xmc_file(X, [[1]], tmp_path / "data.txt")
    assert (tmp_path / "data.txt").read_text() == "1 2 1\n0 0:2 1:5\n"
    assert_array_equal(X.indices, [1, 0, 1])


@pytest.mark.parametrize(
    "X, Y, message",
    [
        ([[np.nan]], [[1]], "X contains NaN"),
        ([[1.0]], [[2]], "Y must contain only 0 and 1"),
        (
            sp.csr_array(([1.0], [3], [0, 1]), shape=(1, 2)),
            [[1]],
            r"X must have column indices in \[0, 2\)",
        ),
        ([[1.0]], [[1], [1]], "same number of rows"),
    ],
)
def test_dump_refuses_and_writes_nothing(tmp_path, X, Y, message):
    with pytest.raises(ValueError, match=message):
        dump_xmc_file(X, Y, tmp_path / "data.txt")
    assert not (tmp_path / "data.txt").exists()
