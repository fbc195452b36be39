"""A small problem and a model of it, for tests that only look at them."""

import pytest
from _data import classifier, random_problem


@pytest.fixture(scope="module")
def problem():
    """X and Y of 300 rows, 60 features and 40 labels."""
    return random_problem(300, 60, 40, random_state=1)


@pytest.fixture(scope="module")
def fitted(problem):
    """A tree of two levels, trained on the problem."""
    return classifier().fit(*problem)
