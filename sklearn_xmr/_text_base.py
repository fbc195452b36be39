"""The steps of fit on raw texts, and the predictors, in the order in which they run."""

import pickle
import time
from dataclasses import fields

import joblib
import numpy as np
import scipy.sparse as sp
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize
from sklearn.utils import check_array, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_xmr._text_targets import TextTargets
from sklearn_xmr._xr_linear import XRLinearClassifier
from sklearn_xmr.indexing import HierarchicalKMeans, OverlappingIndexer
from sklearn_xmr.indexing._unused_labels import labels_to_index
from sklearn_xmr.utils._doc_link import DocLinkMixin
from sklearn_xmr.utils._features import join_features
from sklearn_xmr.utils._fit_progress import progress_log, quiet_step
from sklearn_xmr.utils._optional import came_with_code
from sklearn_xmr.utils._parameter_defaults import ParameterDefaultsMixin
from sklearn_xmr.utils._seeds import seeded_clone
from sklearn_xmr.utils._sklearn_private import validate_estimator_params
from sklearn_xmr.utils._validation import check_sparse_structure, check_texts

#: The preliminary tree is fine, so that the encoder learns small distinctions too.
PRELIMINARY_BRANCHING_FACTOR = PRELIMINARY_MAX_LEAF_SIZE = 16
#: For propensities, by which the default ranker weighs rare labels.
FEWEST_TEXTS = 3
#: Parameters that say what a fine-tuning is, besides those of the training loop.
CURRICULUM_PARAMETERS = (
    "fine_tuning", "preliminary_indexer", "max_nodes", "negative_sampling", "n_matched", "bootstrap",
    "n_epochs", "n_frozen_layers", "embedding_weight", "validation_fraction", "pooling", "precision",
)  # fmt: skip


def _ranker_has(name):
    """Whether the ranker, fitted or not, has a method."""

    def check(estimator):
        ranker = getattr(estimator, "ranker_", None) or estimator.ranker or default_ranker()
        getattr(ranker, name)  # raises the AttributeError that says why
        return True

    return check


