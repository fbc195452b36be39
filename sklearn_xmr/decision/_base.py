"""What the two meta-estimators share: held-out rankings of the estimator they wrap."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch, get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted

from sklearn_xmr.metrics._scorer import predict_ranking
from sklearn_xmr.metrics._topk import topk
from sklearn_xmr.utils._doc_link import DocLinkMixin
from sklearn_xmr.utils._parameter_defaults import ParameterDefaultsMixin
from sklearn_xmr.utils._sklearn_private import (
    check_sample_weight,
    take_rows,
    validate_estimator_params,
)
from sklearn_xmr.utils._targets import encode_targets
from sklearn_xmr.utils._validation import check_sparse_structure


class HeldOut(NamedTuple):
    """Rows of X that a fitted estimator has not seen, and their numbers.

    `columns` says which column of the label matrix each of the estimator's labels is: with one class per
    row, a fold may lack a class.
    """

    fitted: object
    X: object
    rows: np.ndarray
    columns: np.ndarray


class BaseDecisionClassifier(
    ParameterDefaultsMixin, DocLinkMixin, MetaEstimatorMixin, ClassifierMixin, BaseEstimator
):
    """Fits an estimator and, on rows that it has not seen, what comes after it.

    Subclasses define `_needs_held_out_rows` (for a form of y), `_fit_decision`, which returns the
    attributes to set, and `_decision`, the name of the parameter that says what they mean: its value at
    fit is kept as `_fitted_decision`, so that a later ``set_params`` waits for the next fit.
    """

    def fit(self, X, y, sample_weight=None, **params):
        """Fit the estimator, and the decision on rows held out from it.

        Parameters
        ----------
        X : array-like, sparse matrix or list of texts, of n_samples rows
            Whatever the estimator takes.
        y : {array-like, sparse matrix} of shape (n_samples, n_labels) or array-like of shape (n_samples,)
            Multilabel indicator, or classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weight of each row, for the decision and for the estimator (with metadata routing:
            if the estimator requests it).
        **params : dict
            Further arguments of the estimator's ``fit``, such as ``<step>__<name>`` of a pipeline. With
            metadata routing: what the estimator and the splitter of ``cv`` request, such as `groups`.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If y is no classification target, a parameter is out of range, `cv` gives no split, or an
            estimator that is said to be fitted does not know the labels of y or predicts another form.
        TypeError
            If there are further arguments for an estimator that is said to be fitted.
        """
        validate_estimator_params(self)
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        check_sparse_structure(X, "X")
        check_sparse_structure(y, "y")
        X, y = indexable(X, y)
        Y, classes, form = encode_targets(y, y.shape[0] if hasattr(y, "shape") else len(y))
        one_class_per_row = form.kind != "multilabel"
        if one_class_per_row:
            y = classes[Y.indices]
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, Y, ensure_non_negative=True)
        routed = self._route(sample_weight, params)
        held_out_rows = self._needs_held_out_rows(form)
        is_fitted = self._is_prefit()
        folds = []
        if is_fitted:
            check_is_fitted(self.estimator)
            final = self.estimator
            if one_class_per_row:
                Y, classes = _known_classes(Y, classes, final.classes_)
            n_known = len(getattr(final, "classes_", classes))
            if n_known != classes.size:
                raise ValueError(f"The fitted estimator knows {n_known} labels, but y has {classes.size}.")
            _check_form(final, X, one_class_per_row, n_known)
            folds.append((final, np.arange(Y.shape[0])))
        elif held_out_rows:
            splitter = check_cv(self.cv, y if one_class_per_row else None, classifier=True)
            for train, held_out in splitter.split(X, y, **routed.splitter.split):
                rows = np.arange(Y.shape[0])[held_out]  # numbers, also where it is a mask
                folds.append((_fit_on(self.estimator, X, y, routed.estimator.fit, train), rows))
            if not folds:
                raise ValueError(
                    f"cv must give at least one split, got none from {self.cv!r}; a generator gives its "
                    "splits only once."
                )
        if not is_fitted:
            final = _fit_on(self.estimator, X, y, routed.estimator.fit)
        learned = {}
        if held_out_rows:
            parts = (
                HeldOut(fitted, take_rows(X, rows), rows, _columns(fitted, classes, form))
                for fitted, rows in folds
            )
            learned = self._fit_decision(parts, Y, sample_weight)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(final, name):
                learned[name] = getattr(final, name)

        # Nothing is set before this line, so a failed fit leaves an earlier model as it was.
        for name in [name for name in vars(self) if name.endswith("_") and not name.startswith("_")]:
            delattr(self, name)
        self.estimator_ = final
        self.classes_ = classes
        self._target_form = form
        self._fitted_decision = getattr(self, self._decision)
        for name, value in learned.items():
            setattr(self, name, value)
        return self

    def get_metadata_routing(self):
        """Tell scikit-learn which metadata go where.

        Returns
        -------
        MetadataRouter
            ``fit`` passes on to the ``fit`` of the estimator, unless it is fitted already, and to the
            ``split`` of ``cv``. `sample_weight` is used by the object itself as well.
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        if not self._is_prefit():
            router.add(
                estimator=self.estimator, method_mapping=MethodMapping().add(caller="fit", callee="fit")
            )
            router.add(splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
        return router

    def _is_prefit(self):
        # an array of splits would compare to an array
        is_told = isinstance(self.cv, str) and self.cv == "prefit"
        return is_told or isinstance(self.estimator, FrozenEstimator)

    def _route(self, sample_weight, params):
        """Arguments of the estimator's ``fit`` and of the splitter's ``split``."""
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        if get_config()["enable_metadata_routing"]:
            return process_routing(self, "fit", **weights, **params)
        if params and self._is_prefit():
            raise TypeError(
                f"fit got {', '.join(map(repr, params))} for the estimator, which is fitted already and "
                "takes nothing but X, y and sample_weight."
            )
        if weights and isinstance(self.estimator, Pipeline):
            weights = {f"{self.estimator.steps[-1][0]}__sample_weight": sample_weight}
        return Bunch(estimator=Bunch(fit={**weights, **params}), splitter=Bunch(split={}))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = inner.input_tags
        tags.classifier_tags.multi_label = True
        return tags


def rank(estimator, X, k, want_probabilities=False, **parameters):
    """The k best labels of each row and their scores, from any classifier or pipeline.

    Parameters
    ----------
    estimator : object
        Fitted.
    X : object
        What the estimator takes.
    k : int
    want_probabilities : bool, default=False
        Of an estimator without ``predict_topk``: whether to ask it for ``predict_proba`` first.
    **parameters : dict
        Of ``predict_topk``.

    Returns
    -------
    labels, scores : ndarray of shape (n_samples, k)
        As ``predict_topk``.
    """
    ranking = predict_ranking(estimator, X, k, want_probabilities, **parameters)
    return ranking if isinstance(ranking, tuple) else topk(ranking, k)


def _fit_on(estimator, X, y, params, rows=None):
    """Fit a clone on some rows, or on all."""
    if rows is not None:
        n_samples = X.shape[0] if hasattr(X, "shape") else len(X)
        params = {name: _take(value, rows, n_samples) for name, value in params.items()}
        X, y = take_rows(X, rows), take_rows(y, rows)
    return clone(estimator).fit(X, y, **params)


def _take(value, rows, n_samples):
    """Those rows of an argument that has an entry per row; anything else as it is."""
    if np.ndim(value) == 0 or np.shape(value)[0] != n_samples:
        return value
    check_sparse_structure(value, "an argument of fit")
    return take_rows(value.tocsr() if sp.issparse(value) else value, rows)  # not every format has rows


def _columns(fitted, classes, form):
    """Column of the label matrix of each label of a fitted estimator."""
    if form.kind == "multilabel":
        return np.arange(classes.size)
    return np.searchsorted(classes, fitted.classes_)


def _check_form(fitted, X, one_class_per_row, n_known):
    """Refuse a y of classes for an estimator that predicts label sets, and the other way round."""
    if n_known == 1 or not hasattr(fitted, "predict"):  # a column of one label may count as either
        return
    predicts_classes = fitted.predict(take_rows(X, np.arange(1))).ndim == 1
    if predicts_classes != one_class_per_row:
        kinds = {True: "one class per row", False: "a multilabel indicator"}
        raise ValueError(
            f"y must be what the fitted estimator predicts, {kinds[predicts_classes]}, got "
            f"{kinds[one_class_per_row]}."
        )


def _known_classes(Y, classes, known):
    """Label matrix with a column for each class that the fitted estimator knows."""
    strange = np.setdiff1d(classes, known)
    if strange.size:
        raise ValueError(f"The fitted estimator knows the classes {known}, but y has {strange} as well.")
    columns = np.searchsorted(known, classes)[Y.indices]
    return sp.csr_array((Y.data, columns, Y.indptr), shape=(Y.shape[0], len(known))), np.asarray(known)
