"""XMREnsembleClassifier: several rankers vote."""

import reprlib
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from joblib import cpu_count, effective_n_jobs
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from sklearn_xmr._xr_linear import XRLinearClassifier
from sklearn_xmr.metrics import topk
from sklearn_xmr.utils._doc_link import DocLinkMixin
from sklearn_xmr.utils._parameter_defaults import ParameterDefaultsMixin
from sklearn_xmr.utils._sklearn_private import (
    HasMethods,
    Interval,
    StrOptions,
    validate_estimator_params,
)
from sklearn_xmr.utils._targets import encode_targets, share_of_hits
from sklearn_xmr.utils._validation import MAX_INT32, check_feature_names, check_positive_int, to_read_again
from sklearn_xmr.utils._votes import VOTINGS, count_votes


class XMREnsembleClassifier(
    ParameterDefaultsMixin, DocLinkMixin, MetaEstimatorMixin, ClassifierMixin, BaseEstimator
):
    """Average the rankings of several classifiers, such as trees with different seeds.

    Read more in the :ref:`User Guide <ensembles>`.

    Parameters
    ----------
    estimator : classifier or sequence of classifiers, default=None
        Anything with ``fit`` and ``predict_topk``, so no `Pipeline`: put the ensemble last in one. A single
        one is cloned `n_estimators` times, each clone with seeds of its own in place of its
        ``random_state`` parameters, nested ones included. Of a sequence, each is cloned once, and seeded
        if its ``random_state`` is None. None uses `XRLinearClassifier`.
    n_estimators : int, default=3
        Number of clones of a single `estimator`.
    voting : {"mean", "rank", "softmax"}, default="mean"
        What an estimator gives to each of its `n_candidates` best labels: its score; 1, ..., 1/n by
        position; or its share of the sum of exp(score). A label's vote is the mean over estimators, 0 from
        those that do not rank it.
    n_candidates : int, default=20
        Labels that each estimator ranks; more where more are asked for.
    threshold : float, default=0.5
        ``predict`` returns the labels with votes above it (multilabel y).
    n_jobs : int, default=None
        Estimators that are fitted, or asked, at a time, in threads that share the processors between them.
        None means 1, which leaves all processors to one estimator at a time. Under
        ``joblib.parallel_config(backend="loky")`` they are fitted in processes.
    random_state : int, RandomState instance or None, default=None
        Draws the seeds, all of them before the first fit.

    Attributes
    ----------
    estimators_ : list of classifiers
        The fitted clones.
    classes_ : ndarray of shape (n_labels,)
        Class of each label for one-dimensional y; ``arange(n_labels)`` for an indicator.
    n_features_in_ : int
        Number of features seen in fit; only where X has features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X had string column names.

    See Also
    --------
    XRLinearClassifier : The default estimator.
    sklearn.ensemble.VotingClassifier : Averages dense probabilities or counts predictions.

    Examples
    --------
    >>> from sklearn_xmr import HierarchicalKMeans, XMREnsembleClassifier, XRLinearClassifier
    >>> from sklearn_xmr.datasets import make_xmc_classification
    >>> X, Y = make_xmc_classification(300, 200, 50, random_state=0)
    >>> tree = XRLinearClassifier(indexer=HierarchicalKMeans(max_leaf_size=10))
    >>> ensemble = XMREnsembleClassifier(tree, n_estimators=3, random_state=0).fit(X, Y)
    >>> len({estimator.tree_ for estimator in ensemble.estimators_})
    3
    >>> labels, votes = ensemble.predict_topk(X, k=2)
    >>> labels.shape
    (300, 2)
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict_topk"]), list, tuple, None],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "voting": [StrOptions(set(VOTINGS))],
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
        "threshold": [Interval(Real, 0, 1, closed="both")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator=None,
        n_estimators=3,
        *,
        voting="mean",
        n_candidates=20,
        threshold=0.5,
        n_jobs=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.voting = voting
        self.n_candidates = n_candidates
        self.threshold = threshold
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None, relevance=None):
        """Fit the estimators.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Whatever the estimators take.
        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape (n_samples, n_labels)
            Classes, or a multilabel indicator of zeros and ones.
        sample_weight : array-like of shape (n_samples,), default=None
            Passed to the estimators where it is given.
        relevance : {array-like, sparse matrix} of shape (n_samples, n_labels), default=None
            Passed to the estimators where it is given.

        Returns
        -------
        self : object
            The fitted ensemble.

        Raises
        ------
        ValueError
            If a parameter is out of range, `estimator` is an empty sequence, an estimator refuses the
            data, or one that was fitted before knows other labels or classes. An earlier fit stays usable.
        TypeError
            If an estimator of a sequence has no ``predict_topk``.
        """
        validate_estimator_params(self)
        X = to_read_again(X)  # by every estimator
        check_feature_names(X)
        members = self._seeded_members()
        weights = {"sample_weight": sample_weight, "relevance": relevance}
        arguments = {name: value for name, value in weights.items() if value is not None}
        calls = [member.fit for member in members]
        members = self._in_parallel(calls, X, y, hints={"prefer": "threads"}, **arguments)
        y = y if hasattr(y, "shape") else np.asarray(y)
        _, classes, form = encode_targets(y, y.shape[0])  # the estimators have checked it against X
        for number, member in enumerate(members):
            known = getattr(member, "classes_", classes)
            if not np.array_equal(known, classes):
                raise ValueError(
                    "The estimators of an ensemble must know the labels or classes of y, which are "
                    f"{reprlib.repr(classes.tolist())}; estimator {number} knows "
                    f"{reprlib.repr(np.asarray(known).tolist())}."
                )
        # only now, so that a failed fit leaves an earlier one as it was
        validate_data(self, X, skip_check_array=True)
        self.estimators_ = members
        self.classes_ = classes
        self._target_form = form
        return self

    def predict_topk(self, X, k=5, **parameters):
        """Rank the best labels of each row by the votes of the estimators.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Whatever the estimators take.
        k : int, default=5
            Number of labels returned per row.
        **parameters : dict
            Passed to ``predict_topk`` of the estimators, such as ``beam_width`` and ``labels``.

        Returns
        -------
        labels : ndarray of shape (n_samples, k), dtype int32
            Indices into ``classes_``, best first; equal votes go to the smaller index. -1 where fewer
            than k labels were reached.
        votes : ndarray of shape (n_samples, k), dtype float32
            In (0, 1], -inf where fewer than k labels were reached.
        """
        return topk(self._votes(X, check_positive_int(k, "k"), **parameters), k)

    def decision_function(self, X):
        """Give the votes for the candidates of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Whatever the estimators take.

        Returns
        -------
        votes : {ndarray, sparse matrix} of float32
            For sparse multilabel y: CSR of shape (n_samples, n_labels), the votes of the labels that an
            estimator ranks. For dense multilabel y: ndarray of that shape, votes minus ``threshold``. For
            multiclass y: ndarray of shape (n_samples, n_classes) of votes. For binary y: ndarray of shape
            (n_samples,), the votes for ``classes_[1]`` minus those for ``classes_[0]``.
        """
        votes = self._votes(X, 1)
        return self._target_form.decisions(votes, self.threshold)

    def predict(self, X):
        """Predict label sets or classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Whatever the estimators take.

        Returns
        -------
        y : {ndarray, sparse matrix}
            Multilabel y: indicator of the labels with votes above ``threshold``, in the container of the
            y of fit. One-dimensional y: the class with most votes.
        """
        votes = self._votes(X, 1)
        if self._target_form.kind != "multilabel":
            return self.classes_[topk(votes, 1)[0][:, 0]]
        return self._target_form.label_sets(votes, self.threshold)

    def score(self, X, y, sample_weight=None):
        """Return the precision at 1: the share of rows whose best label is one of theirs.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Whatever the estimators take.
        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape (n_samples, n_labels)
            True classes or labels, in the form of the y of fit.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row.

        Returns
        -------
        score : float
            The accuracy for one-dimensional y.
        """
        best = self.predict_topk(X, 1)[0][:, 0]
        return share_of_hits(best, y, self.classes_, self._target_form, sample_weight)

    def _seeded_members(self):
        """Unfitted clones, each with its seeds."""
        random_state = check_random_state(self.random_state)
        if not isinstance(self.estimator, (list, tuple)):
            base = XRLinearClassifier() if self.estimator is None else self.estimator
            members = []
            for _ in range(self.n_estimators):
                member = clone(base)
                names = [name for name in member.get_params() if name.split("__")[-1] == "random_state"]
                member.set_params(**{name: random_state.randint(MAX_INT32) for name in sorted(names)})
                members.append(member)
            return members
        if len(self.estimator) == 0:
            raise ValueError("estimator must hold at least one classifier, got an empty sequence.")
        for member in self.estimator:
            if not (hasattr(member, "fit") and hasattr(member, "predict_topk")):
                raise TypeError(
                    f"estimator must hold classifiers with fit and predict_topk, got {member!r}."
                )
        members = [clone(member) for member in self.estimator]
        for member in members:
            seed = random_state.randint(MAX_INT32)
            if member.get_params(deep=False).get("random_state", 0) is None:
                member.set_params(random_state=seed)
        return members

    def _votes(self, X, k, **parameters):
        check_is_fitted(self)
        X = to_read_again(X)
        n_labels = self.classes_.size
        n_candidates = min(max(k, check_positive_int(self.n_candidates, "n_candidates")), n_labels)
        calls = [member.predict_topk for member in self.estimators_]
        # never in processes, which would be sent the fitted models for each call
        rankings = self._in_parallel(calls, X, hints={"require": "sharedmem"}, k=n_candidates, **parameters)
        return count_votes(rankings, n_labels, self.voting)

    def _in_parallel(self, calls, *arguments, hints, **keywords):
        """Results of the calls, at most `n_jobs` at a time, which share the processors.

        ``hints`` tell joblib what to run them in.
        """
        n_jobs = min(effective_n_jobs(self.n_jobs), len(calls))
        if n_jobs == 1:
            return [call(*arguments, **keywords) for call in calls]
        n_threads = max(1, cpu_count() // n_jobs)
        # OpenMP's limit is the thread's own. BLAS has one for the process: threads that set and restored it
        # side by side would leave it as one of them found it in between.
        with threadpool_limits(n_threads, user_api="blas"):
            return Parallel(n_jobs, **hints)(
                delayed(_bounded)(n_threads, call, *arguments, **keywords) for call in calls
            )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        member = self.estimator
        if isinstance(member, (list, tuple)):
            member = member[0] if len(member) else None
        tags.input_tags = get_tags(XRLinearClassifier() if member is None else member).input_tags
        tags.classifier_tags.multi_label = True
        return tags


def _bounded(n_threads, call, *arguments, **keywords):
    """Result of a call that may use so many threads."""
    with threadpool_limits(n_threads, user_api="openmp"):
        return call(*arguments, **keywords)
