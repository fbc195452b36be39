"""Estimators that an older version of the library stored."""

from inspect import signature


class ParameterDefaultsMixin:
    """On loading, a parameter that the version which stored the estimator did not know has its default."""

    def __setstate__(self, state):
        parameters = signature(type(self)).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        super().__setstate__({**defaults, **state})
