"""The chunk layout against the plain matrix it stands for."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_xmr.ranking._chunked_weights import ChunkedWeights


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 80),
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.floats(0, 1),
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
    for chunk in range(len(fan_outs)):
        features = chunked.features[chunked.chunk_ptr[chunk] : chunked.chunk_ptr[chunk + 1]]
        assert np.all(np.diff(features) > 0)
        # the directory sends every feature to the rows that can hold it
        shift = chunked.bucket_shift[chunk]
        buckets = chunked.buckets[chunked.bucket_ptr[chunk] : chunked.bucket_ptr[chunk + 1]]
        for feature in range(n_features):
            rows = np.arange(buckets[feature >> shift], buckets[(feature >> shift) + 1])
            assert (feature in features) == (feature in features[rows])


@pytest.mark.parametrize("n_children, dtype", [(65536, np.uint16), (65537, np.uint32)])
def test_slots_take_the_smallest_type(n_children, dtype):
    matrix = sp.csc_array(([1.0], ([0], [n_children - 1])), shape=(2, n_children))
    chunked = ChunkedWeights.from_csc(matrix, np.zeros(n_children), np.array([0, n_children]))
    assert chunked.slots.dtype == dtype and chunked.slots[0] == n_children - 1
