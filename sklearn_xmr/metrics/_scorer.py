"""Scorers for model selection that ask the estimator for no more than the k best labels."""

import copy
import inspect
import reprlib

import numpy as np
from sklearn import get_config
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRequest

from sklearn_xmr.metrics._ranking import ndcg_at_k, precision_at_k
from sklearn_xmr.utils._validation import check_label_matrix, check_positive_int


def make_topk_scorer(metric, *, k=5, **kwargs):
    """Make a scorer from a metric at k, for ``scoring=`` of `GridSearchCV` and the like.

    The scorer asks the estimator for ``predict_topk(X, k=k)``; a `Pipeline` transforms X with its first
    steps and asks its last one. Estimators without it are asked for ``decision_function``, then for
    ``predict_proba``. It can be pickled and copied, and works with dense and sparse `y`.

    Parameters
    ----------
    metric : callable
        ``metric(y_true, y_pred, *, k, ...)`` returning a float, higher is better: the metrics of this
        module or one's own. It gets `y_true` as a csr_array, and `y_pred` as a pair (labels, scores)
        or, from estimators without ``predict_topk``, as a matrix of scores.
    k : int, default=5
        Number of predictions that count.
    **kwargs : dict
        Further arguments of the metric, such as `propensities`.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, sample_weight=None)`` returning a float. With metadata routing enabled,
        ``scorer.set_score_request(sample_weight=True)`` asks for the weights.

    Raises
    ------
    TypeError
        If `metric` is not callable, cannot be called with these arguments (for example, because
        `propensities` is missing), or `k` is not an integer.
    ValueError
        If `k` is below 1.

    See Also
    --------
    sklearn.metrics.make_scorer : For metrics of other predictions.

    Examples
    --------
    >>> from sklearn_xmr.metrics import make_topk_scorer, recall_at_k
    >>> make_topk_scorer(recall_at_k, k=10)
    make_topk_scorer(recall_at_k, k=10)
    """
    k = check_positive_int(k, "k")
    if not callable(metric):
        raise TypeError(f"metric must be callable, got {metric!r}.")
    if "sample_weight" in kwargs:
        raise TypeError("sample_weight belongs to the rows scored: pass it when calling the scorer.")
    scorer = _TopKScorer(metric, k, kwargs)
    try:
        inspect.signature(metric).bind(None, None, k=k, **kwargs)
    except TypeError as error:
        raise TypeError(f"{scorer} does not fit the metric: {error}.") from error
    return scorer


class _TopKScorer:
    """Callable ``(estimator, X, y, sample_weight=None) -> float``; made by `make_topk_scorer`."""

    def __init__(self, metric, k, metric_kwargs):
        self._metric = metric
        self._k = k
        self._metric_kwargs = metric_kwargs
        self._sample_weight_request = None

    def __call__(self, estimator, X, y, sample_weight=None):
        y = check_label_matrix(y)
        y_pred = predict_ranking(estimator, X, min(self._k, y.shape[1]))
        kwargs = dict(self._metric_kwargs)
        if sample_weight is not None:
            kwargs["sample_weight"] = sample_weight
        return self._metric(y, y_pred, k=self._k, **kwargs)

    def __repr__(self):
        name = getattr(self._metric, "__name__", repr(self._metric))
        kwargs = "".join(f", {key}={reprlib.repr(value)}" for key, value in self._metric_kwargs.items())
        return f"make_topk_scorer({name}, k={self._k}{kwargs})"

    @property
    def __name__(self):
        """What scikit-learn's displays write on an axis."""
        return f"{getattr(self._metric, '__name__', 'score').removesuffix('_at_k')}_at_{self._k}"

    def __sklearn_clone__(self):
        return copy.deepcopy(self)

    def _accept_sample_weight(self):
        """Asked by scikit-learn before it passes the weights of `fit` on to the scorer."""
        return "sample_weight" in inspect.signature(self._metric).parameters

    def set_score_request(self, *, sample_weight):
        """Say whether metadata routing shall pass `sample_weight` to this scorer.

        Parameters
        ----------
        sample_weight : bool, None or str
            As in scikit-learn: True requests it, False ignores it, None raises if it comes, a string
            requests it under that name.

        Returns
        -------
        callable
            This scorer.

        Raises
        ------
        RuntimeError
            If metadata routing is not enabled.
        TypeError
            If the metric takes no `sample_weight`.
        ValueError
            If the request is none of these.
        """
        if not get_config()["enable_metadata_routing"]:
            raise RuntimeError(
                "set_score_request needs metadata routing: call "
                "sklearn.set_config(enable_metadata_routing=True) first."
            )
        if not self._accept_sample_weight():
            raise TypeError(f"The metric of {self} takes no sample_weight.")
        self._request(sample_weight)  # refuses what is no request
        self._sample_weight_request = sample_weight
        return self

    def get_metadata_routing(self):
        """Tell scikit-learn which metadata this scorer takes.

        Returns
        -------
        MetadataRequest
            With `sample_weight` for ``score``, if the metric takes it.
        """
        return self._request(self._sample_weight_request)

    def _request(self, sample_weight):
        request = MetadataRequest(owner=repr(self))
        if self._accept_sample_weight():
            request.score.add_request(param="sample_weight", alias=sample_weight)
        return request


def predict_ranking(estimator, X, k, want_probabilities=False, **parameters):
    """Ranked pair where the estimator can give it, otherwise its scores of all labels.

    These are probabilities if they are wanted and the estimator has them, else it is first asked for
    ``decision_function``. The parameters are those of ``predict_topk``.
    """
    estimator = unwrap(estimator)
    if hasattr(estimator, "predict_topk"):
        return estimator.predict_topk(X, k=k, **parameters)
    # neither a search nor a Pipeline forwards predict_topk
    if hasattr(estimator, "best_estimator_"):
        return predict_ranking(estimator.best_estimator_, X, k, want_probabilities, **parameters)
    if isinstance(estimator, Pipeline):
        transformed = estimator[:-1].transform(X) if len(estimator) > 1 else X
        return predict_ranking(estimator[-1], transformed, k, want_probabilities, **parameters)
    if parameters:
        raise TypeError(
            f"{', '.join(parameters)}: an estimator with predict_topk takes that, "
            f"{type(estimator).__name__} has none."
        )
    has_probabilities = hasattr(estimator, "predict_proba")
    if hasattr(estimator, "decision_function") and not (want_probabilities and has_probabilities):
        return estimator.decision_function(X)
    if has_probabilities:
        return label_probabilities(estimator, X)
    raise TypeError(
        f"{type(estimator).__name__} has none of predict_topk, decision_function and predict_proba."
    )


def unwrap(estimator):
    """What is inside `FrozenEstimator`, which hides methods that Pipelines do not forward."""
    return unwrap(estimator.estimator) if isinstance(estimator, FrozenEstimator) else estimator


def label_probabilities(estimator, X):
    """What ``predict_proba`` says, as one matrix (n_samples, n_labels)."""
    probabilities = estimator.predict_proba(X)
    if isinstance(probabilities, list):
        # one (n_samples, n_classes) per label; a label that is constant in training has one class
        columns = zip(probabilities, estimator.classes_, strict=True)
        return np.column_stack([probability @ classes for probability, classes in columns])
    return probabilities


precision_at_1_scorer = make_topk_scorer(precision_at_k, k=1)
precision_at_3_scorer = make_topk_scorer(precision_at_k, k=3)
precision_at_5_scorer = make_topk_scorer(precision_at_k, k=5)
ndcg_at_5_scorer = make_topk_scorer(ndcg_at_k, k=5)
