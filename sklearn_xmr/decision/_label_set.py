"""LabelSetClassifier: turns rankings into sets of labels by a chosen rule."""

from numbers import Integral
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_xmr.decision._base import BaseDecisionClassifier, rank
from sklearn_xmr.decision._candidates import gather_candidates
from sklearn_xmr.decision._rules import best_expected_f1_sizes, label_thresholds, sets_to_csr
from sklearn_xmr.utils._sklearn_private import HasMethods, Interval, StrOptions, check_sample_weight
from sklearn_xmr.utils._targets import check_truth
from sklearn_xmr.utils._validation import check_positive_int

RULES = ("top_k", "global_threshold", "label_thresholds", "expected_f1")
ROWS_PER_DYNAMIC_PROGRAM = 1024


def _estimator_has(method):
    def check(self):
        estimator = getattr(self, "estimator_", self.estimator)
        getattr(estimator, method)  # an AttributeError tells what is missing
        return True

    return check


class LabelSetClassifier(BaseDecisionClassifier):
    """Turn the ranking of a classifier into label sets, by a rule tuned on held-out rows.

    The ranking stays that of the wrapped estimator; only ``predict`` differs. Where y holds one class per
    row, there is no set to cut: every method is then the estimator's, whatever the rule.

    Read more in the :ref:`User Guide <thresholds>`.

    Parameters
    ----------
    estimator : estimator
        Ranks labels: has ``predict_topk``, or is a `Pipeline` whose last step has it, or has
        ``decision_function`` or ``predict_proba`` of shape (n_samples, n_labels).
    rule : {"label_thresholds", "global_threshold", "top_k", "expected_f1"}, default="label_thresholds"
        ``"label_thresholds"``: the labels that score at least their own threshold, which maximises the
        label's F1 on held-out rows; made for macro-F1. ``"global_threshold"``: the same threshold for
        all labels, which maximises micro-F1. ``"top_k"``: the k best labels. ``"expected_f1"``: as many
        of the best labels as maximise the row's expected F1; made for the mean F1 of rows, and needs
        probabilities as scores, see `CalibratedXMRClassifier`.
    k : int, default=5
        Labels of each row, for ``"top_k"``.
    n_candidates : int, default=50
        Best labels of each row that the other rules choose from. None further down is ever predicted.
    min_positives : int, default=10
        For ``"label_thresholds"``: a label that fewer held-out rows have, or that is a candidate of
        none of these, shares a threshold with such labels of about its frequency. A row counts once,
        whatever its weight, and not if that is 0.
    cv : int, cross-validation generator, iterable or "prefit", default=5
        How rows are held out to tune thresholds; the estimator is fitted once for each fold, and then on
        all rows. ``"prefit"``, or an estimator in `sklearn.frozen.FrozenEstimator`: it is fitted
        already, and all rows given to fit tune the thresholds. Not used by the rules that tune nothing.

    Attributes
    ----------
    estimator_ : estimator
        Fitted on all rows, or as given.
    classes_ : ndarray of shape (n_labels,)
        Class of each label for one-dimensional y; ``arange(n_labels)`` for an indicator.
    threshold_ : float
        The global threshold, for ``"global_threshold"`` and ``"label_thresholds"``.
    thresholds_ : ndarray of shape (n_labels,)
        Threshold of each label, for ``"label_thresholds"``.
    n_features_in_ : int
        As in the estimator, where it has it.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        As in the estimator, where it has it.

    See Also
    --------
    CalibratedXMRClassifier : Makes scores probabilities.
    sklearn.model_selection.TunedThresholdClassifierCV : For one binary target.

    References
    ----------
    .. [1] Yiming Yang, "A study of thresholding strategies for text categorization", SIGIR 2001.
    .. [2] N. Ye, K. M. A. Chai, W. S. Lee, H. L. Chieu, "Optimizing F-measure: a tale of two approaches",
       ICML 2012.
    .. [3] Y.-J. Lin, C.-J. Lin, "On the thresholding strategy for infrequent labels in multi-label
       classification", CIKM 2023.

    Examples
    --------
    >>> from sklearn_xmr import LabelSetClassifier, XRLinearClassifier
    >>> from sklearn_xmr.datasets import make_xmc_classification
    >>> X, Y = make_xmc_classification(300, 100, 20, random_state=0)
    >>> classifier = LabelSetClassifier(XRLinearClassifier(random_state=0), rule="global_threshold", cv=3)
    >>> classifier.fit(X[:200], Y[:200]).predict(X[200:]).shape
    (100, 20)
    >>> bool(0 < classifier.threshold_ < 1)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods("fit")],
        "rule": [StrOptions(set(RULES))],
        "k": [Interval(Integral, 1, None, closed="left")],
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
        "min_positives": [Interval(Integral, 1, None, closed="left")],
        "cv": ["cv_object", StrOptions({"prefit"})],
    }

    _decision = "rule"

    def __init__(self, estimator, *, rule="label_thresholds", k=5, n_candidates=50, min_positives=10, cv=5):
        self.estimator = estimator
        self.rule = rule
        self.k = k
        self.n_candidates = n_candidates
        self.min_positives = min_positives
        self.cv = cv

    def _needs_held_out_rows(self, form):
        return form.kind == "multilabel" and self.rule in ("global_threshold", "label_thresholds")

    def _fit_decision(self, parts, Y, sample_weight):
        held_out = gather_candidates(parts, Y, self.n_candidates, sample_weight)
        shared, per_label = label_thresholds(held_out, self.min_positives)
        if self.rule == "global_threshold":
            return {"threshold_": shared}
        return {"threshold_": shared, "thresholds_": per_label}

    def predict(self, X):
        """Predict label sets.

        Parameters
        ----------
        X : array-like, sparse matrix or list of texts, of n_samples rows
            Whatever the estimator takes.

        Returns
        -------
        Y : {ndarray, sparse matrix} of shape (n_samples, n_labels) or ndarray of shape (n_samples,)
            Indicator, in the container of the y of fit. One class per row: the estimator's prediction.
        """
        check_is_fitted(self)
        if self._target_form.kind != "multilabel":
            return self.estimator_.predict(X)
        rule = self._fitted_decision
        size = "k" if rule == "top_k" else "n_candidates"
        n_wanted = min(check_positive_int(getattr(self, size), size), self.classes_.size)
        labels, scores = rank(self.estimator_, X, n_wanted, want_probabilities=rule == "expected_f1")
        taken = labels >= 0
        if rule == "global_threshold":
            taken &= scores >= np.float64(self.threshold_)  # not rounded to the scores' float32
        elif rule == "label_thresholds":
            taken &= scores >= self.thresholds_[labels]
        elif rule == "expected_f1":
            taken &= np.arange(labels.shape[1]) < self._expected_f1_sizes(scores)[:, None]
        return self._target_form.wrap(sets_to_csr(labels, taken, self.classes_.size))

    def _expected_f1_sizes(self, scores):
        probabilities = np.where(scores == -np.inf, 0, scores).astype(np.float64)
        if probabilities.size and not 0 <= probabilities.min() <= probabilities.max() <= 1:
            raise ValueError(
                "rule='expected_f1' needs scores that are probabilities, got values outside of [0, 1]; "
                "take an estimator with predict_proba, or an XRLinearClassifier in CalibratedXMRClassifier."
            )
        sizes = [
            best_expected_f1_sizes(probabilities[start : start + ROWS_PER_DYNAMIC_PROGRAM])[0]
            for start in range(0, scores.shape[0], ROWS_PER_DYNAMIC_PROGRAM)
        ]
        return np.concatenate(sizes)

    def predict_topk(self, X, k=5, **parameters):
        """Rank the best labels of each row, as the wrapped estimator does.

        Parameters
        ----------
        X : array-like, sparse matrix or list of texts, of n_samples rows
            Whatever the estimator takes.
        k : int, default=5
            Number of labels returned per row.
        **parameters : dict
            Passed to ``predict_topk`` of the estimator, such as ``beam_width`` and ``labels``.

        Returns
        -------
        labels : ndarray of shape (n_samples, k), dtype int32
            Best first, -1 where fewer than k labels were reached.
        scores : ndarray of shape (n_samples, k)
            Their scores, -inf where fewer than k labels were reached.
        """
        check_is_fitted(self)
        return rank(self.estimator_, X, check_positive_int(k, "k"), **parameters)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X):
        """Score labels as the wrapped estimator does.

        Parameters
        ----------
        X : array-like, sparse matrix or list of texts, of n_samples rows
            Whatever the estimator takes.

        Returns
        -------
        scores : {ndarray, sparse matrix} of shape (n_samples, n_labels)
            Its scores.
        """
        check_is_fitted(self)
        return self.estimator_.decision_function(X)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X):
        """Estimate label probabilities as the wrapped estimator does.

        Parameters
        ----------
        X : array-like, sparse matrix or list of texts, of n_samples rows
            Whatever the estimator takes.

        Returns
        -------
        probabilities : {ndarray, sparse matrix} of shape (n_samples, n_labels)
            Its probabilities.
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    def score(self, X, y, sample_weight=None):
        """Return the micro-averaged F1 of the predicted sets; the accuracy for one class per row.

        Parameters
        ----------
        X : array-like, sparse matrix or list of texts, of n_samples rows
            Test rows.
        y : {array-like, sparse matrix} of shape (n_samples, n_labels) or array-like of shape (n_samples,)
            True labels, or classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Row weights.

        Returns
        -------
        score : float
            In [0, 1].
        """
        check_is_fitted(self)
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, X, ensure_non_negative=True)
        if self._target_form.kind != "multilabel":
            return super().score(X, y, sample_weight)
        predicted = self.predict(X)
        y = check_truth(y, predicted.shape[0], self.classes_.size)
        predicted = sp.csr_array(predicted)
        weights = np.ones(y.shape[0]) if sample_weight is None else sample_weight
        n_hits, n_entries = (
            float(weights @ matrix.sum(axis=1)) for matrix in (y.multiply(predicted), y + predicted)
        )
        return 2 * n_hits / n_entries if n_entries > 0 else 0.0
