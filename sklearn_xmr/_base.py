"""The steps of fit and the public predictors, in the order in which they run."""

import warnings
from functools import partial

import numpy as np
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, has_fit_parameter, validate_data

from sklearn_xmr import __version__
from sklearn_xmr._label_tree import LabelTree
from sklearn_xmr._level_trainer import LevelTrainer, make_folds
from sklearn_xmr.indexing import HierarchicalKMeans
from sklearn_xmr.indexing._unused_labels import add_columns, add_unused, columns_of, labels_to_index
from sklearn_xmr.label_embedding import PIFA
from sklearn_xmr.matching._beam_search import MAX_LEVELS, BeamSearch, nodes_to_csr, topk_to_csr
from sklearn_xmr.matching._negative_sampling import resolve_negative_sampling, training_rows
from sklearn_xmr.matching._positive_split import positives_among, split_positives
from sklearn_xmr.metrics import jain_propensity
from sklearn_xmr.ranking._chunked_weights import LevelMatrices
from sklearn_xmr.ranking._linear_ranker import LevelProblem
from sklearn_xmr.ranking._relevance import check_relevance, favour_tail, keep_norms, weigh_positives
from sklearn_xmr.ranking._score_transform import resolve_score_transform
from sklearn_xmr.utils._doc_link import DocLinkMixin
from sklearn_xmr.utils._fit_progress import FitProgress
from sklearn_xmr.utils._parameter_defaults import ParameterDefaultsMixin
from sklearn_xmr.utils._seeds import seeded_clone
from sklearn_xmr.utils._sklearn_private import (
    CallbackSupportMixin,
    check_sample_weight,
    take_rows,
    validate_estimator_params,
    with_callbacks,
)
from sklearn_xmr.utils._sparse_entries import pattern_of
from sklearn_xmr.utils._targets import encode_targets, rows_that_count, share_of_hits
from sklearn_xmr.utils._validation import (
    as_float32,
    check_allowed_labels,
    check_feature_names,
    check_positive_int,
    check_sparse_structure,
    is_clean_csr,
)

#: Raised when the fitted state changes shape; a model of a newer format is refused.
FORMAT_VERSION = 1
#: Rows that are ranked at once where every reached label is returned: bounds the dense work space.
ROWS_PER_BLOCK = 4096


def _yields_probabilities(estimator):
    transform = estimator._score_transform()
    if set(np.ravel(transform)) != {"sigmoid"}:
        raise AttributeError(
            f"predict_proba needs score_transform='sigmoid', got {transform!r}: other transforms rank "
            "but do not estimate probabilities."
        )
    return True


