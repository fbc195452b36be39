"""The chunk layout against the plain matrix it stands for."""

import numpy as np
import pytest
import scipy.sparse as sp
from _data import random_problem
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_xmr._label_tree import LabelTree
from sklearn_xmr.matching._beam_search import BeamSearch
from sklearn_xmr.ranking._chunked_weights import ChunkedWeights
from sklearn_xmr.ranking._linear_ranker import LevelProblem, fit_linear_rankers


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 300),
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.sampled_from([0.0, 0.002, 0.01, 0.03, 0.2, 1.0]),
    st.integers(0, 2**31),
)
def test_round_trip_and_layout(n_features, fan_outs, density, seed):
    child_ptr = np.concatenate([[0], np.cumsum(fan_outs)])
    rng = np.random.default_rng(seed)
    matrix = sp.random_array((n_features, child_ptr[-1]), density=density, rng=rng, format="csc").astype(
        np.float32
    )
    chunked = ChunkedWeights.from_csc(matrix, np.zeros(child_ptr[-1]), child_ptr)
    np.testing.assert_array_equal(chunked.to_csc().toarray(), matrix.toarray())
    for child in range(child_ptr[-1]):
        features, weights = chunked.column(child)
        column = matrix[:, [child]].tocoo()
        np.testing.assert_array_equal(features, np.sort(column.row))
        np.testing.assert_array_equal(weights, column.data[np.argsort(column.row)])
        assert weights.dtype == np.float32
    parents, row_features, starts, ends = chunked.rows(0, len(fan_outs))
    assert np.all(np.diff(parents) >= 0)
    for chunk in range(len(fan_outs)):
        mine = parents == chunk
        features = row_features[mine].tolist()
        assert features == sorted(set(features))
        places = dict(zip(features, zip(starts[mine], ends[mine], strict=True), strict=True))
        is_bitmap = chunked.word_shift[chunk] == 5
        assert is_bitmap == (len(features) >= n_features / 32)
        find = find_in_bitmap if is_bitmap else find_in_list
        per_bit = 1 << int(chunked.word_shift[chunk] - 5)
        with_rows = {feature // per_bit for feature in features}
        for feature in range(n_features):
            is_set = bit_is_set(chunked, chunk, feature)
            assert is_set == (feature // per_bit in with_rows)
            assert (find(chunked, chunk, feature) if is_set else None) == places.get(feature)


def bit_is_set(chunked, chunk, feature):
    shift = int(chunked.word_shift[chunk])
    word = int(chunked.words[chunked.word_ptr[chunk] + (feature >> shift)])
    return bool(word >> (feature % 2**shift * 32 >> shift) & 1)


def find_in_bitmap(chunked, chunk, feature):
    """Where a row lies, by the number of bits set below its own. For one-byte slots."""
    word, bit = int(chunked.words[chunked.word_ptr[chunk] + feature // 32]), feature % 32
    group = chunked.entry_ptr[chunk] + (word >> 32)
    place = group + 2 * bin(word & ((1 << bit) - 1)).count("1")
    start, end = chunked.entries[place : place + 4].view(np.uint16)
    return group + start, group + end


def find_in_list(chunked, chunk, feature):
    """The same by the rows that a word sends the feature to; None if its is not among them."""
    shift = int(chunked.word_shift[chunk])
    word = chunked.word_ptr[chunk] + (feature >> shift)
    place, last = chunked.entry_ptr[chunk] + (chunked.words[word : word + 2] >> np.uint64(32)).astype(int)
    while place < last:
        low, size = chunked.entries[place : place + 4].view(np.uint16)
        if low == feature % 2**16:
            return place + 4, place + 4 + size
        place += 4 + size
    assert place == last
    return None


@pytest.mark.parametrize("slot_size", [1, 2])
def test_words_of_very_many_features(slot_size):
    """A row stores no more than 16 bits of its feature."""
    fan_out = 3 if slot_size == 1 else 300
    features = np.array([0, 1, 65535, 65536, 65537, 131072, 2**31 - 2])
    matrix = sp.csc_array(
        (np.arange(1.0, 8.0), (features, np.arange(7) % fan_out)), shape=(2**31 - 1, fan_out)
    )
    chunked = ChunkedWeights.from_csc(matrix, np.zeros(fan_out), np.array([0, fan_out]))
    assert chunked.slot_dtype.itemsize == slot_size
    assert chunked.word_shift.tolist() == [16]
    np.testing.assert_array_equal(chunked.rows(0, 1)[1], features)
    search = BeamSearch(LabelTree.flat(fan_out), [chunked])
    for i, feature in enumerate(features):
        row = sp.csr_array(([1.0], ([0], [feature])), shape=(1, 2**31 - 1), dtype=np.float32)
        labels, _ = search.topk(row, 1, 10, [(0, 1.0)])
        assert labels[0, 0] == i % fan_out


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled", "twice"])
def test_crowded_words_are_searched_in_any_order(order):
    """Neighbouring features share a word and a walk through its rows: here dozens; some lie far away."""
    rng = np.random.default_rng(0)
    features = np.concatenate([[3, 700], np.arange(19_900, 19_980, 2), [19_999]])
    dense = np.zeros((20_000, 7))
    dense[features] = rng.normal(size=(features.size, 7))
    chunked = ChunkedWeights.from_csc(sp.csc_array(dense), np.zeros(7), np.array([0, 7]))
    assert np.bincount(chunked.rows(0, 1)[1] >> chunked.word_shift[0]).max() > 30
    asked = np.concatenate([[3, 50], np.arange(19_890, 20_000)])  # those without a row among them
    asked = {
        "ascending": asked,
        "descending": asked[::-1],
        "shuffled": rng.permutation(asked),
        "twice": np.concatenate([asked, asked]),
    }[order]
    row = sp.csr_array(
        (rng.random(asked.size), asked, [0, asked.size]), shape=(1, 20_000), dtype=np.float32
    )
    labels, scores = BeamSearch(LabelTree.flat(7), [chunked]).topk(row, 7, 10, [(0, 1.0)])
    margins = row.data @ dense[row.indices]
    np.testing.assert_array_equal(labels[0], np.argsort(-margins))
    np.testing.assert_allclose(scores[0], np.sort(1 / (1 + np.exp(-margins)))[::-1], rtol=1e-4)


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_integers_round_to_the_largest_of_the_chunk(dtype):
    rng = np.random.default_rng(0)
    child_ptr = np.array([0, 4, 5, 9])
    dense = rng.normal(size=(50, 9)) * np.repeat([1.0, 0.0, 100.0], [4, 1, 4])
    exact = sp.csc_array(dense.astype(np.float32))
    chunked = ChunkedWeights.from_csc(exact, np.zeros(9), child_ptr, dtype)
    assert chunked.value_dtype == np.dtype(dtype).name
    error = np.abs(chunked.to_csc().toarray() - exact.toarray())
    for start, end in ((0, 4), (5, 9)):
        step = np.abs(dense[:, start:end]).max() / np.iinfo(dtype).max
        assert 0.2 * step < error[:, start:end].max() <= 0.51 * step
    assert error[:, 4].max() == 0


def fit_level(X, Y, weight_dtype, fan_out):
    """One level with nodes of `fan_out` labels, all rows training all of them."""
    child_ptr = np.append(np.arange(0, Y.shape[1], fan_out), Y.shape[1])
    problem = LevelProblem(child_ptr, Y, sp.csr_array(np.ones((X.shape[0], child_ptr.size - 1))))
    (weights,), _, _ = fit_linear_rankers(
        X, [problem], sample_weight=None, loss="squared_hinge", C=1.0, positive_weight=1.0,
        negative_weight=1.0, bias=1.0, tol=0.1, max_iter=20, weight_threshold=0.1,
        weight_dtype=weight_dtype, seed=0,
    )  # fmt: skip
    return weights


@pytest.mark.parametrize("weight_dtype", ["float32", "int16", "int8"])
@pytest.mark.parametrize("fan_out", [1, 7, 40, 300])
def test_solver_and_from_csc_store_alike(weight_dtype, fan_out):
    X, Y = random_problem(200, 60, 300, random_state=3)
    exact = fit_level(X, Y, "float32", fan_out)
    level = fit_level(X, Y, weight_dtype, fan_out)
    again = ChunkedWeights.from_csc(exact.to_csc(), exact.intercepts, exact.child_ptr, weight_dtype)
    assert level.entries.size > 100
    for name in ("entry_ptr", "scales", "intercepts", "words", "word_shift"):
        np.testing.assert_array_equal(getattr(level, name), getattr(again, name), err_msg=name)
    # the order of slots within a row is free
    np.testing.assert_array_equal(level.to_csc().toarray(), again.to_csc().toarray())


@pytest.mark.parametrize("value_dtype", ["float32", "int16", "int8"])
@pytest.mark.parametrize("fan_out", [3, 60, 300])
def test_rows_are_vectors_where_those_take_less_than_twice_the_room(value_dtype, fan_out):
    value_size, slot_size = np.dtype(value_dtype).itemsize, 1 if fan_out <= 256 else 2
    dense = np.tril(np.ones((fan_out, fan_out)))  # feature f has f + 1 weights
    chunked = ChunkedWeights.from_csc(
        sp.csc_array(dense), np.zeros(fan_out), np.array([0, fan_out]), value_dtype
    )
    _, _, starts, ends = chunked.rows(0, 1)
    for n, size in enumerate(ends - starts, start=1):
        listed, vector = n * (value_size + slot_size), fan_out * value_size
        assert size == (vector if 2 * listed >= vector else listed)
    np.testing.assert_allclose(chunked.to_csc().toarray(), dense, rtol=1e-6)


@pytest.mark.parametrize("n_rows, value_dtype", [(40, "float32"), (400, "int8")])
def test_small_levels_stay_exact(n_rows, value_dtype):
    X, Y = random_problem(n_rows, 200, 10, density=1.0, random_state=0)
    level = fit_level(X, Y, "auto", 5)
    assert (2 * X.nnz > 2**16) == (value_dtype == "int8")  # each row trains both nodes
    assert level.value_dtype == value_dtype


@pytest.mark.parametrize(
    "n_children, dtype", [(256, np.uint8), (257, np.uint16), (65536, np.uint16), (65537, np.uint32)]
)
def test_slots_take_the_smallest_type(n_children, dtype):
    matrix = sp.csc_array(([1.0], ([0], [n_children - 1])), shape=(2, n_children))
    chunked = ChunkedWeights.from_csc(matrix, np.zeros(n_children), np.array([0, n_children]))
    assert chunked.slot_dtype == dtype
    np.testing.assert_array_equal(chunked.column(n_children - 1)[1], [1])


@pytest.mark.parametrize("dtype", ["float32", "int16", "int8"])
def test_column_reads_what_to_csc_reads(dtype):
    child_ptr = np.array([0, 3, 4, 9])
    matrix = sp.random_array((50, 9), density=0.4, rng=np.random.default_rng(0), format="csc")
    chunked = ChunkedWeights.from_csc(matrix, np.zeros(9), child_ptr, dtype)
    whole = chunked.to_csc()
    for child in range(9):
        features, weights = chunked.column(child)
        np.testing.assert_array_equal(features, whole[:, [child]].indices)
        np.testing.assert_array_equal(weights, whole[:, [child]].data)
