"""The one place that touches names which scikit-learn does not promise to keep."""

from sklearn.utils import _safe_indexing as take_rows
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_params,
)
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "HasMethods",
    "Interval",
    "StrOptions",
    "check_sample_weight",
    "take_rows",
    "validate_estimator_params",
    "validate_params",
]


def validate_estimator_params(estimator):
    """Check an estimator's constructor parameters against its ``_parameter_constraints``.

    Parameters
    ----------
    estimator : BaseEstimator
        Estimator whose class defines ``_parameter_constraints``.

    Raises
    ------
    InvalidParameterError
        Names the parameter, what came and what was wanted. A ``ValueError`` and a ``TypeError``.
    """
    estimator._validate_params()
