"""Seeds of sub-estimators."""

from sklearn.base import clone


def seeded_clone(estimator, seed):
    """Clone a sub-estimator, or copy an object without parameters.

    Wherever its random_state is None, `seed` takes its place.
    """
    copy = clone(estimator, safe=isinstance(estimator, type))  # a class is refused
    if hasattr(copy, "get_params"):
        names = [name for name, value in copy.get_params().items() if value is None]
        copy.set_params(**{name: seed for name in names if name.split("__")[-1] == "random_state"})
    return copy