class BaseTextXMRClassifier(
    ParameterDefaultsMixin, DocLinkMixin, ClassifierMixin, ClassNamePrefixFeaturesOutMixin,
    TransformerMixin, BaseEstimator,
):  # fmt: skip
    """Vectorize, fine-tune an encoder down a tree, embed, rank on both.

    `XRTransformerClassifier` defines the parameters.
    """

    # ------------------------------------------------------------------ fit

    def fit(self, X, y, sample_weight=None, relevance=None):
        """Fine-tune the encoder and train the rankers.

        Processes that are joined by ``torch.distributed`` share the work, see :ref:`several_gpus`.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            Texts.
        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape (n_samples, n_labels)
            Classes, or a multilabel indicator of zeros and ones.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weight of each text. The fine-tuning goes by the ratios of the weights; the ranker
            gets them as they are. A text of weight 0 only counts for the vectorizer.
        relevance : {array-like, sparse matrix} of shape (n_samples, n_labels), default=None
            How much each label of a text counts as its positive, from 0 (exclusive) upwards; zero where y
            is. Takes the place of the ones in the label counts of `weighted_loss` and `bootstrap`, and goes
            to the ranker, see :meth:`XRLinearClassifier.fit`.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ImportError
            If torch or transformers is not installed.
        ValueError
            If X, y, sample_weight or relevance is malformed, a setting does not fit the encoder, a
            checkpoint is damaged, training diverges, the processes were given different data or parameters,
            or share a fit inside of a joblib thread. An earlier fit stays usable.
        OSError
            If the encoder cannot be found or had, or a checkpoint cannot be written.
        TypeError
            If X is no sequence of str, encoder a pair of other things than a model and a tokenizer, or the
            ranker's ``fit`` does not take the weights that are given.
        """
        validate_estimator_params(self)
        _require_torch()
        import torch

        with torch.inference_mode(False):  # tensors that are made in that mode never learn
            return self._fit(X, y, sample_weight, relevance)

    def _fit(self, X, y, sample_weight, relevance):
        from sklearn_xmr._torch._distributed import Processes
        from sklearn_xmr._torch._encoder import TextEncoder

        texts = self._check_texts(X)
        targets = TextTargets(len(texts), y, sample_weight, relevance, self._unfitted_ranker())
        n_counting = np.count_nonzero(targets.row_weights)
        if self.ranker is None and n_counting < FEWEST_TEXTS:
            raise ValueError(
                f"X must hold at least {FEWEST_TEXTS} texts that count, as the default ranker needs the "
                f"frequencies of labels, got {n_counting}; or pass a ranker."
            )
        processes = Processes.joined()
        drawn = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        seed = processes.on_first(lambda: drawn)
        log, clock = progress_log(self.verbose and processes.is_first), _Clock()

        encoder = TextEncoder.load(
            self.encoder, pooling=self.pooling, max_length=self.max_length, precision=self.precision,
            device=processes.device(self.device),
        )  # fmt: skip
        vectorizer, features = processes.on_first(lambda: self._fit_vectorizer(texts, seed))
        tokens = encoder.tokenize(texts)
        processes.check_same(lambda: (tokens, targets, encoder.arrays(), self._shared_parameters()))
        log("%d texts, %.0f tokens each", len(texts), tokens.lengths.mean())
        clock.end("features")
        history, checkpoint, held_out = [], None, np.empty(0, dtype=np.int64)
        if self.fine_tuning is not None:
            history, checkpoint, held_out = self._fine_tune(
                encoder, tokens, features, targets, seed, log, processes
            )
        clock.end("fine_tuning")
        encoder = encoder.rounded()
        embeddings = processes.embed(encoder, tokens)
        clock.end("encoding")
        ranker = processes.on_first(lambda: self._fit_ranker(features, embeddings, y, targets.given, seed))
        clock.end("ranking")
        log("%s", ", ".join(f"{phase} {seconds:.0f} s" for phase, seconds in clock.seconds.items()))
        if checkpoint is not None:
            processes.on_first(checkpoint.delete)

        # Nothing is set before this line, so a failed fit leaves an earlier model as it was.
        self.classes_ = getattr(ranker, "classes_", targets.classes)
        self.encoder_ = encoder
        self.vectorizer_ = vectorizer
        self.ranker_ = ranker
        self.history_ = history
        self.validation_indices_ = held_out
        self.fit_seconds_ = clock.seconds
        self._embedding_weight = self.embedding_weight
        return self

    def __getstate__(self):
        state = dict(super().__getstate__())
        if isinstance(self.encoder, tuple) and any(map(came_with_code, self.encoder)):
            from sklearn_xmr._torch._encoder_state import PairWithCode

            state["encoder"] = PairWithCode(self.encoder)
        return state

    def __setstate__(self, state):
        state = {**state, "encoder": getattr(state["encoder"], "pair", state["encoder"])}  # of copy.copy
        super().__setstate__(state)

    def _shared_parameters(self):
        """Parameters that all of several processes go by.

        The others are read by the first alone, may differ, or are looked at as what they made.
        """
        alone = {"encoder", "vectorizer", "preliminary_indexer", "ranker", "device", "random_state",
                 "checkpoint_dir", "verbose"}  # fmt: skip
        parameters = self.get_params(deep=False)
        return {name: _as_plain(value) for name, value in parameters.items() if name not in alone}

    def _fit_vectorizer(self, texts, seed):
        """The fitted vectorizer and its features, None where they are dropped."""
        if isinstance(self.vectorizer, str):
            return None, None
        vectorizer = self.vectorizer
        if vectorizer is None:
            vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32)
        vectorizer = seeded_clone(vectorizer, seed)
        if hasattr(vectorizer, "fit_transform"):
            features = vectorizer.fit_transform(texts)
        else:  # FrozenEstimator hides fit_transform
            features = vectorizer.fit(texts, None).transform(texts)
        return vectorizer, _as_features(features, len(texts))

    def _fine_tune(self, encoder, tokens, features, targets, seed, log, processes):
        """Train the encoder in place; returns history, checkpoint (None if not kept), held-out rows."""
        from sklearn_xmr._fine_tuning import Curriculum, tree_of_checkpoint
        from sklearn_xmr._torch._training import TrainingSettings
        from sklearn_xmr._torch._training_form import frozen_layers

        settings = TrainingSettings(
            **{field.name: _as_plain(getattr(self, field.name)) for field in fields(TrainingSettings)}
        )
        checkpoint = saved = None
        if self.checkpoint_dir is not None:
            checkpoint, saved = processes.on_first(
                lambda: self._open_checkpoint(
                    settings, encoder.arrays(), encoder.signature(), tokens, features, targets
                )
            )
            if saved is not None:
                seed = saved[1]["seed"]  # another one where random_state is not an int
                log("going on from %s", checkpoint.path)
        # the tree is for the fine-tuning alone, which labels without rows have nothing to teach
        targets = targets.of_labels(labels_to_index(self.preliminary_indexer, targets.Y))
        # around all that takes long: it refuses a wrong number of layers
        with frozen_layers(encoder.model, self.n_frozen_layers):
            if saved is None:
                Z = features
                if features is None:
                    Z = sp.csr_array(normalize(processes.embed(encoder, tokens)))
                tree = processes.on_first(lambda: self._preliminary_tree(Z, targets, seed))
            else:
                tree = tree_of_checkpoint(saved[0])
            curriculum = Curriculum(
                encoder, tokens, features, targets, tree, self, settings, seed, processes
            )
            history = curriculum.run(log, checkpoint, saved)
        return history, checkpoint, np.sort(curriculum.validation_rows)

    def _open_checkpoint(self, settings, *data):
        """The checkpoint of this fit, and what an interrupted one left there, if anything."""
        from sklearn_xmr._torch._checkpoint import Checkpoint

        parameters = {name: getattr(self, name) for name in CURRICULUM_PARAMETERS}
        try:
            fit = joblib.hash((settings, parameters, *data))
        except pickle.PicklingError as error:
            raise ValueError(
                "checkpoint_dir must be None where a parameter cannot be pickled, as these tell fits "
                f"apart: {error}."
            ) from error
        checkpoint = Checkpoint(self.checkpoint_dir, fit, joblib.hash(self.random_state))
        return checkpoint, checkpoint.load()

    def _preliminary_tree(self, Z, targets, seed):
        indexer = self.preliminary_indexer
        if indexer is None:
            indexer = HierarchicalKMeans(
                branching_factor=PRELIMINARY_BRANCHING_FACTOR, max_leaf_size=PRELIMINARY_MAX_LEAF_SIZE
            )
        indexer = XRLinearClassifier(indexer=indexer)._fit_indexer(
            Z, targets.Y, targets.row_weights, seed, quiet_step
        )
        return getattr(indexer, "tree_", indexer)

    def _unfitted_ranker(self):
        return default_ranker() if self.ranker is None else self.ranker

    def _fit_ranker(self, features, embeddings, y, weights, seed):
        ranker = seeded_clone(self._unfitted_ranker(), seed)
        ranker.fit(join_features(features, embeddings, self.embedding_weight), y, **weights)
        return ranker

    # ------------------------------------------------------------------ predict

    def transform(self, X):
        """Embed texts.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            Texts.

        Returns
        -------
        embeddings : ndarray of shape (n_samples, n_dims), dtype float32
            Embeddings of unit length.
        """
        check_is_fitted(self)
        return normalize(self._embed(self._check_texts(X)))

    def predict_topk(self, X, k=5, *, beam_width=None, labels=None):
        """Rank the best labels of each text.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            Texts.
        k : int, default=5
            Number of labels returned per text.
        beam_width : int, default=None
            Nodes kept per inner tree level; None takes the ranker's.
        labels : array-like of int of shape (n_allowed,) or bool of shape (n_labels,), or {array-like, \
                sparse matrix} of shape (n_samples, n_labels), default=None
            Labels that may be returned, for all texts or text by text. None allows all.

        Returns
        -------
        labels : ndarray of shape (n_samples, k), dtype int32
            Indices into ``classes_``, best first; -1 where fewer than k labels were reached.
        scores : ndarray of shape (n_samples, k), dtype float32
            In (0, 1], -inf where fewer than k labels were reached.
        """
        parameters = {"beam_width": beam_width, "labels": labels}  # which a ranker may lack
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._rank("predict_topk", X, k, **given)

    def decision_function(self, X):
        """Score labels for each text.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            Texts.

        Returns
        -------
        scores : {ndarray, sparse matrix} of float32
            As from :meth:`XRLinearClassifier.decision_function`.
        """
        return self._rank("decision_function", X)

    @available_if(_ranker_has("predict_proba"))
    def predict_proba(self, X):
        """Estimate label probabilities, where the ranker does.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            Texts.

        Returns
        -------
        probabilities : {ndarray, sparse matrix}
            As from :meth:`XRLinearClassifier.predict_proba`.
        """
        return self._rank("predict_proba", X)

    def predict(self, X):
        """Predict label sets or classes.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            Texts.

        Returns
        -------
        y : {ndarray, sparse matrix}
            Multilabel y: indicator in the container of the y of fit. One-dimensional y: the best class.
        """
        return self._rank("predict", X)

    def score(self, X, y, sample_weight=None):
        """Precision at 1: the part of the texts whose best label is right.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            Texts.
        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape (n_samples, n_labels)
            True classes or labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each text.

        Returns
        -------
        score : float
            Between 0 and 1.
        """
        return self._rank("score", X, y, sample_weight)

    # ------------------------------------------------------------------ helpers

    def _rank(self, method, X, *args, **kwargs):
        """What the ranker answers to texts."""
        check_is_fitted(self)
        texts = self._check_texts(X)
        features = None
        if self.vectorizer_ is not None:
            features = _as_features(self.vectorizer_.transform(texts), len(texts))
        features = join_features(features, self._embed(texts), self._embedding_weight)
        return getattr(self.ranker_, method)(features, *args, **kwargs)

    def _check_texts(self, X):
        texts = check_texts(X, "X")
        if not texts:
            raise ValueError("X must hold at least one text, got none.")
        return texts

    @property
    def _n_features_out(self):
        """Read by ``get_feature_names_out``."""
        return self.encoder_.n_dims

    def _embed(self, texts):
        return self.encoder_.embed(self.encoder_.tokenize(texts))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.classifier_tags.multi_label = True
        return tags


