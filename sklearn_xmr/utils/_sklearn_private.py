"""The one place that touches names which scikit-learn does not promise to keep."""

import functools

from sklearn.utils import _safe_indexing as take_rows
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_params,
)
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before scikit-learn 1.9: nobody can set callbacks, and nobody is called

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands for scikit-learn's class of this name."""

        def _init_callback_context(self, **kwargs):
            return _NoCallbacks()

    class _NoCallbacks:
        def subcontext(self, **kwargs):
            return self

        def call_on_fit_task_begin(self, **kwargs):
            return self

        def call_on_fit_task_end(self, **kwargs):
            return False

    def with_callbacks(method):
        """Stands for scikit-learn's decorator; a frame deep as well, so that warnings name the caller."""

        @functools.wraps(method)
        def wrapper(*args, **kwargs):
            return method(*args, **kwargs)

        return wrapper


__all__ = [
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "StrOptions",
    "check_sample_weight",
    "start_callbacks",
    "take_rows",
    "validate_estimator_params",
    "validate_params",
    "with_callbacks",
]


def start_callbacks(estimator, max_subtasks):
    """Context of the whole fit, from which those of its steps are made.

    Parameters
    ----------
    estimator : CallbackSupportMixin
        Estimator whose ``fit`` is decorated with `with_callbacks`.
    max_subtasks : int
        Largest number of steps.

    Returns
    -------
    context : sklearn.callback.CallbackContext
        Before scikit-learn 1.9 an object with the same methods, which do nothing.
    """
    return estimator._init_callback_context(max_subtasks=max_subtasks)


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
