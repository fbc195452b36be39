"""What the two meta-estimators share: held-out rankings of the estimator they wrap."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags, indexable
from sklearn.utils.validation import check_is_fitted

from sklearn_xmr.metrics._scorer import predict_ranking
from sklearn_xmr.metrics._topk import topk
from sklearn_xmr.utils._doc_link import DocLinkMixin
from sklearn_xmr.utils._sklearn_private import (
    check_sample_weight,
    take_rows,
    validate_estimator_params,
)
from sklearn_xmr.utils._targets import encode_targets


class BaseDecisionClassifier(DocLinkMixin, MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Fits an estimator and, on rows that it has not seen, what comes after it.

    Subclasses define `_needs_held_out_rows` and `_fit_decision`, which returns the attributes to set.
    """

    def fit(self, X, y, sample_weight=None):
        """Fit the estimator, and the decision on rows held out from it.

        Parameters
        ----------
        X : array-like, sparse matrix or list of texts, of n_samples rows
            Whatever the estimator takes.
        y : {array-like, sparse matrix} of shape (n_samples, n_labels)
            Multilabel indicator.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weight of each row, for the estimator and for the decision.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If y is not a multilabel indicator, a parameter is out of range, or an estimator that is said
            to be fitted does not know the labels of y.
        """
        validate_estimator_params(self)
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        X, y = indexable(X, y)
        Y, classes, form = encode_targets(y, y.shape[0] if hasattr(y, "shape") else len(y))
        if form.kind != "multilabel":
            raise ValueError(
                f"{type(self).__name__} needs a multilabel indicator y of shape (n_samples, n_labels), got "
                "one class per row; scikit-learn's CalibratedClassifierCV and TunedThresholdClassifierCV "
                "are for that."
            )
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, Y, ensure_non_negative=True)
        is_fitted = self.cv == "prefit" or isinstance(self.estimator, FrozenEstimator)
        folds = []
        if is_fitted:
            check_is_fitted(self.estimator)
            final = self.estimator
            n_known = len(getattr(final, "classes_", classes))
            if n_known != classes.size:
                raise ValueError(f"The fitted estimator knows {n_known} labels, but y has {classes.size}.")
            folds.append((final, np.arange(Y.shape[0])))
        elif self._needs_held_out_rows():
            for train, held_out in check_cv(self.cv).split(X, y):
                folds.append((_fit_on(self.estimator, X, y, sample_weight, train), held_out))
        if not is_fitted:
            final = _fit_on(self.estimator, X, y, sample_weight)
        learned = {}
        if self._needs_held_out_rows():
            parts = ((fitted, take_rows(X, rows), rows) for fitted, rows in folds)
            learned = self._fit_decision(parts, Y, sample_weight)

        # Nothing is set before this line, so a failed fit leaves an earlier model as it was.
        self.estimator_ = final
        self.classes_ = classes
        self._target_form = form
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(final, name):
                learned[name] = getattr(final, name)
            elif hasattr(self, name):
                delattr(self, name)
        for name, value in learned.items():
            setattr(self, name, value)
        return self

    def _answer(self, matrix):
        """A csr_array in the container of the y of fit."""
        form = self._target_form
        return form.wrap(matrix) if form.is_sparse else matrix.toarray()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = inner.input_tags
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.multi_class = False
        return tags


def rank(estimator, X, k):
    """The k best labels of each row and their scores, from any classifier or pipeline.

    Parameters
    ----------
    estimator : object
        Fitted.
    X : object
        What the estimator takes.
    k : int

    Returns
    -------
    labels, scores : ndarray of shape (n_samples, k)
        As ``predict_topk``.
    """
    ranking = predict_ranking(unwrap(estimator), X, k)
    return ranking if isinstance(ranking, tuple) else topk(ranking, k)


def unwrap(estimator):
    """What is inside `FrozenEstimator`, which hides methods that Pipelines do not forward."""
    return unwrap(estimator.estimator) if isinstance(estimator, FrozenEstimator) else estimator


def _fit_on(estimator, X, y, sample_weight, rows=None):
    """Fit a clone on some rows, or on all."""
    weights = {}
    if sample_weight is not None:
        inside = f"{estimator.steps[-1][0]}__" if isinstance(estimator, Pipeline) else ""
        weights = {f"{inside}sample_weight": sample_weight if rows is None else sample_weight[rows]}
    if rows is not None:
        X, y = take_rows(X, rows), take_rows(y, rows)
    return clone(estimator).fit(X, y, **weights)
