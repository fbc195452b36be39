"""Jain's propensities against plain loops and hand-computed values."""

from math import log

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import metrics as reference

from sklearn_xmr.metrics import jain_propensity


def test_jain_propensity_by_hand():
    y_train = sp.csr_array(np.array([[1, 0, 1], [1, 0, 0], [1, 0, 0], [1, 0, 0]]))
    c = (log(4) - 1) * 1.4**0.5
    expected = [1 / (1 + c / 4.4**0.5), 1 / (1 + c / 0.4**0.5), 1 / (1 + c / 1.4**0.5)]
    np.testing.assert_allclose(jain_propensity(y_train, a=0.5, b=0.4), expected, rtol=1e-14)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(3, 30), st.floats(0.1, 1), st.floats(0.1, 4))
def test_jain_propensity_agrees_with_plain_loops(seed, n_samples, a, b):
    y_train = (np.random.default_rng(seed).random((n_samples, 6)) < 0.3).astype(float)
    propensities = jain_propensity(y_train, a=a, b=b)
    np.testing.assert_allclose(propensities, reference.jain(y_train, a, b), rtol=1e-12)
    assert ((propensities > 0) & (propensities <= 1)).all()
    order = np.argsort(y_train.sum(axis=0), kind="stable")
    assert (np.diff(propensities[order]) >= 0).all()  # the rarer, the smaller


def test_jain_propensity_defaults():
    y_train = np.array([[1, 0], [0, 0], [1, 1], [0, 0]])
    np.testing.assert_array_equal(jain_propensity(y_train), jain_propensity(y_train, a=0.55, b=1.5))


@pytest.mark.parametrize(
    ("y_train", "kwargs", "error", "match"),
    [
        (np.eye(2), {}, ValueError, "y_train must have at least 3 rows, got 2"),
        (2 * np.eye(3), {}, ValueError, "y_train must contain only 0 and 1"),
        (np.eye(3), {"a": 0}, ValueError, "a must be positive and finite, got 0"),
        (np.eye(3), {"b": -1.5}, ValueError, "b must be positive and finite, got -1.5"),
        (np.eye(3), {"b": np.nan}, ValueError, "b must be positive and finite, got nan"),
        (np.eye(3), {"a": "x"}, TypeError, "a must be a number, got 'x'"),
        (np.eye(3), {"a": 1000}, ValueError, "a=1000 and b=1.5 are out of the range"),
        (np.eye(3) * [1, 1, 0], {"a": 2, "b": 1e-300}, ValueError, "a=2 and b=1e-300 are out of the range"),
    ],
)
def test_jain_propensity_refuses(y_train, kwargs, error, match):
    with pytest.raises(error, match=match):
        jain_propensity(y_train, **kwargs)


@pytest.mark.parametrize("number", [int, np.uint8])
def test_integer_parameters(number):
    Y = np.eye(6, dtype=int)
    expected = jain_propensity(Y, a=1.0, b=2.0)
    np.testing.assert_array_equal(jain_propensity(Y, a=number(1), b=number(2)), expected)
