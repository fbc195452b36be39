"""CalibratedXMRClassifier: scores that are probabilities."""

from numbers import Integral
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_xmr.decision._base import BaseDecisionClassifier, rank
from sklearn_xmr.decision._calibrators import calibrated, fit_calibrator, score_to_logit
from sklearn_xmr.decision._candidates import gather_candidates
from sklearn_xmr.decision._level_margins import gather_margins, rank_by_levels
from sklearn_xmr.matching._beam_search import topk_to_csr
from sklearn_xmr.metrics._scorer import unwrap
from sklearn_xmr.utils._sklearn_private import HasMethods, Interval, StrOptions
from sklearn_xmr.utils._targets import share_of_hits
from sklearn_xmr.utils._validation import check_positive_int


class CalibratedXMRClassifier(BaseDecisionClassifier):
    """Calibrate the scores of a label ranking, so that they are probabilities.

    The transformed margins of a tree of linear models rank labels but are no probabilities: of the labels
    that score 0.8, some other share than 80 % is true. On rows held out from the classifier, this learns a
    map from scores to probabilities that never decreases, pooled over labels. Where y holds one class per
    row, the probabilities of a row are divided by their sum.

    Read more in the :ref:`User Guide <calibration>`.

    Parameters
    ----------
    estimator : estimator
        `XRLinearClassifier`, or a `Pipeline` that ends in one. With ``scope="path"`` anything whose
        ``predict_topk`` gives scores in (0, 1], or that has no such method but ``predict_proba``.
    scope : {"path", "levels"}, default="path"
        What is mapped. ``"path"``: the score of a label, the product along its path; the ranking stays as
        it is. ``"levels"``: the margins of each tree level apart, pooled over its nodes, to the
        probability that a node is positive if its parent is. The probability of a label is their
        product, and the labels that the beam reached are ranked by it.
    method : {"isotonic", "sigmoid"}, default="isotonic"
        ``"isotonic"``: a step function, linear between the steps. ``"sigmoid"``: Platt scaling
        with the targets of Lin, Lin and Weng; steadier with few held-out rows, but of a fixed shape.
    n_candidates : int, default=20
        Best labels of each row that are calibrated, and that ``predict_proba`` returns.
    cv : int, cross-validation generator, iterable or "prefit", default=5
        How rows are held out; the estimator is fitted once for each fold, and then on all rows.
        ``"prefit"``, or an estimator in `sklearn.frozen.FrozenEstimator`: it is fitted already, and the
        rows given to fit, which it must not have seen, only calibrate.

    Attributes
    ----------
    estimator_ : estimator
        Fitted on all rows, or as given.
    calibrators_ : list
        The maps: one for ``scope="path"``, one per tree level for ``scope="levels"``.
    classes_ : ndarray of shape (n_labels,)
        Class of each label for one-dimensional y; ``arange(n_labels)`` for an indicator.
    n_features_in_ : int
        As in the estimator, where it has it.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        As in the estimator, where it has it.

    See Also
    --------
    LabelSetClassifier : Makes label sets of probabilities, with ``rule="expected_f1"``.
    sklearn.calibration.CalibratedClassifierCV : For one class per row; a map for each class.

    References
    ----------
    .. [1] H.-T. Lin, C.-J. Lin, R. C. Weng, "A note on Platt's probabilistic outputs for support vector
       machines", Machine Learning 68, 2007.
    .. [2] B. Zadrozny, C. Elkan, "Transforming classifier scores into accurate multiclass probability
       estimates", KDD 2002.

    Examples
    --------
    >>> from sklearn_xmr import CalibratedXMRClassifier, XRLinearClassifier
    >>> from sklearn_xmr.datasets import make_xmc_classification
    >>> from sklearn_xmr.metrics import expected_calibration_error
    >>> X, Y = make_xmc_classification(600, 100, 20, random_state=0)
    >>> classifier = XRLinearClassifier(random_state=0)
    >>> calibrated = CalibratedXMRClassifier(classifier, cv=3).fit(X[:400], Y[:400])
    >>> before = classifier.fit(X[:400], Y[:400]).decision_function(X[400:])
    >>> after = calibrated.predict_proba(X[400:])
    >>> expected_calibration_error(Y[400:], after) < expected_calibration_error(Y[400:], before)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods("fit")],
        "scope": [StrOptions({"path", "levels"})],
        "method": [StrOptions({"isotonic", "sigmoid"})],
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
        "cv": ["cv_object", StrOptions({"prefit"})],
    }

    _decision = "scope"

    def __init__(self, estimator, *, scope="path", method="isotonic", n_candidates=20, cv=5):
        self.estimator = estimator
        self.scope = scope
        self.method = method
        self.n_candidates = n_candidates
        self.cv = cv

    def _needs_held_out_rows(self, form):
        return True

    def _fit_decision(self, parts, Y, sample_weight):
        if self.scope == "path":
            held_out = gather_candidates(
                parts, Y, self.n_candidates, sample_weight, want_probabilities=True
            )
            weights = held_out.row_weights[held_out.rows]
            scores = score_to_logit(held_out.scores)
            return {"calibrators_": [fit_calibrator(self.method, scores, held_out.hits, weights)]}
        by_fold = []
        for fitted, X, rows, columns in parts:
            classifier, X = _split(fitted, X)
            weights = np.ones(rows.size) if sample_weight is None else sample_weight[rows]
            margins = gather_margins(classifier, X, Y[rows][:, columns])
            by_fold.append([(values, hits, weights[of]) for of, values, hits in margins])
        n_levels = {len(levels) for levels in by_fold}
        if len(n_levels) > 1:
            raise ValueError(
                f"scope='levels' needs label trees of one depth, but the folds have {sorted(n_levels)} "
                "levels; pass a LabelTree as the classifier's indexer."
            )
        pooled = [map(np.concatenate, zip(*level, strict=True)) for level in zip(*by_fold, strict=True)]
        return {"calibrators_": [fit_calibrator(self.method, *level) for level in pooled]}

    def predict_topk(self, X, k=5, **parameters):
        """Rank the best labels of each row by their probability.

        Parameters
        ----------
        X : array-like, sparse matrix or list of texts, of n_samples rows
            Whatever the estimator takes.
        k : int, default=5
            Number of labels returned per row.
        **parameters : dict
            Passed to ``predict_topk`` of the estimator, such as ``beam_width`` and ``labels``. One class
            per row: probabilities are then of the allowed classes.

        Returns
        -------
        labels : ndarray of shape (n_samples, k), dtype int32
            Best first, -1 where fewer than k labels were reached. With ``scope="path"`` the order is that
            of the estimator, also where the map gives equal probabilities.
        probabilities : ndarray of shape (n_samples, k), dtype float32
            In (0, 1), -inf where fewer than k labels were reached. One class per row: of `n_candidates`
            at most, as in ``predict_proba``.
        """
        check_is_fitted(self)
        k = check_positive_int(k, "k")
        if self._target_form.kind == "multilabel":
            # as many as the map was learnt from: scores of an ensemble depend on how many are asked for
            labels, probabilities = self._rank(X, max(k, self._n_candidates()), **parameters)
            return labels[:, :k], probabilities[:, :k]
        labels, probabilities = self._rank_classes(X, **parameters)
        missing = max(0, k - labels.shape[1])
        labels = np.pad(labels, [(0, 0), (0, missing)], constant_values=-1)
        probabilities = np.pad(probabilities, [(0, 0), (0, missing)], constant_values=-np.inf)
        return labels[:, :k], _open_interval(probabilities[:, :k])

    def _rank(self, X, k, **parameters):
        """The best labels and the probability of each by itself."""
        if self._fitted_decision == "levels":
            labels, probabilities = rank_by_levels(
                *_split(self.estimator_, X), k, self.calibrators_, **parameters
            )
        else:
            labels, scores = rank(self.estimator_, X, k, want_probabilities=True, **parameters)
            probabilities = np.full(labels.shape, -np.inf)
            found = labels >= 0
            probabilities[found] = calibrated(self.calibrators_[0], score_to_logit(scores[found]))
        return labels, _open_interval(probabilities)

    def _n_candidates(self):
        return min(check_positive_int(self.n_candidates, "n_candidates"), self.classes_.size)

    def _rank_classes(self, X, **parameters):
        """The candidates of each row and their shares in the sum of their probabilities, in float64.

        Shares that the map makes equal are set apart by their last bits: the largest is the best class's.
        """
        labels, probabilities = self._rank(X, self._n_candidates(), **parameters)
        probabilities = probabilities.astype(np.float64)
        shares = probabilities / np.where(labels >= 0, probabilities, 0).sum(axis=1, keepdims=True)
        for place in range(1, shares.shape[1]):
            shares[:, place] = np.minimum(shares[:, place], np.nextafter(shares[:, place - 1], 0))
        return labels, shares

    def predict_proba(self, X):
        """Estimate the marginal probability of each label, or that of each class.

        Parameters
        ----------
        X : array-like, sparse matrix or list of texts, of n_samples rows
            Whatever the estimator takes.

        Returns
        -------
        probabilities : {ndarray, sparse matrix} of shape (n_samples, n_labels)
            Of the `n_candidates` best labels of each row; the others are absent in a CSR (sparse y) and
            0 in an ndarray. One class per row: rows sum to one.
        """
        probabilities = self._probabilities(X)
        return self._target_form.wrap(probabilities)

    def decision_function(self, X):
        """Score labels by their probability.

        Parameters
        ----------
        X : array-like, sparse matrix or list of texts, of n_samples rows
            Whatever the estimator takes.

        Returns
        -------
        scores : {ndarray, sparse matrix} of shape (n_samples, n_labels) or (n_samples,)
            Sparse y and more than two classes: the probabilities. Dense multilabel y: probabilities minus
            0.5, so that positive scores are what ``predict`` returns. Two classes: the probability of
            ``classes_[1]`` minus that of ``classes_[0]``.
        """
        probabilities = self.predict_proba(X)
        kind = self._target_form.kind
        if kind == "binary":
            single = probabilities.shape[1] == 1
            return probabilities[:, 0] if single else probabilities[:, 1] - probabilities[:, 0]
        if kind == "multiclass" or sp.issparse(probabilities):
            return probabilities
        return probabilities - np.float32(0.5)

    def predict(self, X):
        """Predict the labels that are more probable than not, or the most probable class.

        Parameters
        ----------
        X : array-like, sparse matrix or list of texts, of n_samples rows
            Whatever the estimator takes.

        Returns
        -------
        Y : {ndarray, sparse matrix} of shape (n_samples, n_labels) or ndarray of shape (n_samples,)
            Indicator, in the container of the y of fit; `LabelSetClassifier` has other rules. One class
            per row: the most probable class.
        """
        chosen = self._probabilities(X)
        if self._target_form.kind != "multilabel":
            return self.classes_[chosen.toarray().argmax(axis=1)]
        return self._target_form.label_sets(chosen, 0.5)

    def score(self, X, y, sample_weight=None):
        """Return the precision at 1: the share of rows whose best label is one of theirs.

        For one class per row this is the accuracy.

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
        best = self.predict_topk(X, k=1)[0][:, 0]
        return share_of_hits(best, y, self.classes_, self._target_form, sample_weight)

    def _probabilities(self, X):
        check_is_fitted(self)
        n_labels = self.classes_.size
        if self._target_form.kind == "multilabel":
            return topk_to_csr(*self._rank(X, self._n_candidates()), n_labels)
        return topk_to_csr(*self._rank_classes(X), n_labels)


def _split(estimator, X):
    """The classifier at the end of a pipeline, and X as the classifier takes it, checked."""
    estimator = unwrap(estimator)
    if isinstance(estimator, Pipeline):
        return _split(estimator[-1], estimator[:-1].transform(X) if len(estimator) > 1 else X)
    if not hasattr(estimator, "chunked_weights_"):
        raise TypeError(
            "scope='levels' needs an XRLinearClassifier, or a Pipeline that ends in one, got "
            f"{type(estimator).__name__}."
        )
    return estimator, estimator._check_query(X)


def _open_interval(probabilities):
    """As float32, strictly between 0 and 1; padding stays -inf."""
    limits = np.finfo(np.float32)
    clipped = np.clip(probabilities, limits.tiny, 1 - limits.epsneg)
    return np.where(probabilities == -np.inf, -np.inf, clipped).astype(np.float32)