class BaseXMRClassifier(
    ParameterDefaultsMixin, DocLinkMixin, CallbackSupportMixin, ClassifierMixin, BaseEstimator
):
    """Embed labels, index them in a tree, train a ranker per node, answer by beam search.

    Subclasses define the parameters and `_fit_rankers`.
    """

    # ------------------------------------------------------------------ fit

    @with_callbacks
    def fit(self, X, y, sample_weight=None, relevance=None):
        """Fit the label tree and its rankers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features; computed with in float32. Scale matters: tf-idf rows of unit norm are a good start.
        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape (n_samples, n_labels)
            Classes, or a multilabel indicator of zeros and ones (any dense or sparse container).
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weight of each row; a weight of 0 removes the row.
        relevance : {array-like, sparse matrix} of shape (n_samples, n_labels), default=None
            How much each label of a row counts as its positive, from 0 (exclusive) upwards; zero where y
            is. Multiplies the cost of the positive; a node has the sum of a row's labels below it, a label
            counting once for each of its leaves there, see ``relevance_norm``. None: every positive of
            every node counts as one, however many labels are below it.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If X, y or relevance is malformed, their rows differ in number, y has no positive, or the label
            tree does not match y. An earlier fit stays usable.
        TypeError
            If only some of the columns of X have a str for a name.
        """
        validate_estimator_params(self)
        X_in = X
        check_feature_names(X)
        check_sparse_structure(X, "X")
        X = check_array(
            X, accept_sparse="csr", dtype=[np.float32, np.float64], estimator=self, input_name="X"
        )
        X = as_float32(X)
        if sp.issparse(X) and not (X.has_canonical_format and X.data.all()):
            X = X.copy()
            X.sum_duplicates()  # the solver takes the norms of rows from their entries
            X.eliminate_zeros()  # and the number of entries decides how weights are stored
        Y, classes, form = encode_targets(y, X.shape[0])
        if relevance is not None:
            relevance = check_relevance(relevance, Y)
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, X, ensure_non_negative=True)
            used = rows_that_count(sample_weight, Y)
            X, Y, sample_weight = X[used], Y[used], sample_weight[used]
            relevance = None if relevance is None else relevance[used]
        if self.propensity_power > 0 and Y.shape[0] < 3:
            raise ValueError(f"propensity_power needs at least 3 rows, got {Y.shape[0]}.")
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

        progress = FitProgress(self, 3 + hasattr(self.indexer, "refine"), verbose=self.verbose, X=X_in, y=y)

        with config_context(transform_output="default"):  # sub-estimators must not hand us data frames
            used = labels_to_index(self.indexer, Y)
            indexer = self._fit_indexer(X, Y, sample_weight, seed, progress.step, used)
        Y_used = Y if used is None else columns_of(Y, used)
        tree, positives = self._refine_tree(X, Y_used, indexer, sample_weight, seed, progress)
        if used is not None:
            tree = add_unused(tree, used, Y.shape[1])
            positives = add_columns(positives, tree)
        del indexer  # its centres are large
        if relevance is not None or self.relevance_norm is not None:
            relevance = Y if relevance is None else relevance
            positives = weigh_positives(tree, positives, relevance, self.relevance_norm)
        if self.propensity_power > 0:
            leaves = favour_tail(positives[-1], tree.slot_labels, jain_propensity(Y), self.propensity_power)
            positives = [*positives[:-1], leaves]
        weights, n_iter = self._train_levels(X, tree, positives, sample_weight, seed, progress)

        search = BeamSearch(tree, weights)

        seen = BaseEstimator()
        validate_data(seen, X_in, skip_check_array=True)
        kept = {name: value for name, value in vars(self).items() if name != "feature_names_in_"}
        state = {
            **kept,
            **vars(seen),  # n_features_in_, and feature_names_in_ where X has names
            "classes_": classes,
            "tree_": tree,
            "n_iter_": n_iter,
            "chunked_weights_": weights,
            "_target_form": form,
            "_auto_transform": self._transform_of_margins(),
            "_search": search,
        }

        # Nothing is set before this line, so a failed fit leaves an earlier model as it was; and then all
        # at once, so that an interruption, or a prediction in another thread, finds one model.
        self.__dict__ = state
        progress.finish()
        return self

    def _fit_indexer(self, X, Y, sample_weight, seed, step, used=None):
        """Step 1 and 2: the user's tree, or an indexer that has one, of the labels `used` or of all."""
        indexer = self.indexer
        if isinstance(indexer, LabelTree):
            tree = indexer
        else:
            indexer = seeded_clone(HierarchicalKMeans() if indexer is None else indexer, seed)
            # FrozenEstimator: fitted before, needs no embedding
            if not hasattr(indexer, "tree_"):
                if not hasattr(indexer, "fit"):
                    raise TypeError(
                        f"indexer must be a LabelTree or have fit(Z) and then tree_, got {indexer!r}."
                    )
                with step("embed labels") as note:
                    Z = self._embed_labels(X, Y, sample_weight, seed)
                    if used is not None:
                        check_sparse_structure(Z, "label_embedding: its output")
                        Z = take_rows(Z.tocsr() if sp.issparse(Z) else Z, used)
                    note("%d labels by %d dimensions", *np.shape(Z))
                with step("index labels") as note:
                    if type(indexer) is HierarchicalKMeans:  # not a subclass, whose fit may differ
                        tree = indexer = indexer.build_tree(Z)
                    else:
                        indexer.fit(Z)
                        tree = getattr(indexer, "tree_", None)
                    note("%r", tree)
            else:
                tree = indexer = indexer.tree_
            if not isinstance(tree, LabelTree):
                raise TypeError(
                    f"indexer must set tree_ to a LabelTree when fitted, {self.indexer!r} set "
                    f"{type(tree).__name__}."
                )
        n_labels = Y.shape[1] if used is None else used.size
        if tree.n_labels != n_labels:
            raise ValueError(
                f"The label tree has {tree.n_labels} label(s), but y has {n_labels}; they must match. "
                "Other labels need another tree."
            )
        if tree.n_levels > MAX_LEVELS:
            raise ValueError(
                f"The label tree has {tree.n_levels} levels; at most {MAX_LEVELS} can be searched."
            )
        return indexer

    def _refine_tree(self, X, Y, indexer, sample_weight, seed, progress):
        """Step 2 again, where the indexer learns from the matcher: move and copy labels between leaves.

        Returns the tree and the positive rows of each node, level by level from the root.
        """
        tree = indexer if isinstance(indexer, LabelTree) else indexer.tree_
        positives = tree.propagate(Y)
        if not hasattr(indexer, "refine") or tree.n_levels == 1:
            return tree, positives
        with progress.step("refine tree") as note:
            for _ in range(indexer.n_rounds):
                trainer = self._level_trainer(X, tree, sample_weight, seed, indexer.cv)
                self._add_levels(trainer, positives, tree.n_levels - 1)
                beam = trainer.match(min(indexer.beam_width, max(tree.n_nodes)))
                matched = nodes_to_csr(beam, tree.n_nodes[-2])
                tree = indexer.refine(Y, matched, sample_weight).tree_
                positives = tree.propagate(Y)
            note("%r", tree)
        if indexer.positives == "split":
            positives = split_positives(tree, Y, matched)
        return tree, positives

    def _embed_labels(self, X, Y, sample_weight, seed):
        """Step 1: one vector per label."""
        embedding = self.label_embedding
        if embedding is None:
            embedding = PIFA()
        if not (hasattr(embedding, "fit") or hasattr(embedding, "fit_transform")):
            Z = check_array(embedding, accept_sparse="csr", input_name="label_embedding")
        else:
            embedding = seeded_clone(embedding, seed)
            weighted = (
                sample_weight is not None
                and hasattr(embedding, "fit")
                and has_fit_parameter(embedding, "sample_weight")
            )
            arguments = {"sample_weight": sample_weight} if weighted else {}
            if hasattr(embedding, "fit_transform"):
                Z = embedding.fit_transform(X, Y, **arguments)
            else:  # FrozenEstimator hides fit_transform
                Z = getattr(embedding.fit(X, Y, **arguments), "embedding_", None)
        if np.ndim(Z) != 2 and not sp.issparse(Z):
            raise TypeError(
                "label_embedding must have fit_transform(X, Y), or fit(X, Y) and then embedding_, that "
                f"gives one vector per label; {self.label_embedding!r} gave {type(Z).__name__}."
            )
        if np.shape(Z)[0] != Y.shape[1]:
            raise ValueError(
                f"label_embedding must give one row per label, got shape {np.shape(Z)} for {Y.shape[1]} "
                "label(s)."
            )
        return Z

    def _level_trainer(self, X, tree, sample_weight, seed, cv, level_step=None):
        transform = self._score_transform(self._transform_of_margins())
        return LevelTrainer(
            partial(self._fit_rankers, seed=seed), X, tree,
            resolve_score_transform(transform, tree.n_levels, self.score_slope),
            sample_weight, make_folds(cv, X.shape[0], seed), level_step,
        )  # fmt: skip

    def _add_levels(self, trainer, positives, n_levels):
        """Steps 3 and 4: which rows train the children of each node, for the top levels."""
        tree = trainer.tree
        schemes = resolve_negative_sampling(self.negative_sampling, tree.n_levels)
        width = min(self.beam_width, max(tree.n_nodes))
        for t, scheme in enumerate(schemes[:n_levels], start=1):
            parents = pattern_of(positives[t - 1])  # without their relevance
            rows = training_rows(scheme, t, parents, lambda: trainer.match(width))
            positive = positives[t]
            if t == tree.n_levels and tree.has_overlap:
                positive = keep_norms(positives_among(positive, rows, tree), positive, self.relevance_norm)
            trainer.add(LevelProblem(tree.child_ptr[t - 1], positive, rows))

    def _train_levels(self, X, tree, positives, sample_weight, seed, progress):
        with progress.levels(tree.n_levels) as level_step:
            trainer = self._level_trainer(X, tree, sample_weight, seed, self.negative_cv, level_step)
            self._add_levels(trainer, positives, tree.n_levels)
            weights, n_iter, n_unconverged = trainer.finish()
        if n_unconverged:
            warnings.warn(
                f"{n_unconverged} of {sum(tree.n_nodes[1:])} node problems did not reach tol in {n_iter} "
                "pass(es); scale the rows of X, or raise max_iter above that, or tol.",
                ConvergenceWarning,
                stacklevel=4,
            )
        return weights, n_iter

    # ------------------------------------------------------------------ predict

    def predict_topk(self, X, k=5, *, beam_width=None, labels=None):
        """Rank the best labels of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        k : int, default=5
            Number of labels returned per row.
        beam_width : int, default=None
            Nodes kept per inner tree level; None takes the estimator's ``beam_width``.
        labels : array-like of int of shape (n_allowed,) or bool of shape (n_labels,), or {array-like, \
                sparse matrix} of shape (n_samples, n_labels), default=None
            Labels that may be returned, for all rows or row by row. The search skips the others, so they
            take no room in the beam. None allows all.

        Returns
        -------
        labels : ndarray of shape (n_samples, k), dtype int32
            Indices into ``classes_``, best first; of scores with equal logarithms the smaller index.
            -1 where fewer than k labels were reached; mask it before indexing ``classes_``.
        scores : ndarray of shape (n_samples, k), dtype float32
            In (0, 1], -inf where fewer than k labels were reached.

        Raises
        ------
        ValueError
            If k or beam_width is below 1, X has another number of features than in fit, or ``labels`` is
            out of range.
        """
        X = self._check_query(X)
        return self._topk(X, check_positive_int(k, "k"), beam_width, labels)

    def decision_function(self, X):
        """Score labels for each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        scores : {ndarray, sparse matrix} of float32
            For sparse multilabel y: CSR of shape (n_samples, n_labels), scores in (0, 1] of the labels
            that the beam reached. For dense multilabel y: ndarray of that shape, score minus
            ``threshold``, a label that was not reached having the score 0. For multiclass y: ndarray of
            shape (n_samples, n_classes) of scores. For binary y: ndarray of shape (n_samples,), the
            score of ``classes_[1]`` minus that of ``classes_[0]``.
        """
        scores = self._reached_scores(self._check_query(X))
        return self._target_form.decisions(scores, self.threshold)

    @available_if(_yields_probabilities)
    def predict_proba(self, X):
        """Estimate label probabilities; needs ``score_transform="sigmoid"``.

        The probability of a label is the product of the sigmoids along its path. It is not calibrated;
        ``score_slope`` makes all of them more or less extreme.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        probabilities : {ndarray, sparse matrix}
            Multilabel y: marginal probability of each label, CSR for sparse y (absent: not reached),
            ndarray of values strictly between 0 and 1 for dense y. One-dimensional y: ndarray of shape
            (n_samples, n_classes) whose rows sum to one.
        """
        scores = self._reached_scores(self._check_query(X))
        form = self._target_form
        scores = form.wrap(scores)
        if form.is_sparse:
            return scores
        scores = scores.astype(np.float64)
        tiny = np.finfo(np.float32)
        if form.kind == "multilabel":
            return np.clip(scores, tiny.tiny, 1 - tiny.epsneg)
        return scores / scores.sum(axis=1, keepdims=True)

    def predict(self, X):
        """Predict label sets or classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        y : {ndarray, sparse matrix}
            Multilabel y: indicator of the labels that score above ``threshold``, in the container of the
            y of fit. One-dimensional y: the best class of each row.
        """
        X = self._check_query(X)
        if self._target_form.kind != "multilabel":
            return self.classes_[self._topk(X, 1)[0][:, 0]]
        return self._target_form.label_sets(self._reached_scores(X), self.threshold)

    def score(self, X, y, sample_weight=None):
        """Return the precision at 1: the share of rows whose best label is one of theirs.

        For one-dimensional y this is the accuracy. For multilabel y it replaces the subset accuracy of
        scikit-learn, which says nothing about a ranking.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape (n_samples, n_labels)
            True classes or labels, in the form of the y of fit.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row in the mean.

        Returns
        -------
        score : float
            In [0, 1].

        Raises
        ------
        ValueError
            If y differs from X in its number of rows or from the y of fit in its form, or a weight is
            negative.
        """
        best = self._topk(self._check_query(X), 1)[0][:, 0]
        return share_of_hits(best, y, self.classes_, self._target_form, sample_weight)

    # ------------------------------------------------------------------ helpers of the predictors

    def _check_query(self, X):
        # What the full checks would let pass as it is, recognised in a few microseconds: for a single row
        # they cost many times the search.
        state = vars(self)
        if "_search" in state and "feature_names_in_" not in state and is_clean_csr(X, self.n_features_in_):
            return X
        check_is_fitted(self)
        check_sparse_structure(X, "X")
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float32, np.float64], reset=False)
        return as_float32(X)

    def _topk(self, X, k, beam_width=None, labels=None):
        width = self._beam_width(beam_width)
        mask = None if labels is None else check_allowed_labels(labels, X.shape[0], self.classes_.size)
        search = self._search
        return search.topk(X, k, width, self._transform_codes(search.tree.n_levels), mask)

    def _score_transform(self, auto=None):
        """`score_transform`; "auto" is `auto`, or without it what suits the margins of the last fit."""
        if not (isinstance(self.score_transform, str) and self.score_transform == "auto"):
            return self.score_transform
        return auto or getattr(self, "_auto_transform", None) or self._transform_of_margins()

    def _transform_codes(self, n_levels):
        """The score transform of each level, checked, as the search reads it."""
        return resolve_score_transform(self._score_transform(), n_levels, self.score_slope)

    def _beam_width(self, beam_width=None):
        return check_positive_int(self.beam_width if beam_width is None else beam_width, "beam_width")

    def _reached_scores(self, X):
        """Scores of every label that the beam reaches, csr_array of shape (n_samples, n_labels)."""
        n_labels = self.classes_.size
        k = min(self._search.max_reached(self._beam_width()), n_labels)
        blocks = [
            topk_to_csr(*self._topk(X[start : start + ROWS_PER_BLOCK], k), n_labels)
            for start in range(0, X.shape[0], ROWS_PER_BLOCK)
        ]
        return sp.vstack(blocks, format="csr")

    # ------------------------------------------------------------------ plumbing

    @property
    def coefs_(self):
        """Weights of each level: sequence of csc_array (n_features, n_nodes[t]), made on request."""
        check_is_fitted(self)
        return LevelMatrices(self.chunked_weights_)

    @property
    def intercepts_(self):
        """Intercepts of each level; -inf for a node that had no positive row."""
        check_is_fitted(self)
        return [weights.intercepts for weights in self.chunked_weights_]

    def __getstate__(self):
        state = super().__getstate__().copy()
        if state.pop("_search", None) is not None:  # addresses do not travel
            state["_format_version"] = FORMAT_VERSION
            state["_library_version"] = __version__
        return state

    def __setstate__(self, state):
        state = dict(state)
        version = state.pop("_format_version", None)
        writer = state.pop("_library_version", "unknown")
        if version is not None and version > FORMAT_VERSION:
            raise ValueError(
                f"This model has format {version}, written by sklearn-xmr {writer}; version {__version__} "
                f"reads up to format {FORMAT_VERSION}. Install a newer one."
            )
        super().__setstate__(state)
        if version is not None:
            self._check_loaded()
            self._search = BeamSearch(self.tree_, self.chunked_weights_)

    def _check_loaded(self):
        """Refuse parts that do not belong together: the kernels trust them without looking."""
        tree, weights = self.tree_, self.chunked_weights_
        if not (
            len(weights) == tree.n_levels
            and all(map(np.array_equal, tree.child_ptr, (level.child_ptr for level in weights)))
            and all(level.n_features == self.n_features_in_ for level in weights)
            and self.classes_.shape == (tree.n_labels,)
        ):
            raise ValueError(
                f"This model is damaged: its tree {tree!r}, its {len(weights)} level(s) of weights and its "
                f"{self.classes_.size} class(es) do not belong together."
            )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = True
        return tags
