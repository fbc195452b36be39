"""The chunk layout against the plain matrix it stands for."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_xmr.ranking._chunked_weights import ChunkedWeights


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
    row_features = chunked.row_features()
    for chunk in range(len(fan_outs)):
        features = row_features[chunked.chunk_ptr[chunk] : chunked.chunk_ptr[chunk + 1]].tolist()
        assert features == sorted(set(features))
        words = chunked.words[chunked.word_ptr[chunk] : chunked.word_ptr[chunk + 1]].tolist()
        listed = chunked.features[chunked.feature_ptr[chunk] : chunked.feature_ptr[chunk + 1]].tolist()
        buckets = chunked.buckets[chunked.bucket_ptr[chunk] : chunked.bucket_ptr[chunk + 1]]
        assert bool(words) == (not listed and buckets.size == 0) == (8 * len(features) >= n_features / 4)
        for feature in range(n_features):
            if (
                words
            ):  # the bit tells whether the row exists, the word's count and the bits below where it is
                word, bit = words[feature // 32], feature % 32
                row = (word >> 32) + bin(word & ((1 << bit) - 1)).count("1")
                assert (word >> bit & 1) == (feature in features)
                assert feature not in features or features[row] == feature
            else:  # the directory sends every feature to the rows that can hold it
                bucket = feature >> int(chunked.bucket_shift[chunk])
                rows = range(buckets[bucket], buckets[bucket + 1])
                assert (feature in features) == (feature in [listed[row] for row in rows])


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_integers_round_to_the_largest_of_the_chunk(dtype):
    rng = np.random.default_rng(0)
    child_ptr = np.array([0, 4, 5, 9])
    dense = rng.normal(size=(50, 9)) * np.repeat([1.0, 0.0, 100.0], [4, 1, 4])
    exact = sp.csc_array(dense.astype(np.float32))
    chunked = ChunkedWeights.from_csc(exact, np.zeros(9), child_ptr, dtype=dtype)
    assert chunked.values.dtype == dtype
    error = np.abs(chunked.to_csc().toarray() - exact.toarray())
    for start, end in ((0, 4), (5, 9)):
        step = np.abs(dense[:, start:end]).max() / np.iinfo(dtype).max
        assert 0.2 * step < error[:, start:end].max() <= 0.51 * step
    assert error[:, 4].max() == 0


def test_small_levels_stay_exact():
    matrix = sp.random_array((400, 200), density=0.9, rng=np.random.default_rng(0), format="csc")
    for n_children, dtype in ((150, np.float32), (200, np.int8)):
        chunked = ChunkedWeights.from_csc(
            matrix[:, :n_children], np.zeros(n_children), np.array([0, n_children]), dtype="auto"
        )
        assert (chunked.values.size > 2**16) == (dtype is np.int8)
        assert chunked.values.dtype == dtype


@pytest.mark.parametrize(
    "n_children, dtype", [(256, np.uint8), (257, np.uint16), (65536, np.uint16), (65537, np.uint32)]
)
def test_slots_take_the_smallest_type(n_children, dtype):
    matrix = sp.csc_array(([1.0], ([0], [n_children - 1])), shape=(2, n_children))
    chunked = ChunkedWeights.from_csc(matrix, np.zeros(n_children), np.array([0, n_children]))
    assert chunked.slots.dtype == dtype and chunked.slots[0] == n_children - 1


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