def _as_features(X, n_texts):
    """What a vectorizer made of texts, as csr_array of float32."""
    name = "the vectorizer's output"
    check_sparse_structure(X, name)
    with np.errstate(over="ignore"):  # what overflows is refused as infinite
        X = check_array(X, accept_sparse="csr", dtype=np.float32, input_name=name)
    if X.shape[0] != n_texts:
        raise ValueError(f"vectorizer must give one row per text, got {X.shape[0]} for {n_texts} text(s).")
    return sp.csr_array(X)


def _as_plain(value):
    """A number of NumPy, whose small integers overflow, as one of Python; others as they are."""
    return value.item() if isinstance(value, np.generic) else value


def default_ranker():
    """The ranker in place of None.

    Rows of tf-idf and embedding have a squared norm of 2 and not of 1, so half of the default C penalises
    weights as much. Weights of the few hundred dense features are small each, but many. Beside the
    encoder's pass the better tree costs next to nothing.
    """
    return XRLinearClassifier(
        indexer=OverlappingIndexer(), propensity_power=1, C=0.5, weight_threshold=0.05
    )


class _Clock:
    """Seconds of the phases of a fit, one after the other."""

    def __init__(self):
        self.seconds = {}
        self._start = time.perf_counter()

    def end(self, phase):
        now = time.perf_counter()
        self.seconds[phase], self._start = now - self._start, now


def _require_torch():
    try:
        import sklearn_xmr._torch._encoder  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "XRTransformerClassifier needs torch and transformers, which are not installed: "
            "python -m pip install torch transformers"
        ) from error
