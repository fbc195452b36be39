"""XRLinearClassifier: recursive linear matcher and ranker."""

from numbers import Integral, Real
from typing import ClassVar

import scipy.sparse as sp

from sklearn_xmr._base import BaseXMRClassifier
from sklearn_xmr.ranking._estimator_ranker import fit_estimator_rankers
from sklearn_xmr.ranking._linear_ranker import LOSSES, fit_linear_rankers
from sklearn_xmr.ranking._relevance import NORMS
from sklearn_xmr.utils._features import mean_row_length
from sklearn_xmr.utils._seeds import seeded_clone
from sklearn_xmr.utils._sklearn_private import HasMethods, Interval, StrOptions

#: Weights shrink as rows grow, and `weight_threshold` with them from this mean length on: text features of
#: unit length, with an embedding beside them or without, are below it.
LONG_ROWS = 2.0


class XRLinearClassifier(BaseXMRClassifier):
    """Extreme multilabel ranking with linear models down a label tree (XR-Linear).

    ``fit`` embeds the labels, clusters them into a tree and trains one linear one-vs-rest model per tree
    node. A node learns from the rows that concern its parent, so its negatives are the hard ones: rows of
    sibling labels. ``predict_topk`` walks the tree with a beam and returns the best labels with scores.

    Read more in the :ref:`User Guide <xr_linear>`.

    Parameters
    ----------
    label_embedding : object or array-like of shape (n_labels, n_dims), default=None
        Represents each label by a vector: anything with ``fit_transform(X, Y)`` that returns one row per
        label, such as `PII` or ``make_pipeline(PIFA(), TruncatedSVD(128))``, or such an array. None uses
        `PIFA`. Not used where ``indexer`` is a tree or already fitted.
    indexer : object or LabelTree, default=None
        Clusters the label vectors: anything whose ``fit(Z)`` sets ``tree_`` to a `LabelTree`; a fitted one
        in `sklearn.frozen.FrozenEstimator`; or a `LabelTree`. None uses `HierarchicalKMeans` with its
        defaults. One that has ``refine``, such as `OverlappingIndexer`, learns from the matcher as well.
    ranker : estimator, default=None
        A linear classifier of scikit-learn (``coef_``, ``intercept_``) to fit every node with, in place of
        the built-in solver; its ``fit`` takes ``sample_weight`` where positives are weighed. Much slower;
        ``loss``, ``C``, the class weights, ``bias``, ``tol`` and ``max_iter`` are then not used.
    loss : {"squared_hinge", "hinge", "log_loss"}, default="squared_hinge"
        Loss of a node's binary problem.
    C : float, default=1.0
        Inverse regularisation strength, multiplying the sum of losses.
    positive_weight, negative_weight : float, default=1.0
        Multiply C for a node's positive and negative rows.
    relevance_norm : {"l1", "l2", "max"} or None, default=None
        Norm that the costs of a row's positive nodes get on each tree level. The cost of a node is the sum
        of the row's ``relevance`` below it, or the number of its labels there where `fit` gets none, a
        label counting once for each of its leaves there. With ``"l1"`` each row has the same total weight,
        so rows with many labels no longer outweigh others;
        raise ``positive_weight`` beside it, to 4, say. None: costs as they are, all 1 without
        ``relevance``.
    propensity_power : float, default=0.0
        Favours rare labels, from 0 to 10: on the last level the cost of a positive of label l is
        multiplied by (1 / p_l) to this power, with p_l from `metrics.jain_propensity`; the factors are
        scaled to a mean of 1 over all positives. Rows count once in p_l and in this mean, whatever their
        `sample_weight`. Up to about 1, propensity-scored precision rises with little or no loss of
        precision; above, it costs some where labels have few rows. 0: all labels count the same.
    bias : float, default=1.0
        Value of the constant feature whose weight is the intercept; it is regularised like any other.
        0 fits no intercept.
    negative_sampling : {"tfn", "man", "tfn+man"} or list of these, default="tfn"
        Rows that train the children of a node. ``"tfn"``, teacher forcing: rows with a true label below
        the node. ``"man"``, matcher-aware: rows that the levels above send to the node, and its children's
        positives. ``"tfn+man"``: both. A list has one entry per tree level.
    negative_cv : int, default=None
        Folds for the beams of ``"man"``: a row's beam comes from rankers trained on the other folds, as
        that of a new row does. None takes the beams of rankers that were trained on the row, which miss
        fewer of its labels than they do of a new row's. No more than one fold per row is made.
    weight_threshold : float, default=0.1
        Weights of smaller absolute value are dropped after training. 0 keeps all. Where the mean Euclidean
        length of the rows of X is above 2, the threshold is divided by half of that length: longer rows
        have smaller weights.
    weight_dtype : {"auto", "int8", "int16", "float32"}, default="auto"
        How weights are stored. ``"int8"`` and ``"int16"`` round them to multiples of 1/127 and 1/32767 of
        the largest weight of their siblings, for half the model and two thirds of it. ``"auto"`` is
        ``"int8"`` in tree levels whose training rows hold more than 65,536 nonzeros, and exact in others.
    beam_width : int, default=10
        Nodes kept per inner tree level, in prediction and for the rows of ``"man"``. Wider is more accurate
        and slower.
    score_transform : {"auto", "sigmoid", "l1_hinge", "l2_hinge", "l3_hinge", "l4_hinge", "identity"} or \
            list of these, default="auto"
        Turns a node's margin s into its factor of the path score: sigmoid 1 / (1 + exp(-a s)), hinge
        exp(-max(0, 1 - s)**q), or s itself, ignoring the path above (scores then leave through a sigmoid).
        ``"auto"`` is ``"sigmoid"`` for log loss and ``"l3_hinge"`` otherwise, also with a `ranker`. A list
        has one entry per level.
    score_slope : float, default=1.0
        The slope a of the sigmoids of `score_transform`; other transforms have none. Margins of the hinge
        losses rank better with 3 to 5 than with 1.
    threshold : float, default=0.5
        ``predict`` returns the labels that score above it (multilabel y).
    tol : float or "auto", default="auto"
        Largest violation of optimality at which a node's solver stops, in units of the dual gradient.
        ``"auto"`` is 0.1, or earlier, after the first pass that improves the node's dual objective by less
        than 1% (not with log loss): rankings no longer change then. For tiny problems (at most 65,536 pairs
        of a row and a node), where precision is free, it is 1e-11. Below 1e-4 the solver computes in
        float64.
    max_iter : int or "auto", default="auto"
        Largest number of passes over a cluster's rows. ``"auto"`` is 200; where `tol` is ``"auto"``, too,
        20,000 for tiny problems, with log loss 2,000.
    random_state : int, RandomState instance or None, default=None
        Seeds the order in which the solver visits rows, and label embedding, indexer and ranker where
        their own ``random_state`` is None. Results do not depend on the number of threads.
    verbose : int, default=0
        Whether ``fit`` reports its steps: label embedding, indexing, tree levels, with their sizes and
        seconds. The messages go to the logger ``"sklearn_xmr"``, as INFO if verbose and DEBUG if not; where
        logging is not set up, verbose ones appear on the standard error stream.

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels,)
        Class of each label for one-dimensional y; ``arange(n_labels)`` for an indicator.
    tree_ : LabelTree
        The label tree. Pass it as ``indexer`` to reuse it; for one that `OverlappingIndexer` made see
        :ref:`overlap`.
    chunked_weights_ : list of ChunkedWeights
        Weights of each tree level in the layout that prediction reads.
    coefs_ : sequence of csc_array of shape (n_features, n_nodes)
        The same weights, one matrix per level; a copy, made when a level is asked for.
    intercepts_ : list of ndarray of shape (n_nodes,)
        Intercepts of each level, -inf for a node without positive rows, which is never predicted.
    n_iter_ : int
        Largest number of solver passes over a cluster.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X had string column names.

    See Also
    --------
    HierarchicalKMeans : The default indexer.
    OverlappingIndexer : Lets a label live in several leaves.
    PIFA : The default label embedding.

    Notes
    -----
    A node's problem is  min_w  1/2 ||w||^2 + C sum_i v_i loss(y_i w.x_i)  with v_i the product of the
    sample weight and the class weight. It is solved by dual coordinate descent [2]_ on 16 sibling labels
    at a time. Threads come from OpenMP: bound them by ``OMP_NUM_THREADS`` or threadpoolctl.

    References
    ----------
    .. [1] H.-F. Yu, K. Zhong, J. Zhang, W.-C. Chang, I. S. Dhillon, "PECOS: Prediction for Enormous and
       Correlated Output Spaces", JMLR 2022.
    .. [2] C.-J. Hsieh, K.-W. Chang, C.-J. Lin, S. S. Keerthi, S. Sundararajan, "A Dual Coordinate Descent
       Method for Large-scale Linear SVM", ICML 2008.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.preprocessing import MultiLabelBinarizer
    >>> from sklearn_xmr import XRLinearClassifier
    >>> texts = ["red apple pie", "green apple tart", "fast red car", "green electric car"]
    >>> tags = [["fruit", "red"], ["fruit", "green"], ["car", "red"], ["car", "green"]]
    >>> binarizer = MultiLabelBinarizer(sparse_output=True)
    >>> X, Y = TfidfVectorizer().fit_transform(texts), binarizer.fit_transform(tags)
    >>> classifier = XRLinearClassifier(random_state=0).fit(X, Y)
    >>> labels, scores = classifier.predict_topk(X, k=2)
    >>> [sorted(binarizer.classes_[row].tolist()) for row in labels]
    [['fruit', 'red'], ['fruit', 'green'], ['car', 'red'], ['car', 'green']]
    """

    _parameter_constraints: ClassVar[dict] = {
        "label_embedding": [
            HasMethods("fit_transform"),
            HasMethods("fit"),
            "array-like",
            "sparse matrix",
            None,
        ],
        "indexer": [HasMethods("fit"), HasMethods("propagate"), None],
        "ranker": [HasMethods("fit"), None],
        "loss": [StrOptions(set(LOSSES))],
        "C": [Interval(Real, 0, None, closed="neither")],
        "positive_weight": [Interval(Real, 0, None, closed="neither")],
        "negative_weight": [Interval(Real, 0, None, closed="neither")],
        "relevance_norm": [StrOptions(set(NORMS)), None],
        "propensity_power": [Interval(Real, 0, 10, closed="both")],
        "bias": [Interval(Real, 0, 1e18, closed="both")],  # float32 holds its square
        "negative_sampling": [str, list, tuple],
        "negative_cv": [Interval(Integral, 2, None, closed="left"), None],
        "weight_threshold": [Interval(Real, 0, None, closed="left")],
        "weight_dtype": [StrOptions({"auto", "int8", "int16", "float32"})],
        "beam_width": [Interval(Integral, 1, None, closed="left")],
        "score_transform": [str, list, tuple],
        "score_slope": [Interval(Real, 0, None, closed="neither")],
        "threshold": [Interval(Real, 0, 1, closed="both")],
        "tol": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "max_iter": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        label_embedding=None,
        indexer=None,
        *,
        ranker=None,
        loss="squared_hinge",
        C=1.0,
        positive_weight=1.0,
        negative_weight=1.0,
        relevance_norm=None,
        propensity_power=0.0,
        bias=1.0,
        negative_sampling="tfn",
        negative_cv=None,
        weight_threshold=0.1,
        weight_dtype="auto",
        beam_width=10,
        score_transform="auto",
        score_slope=1.0,
        threshold=0.5,
        tol="auto",
        max_iter="auto",
        random_state=None,
        verbose=0,
    ):
        self.label_embedding = label_embedding
        self.indexer = indexer
        self.ranker = ranker
        self.loss = loss
        self.C = C
        self.positive_weight = positive_weight
        self.negative_weight = negative_weight
        self.relevance_norm = relevance_norm
        self.propensity_power = propensity_power
        self.bias = bias
        self.negative_sampling = negative_sampling
        self.negative_cv = negative_cv
        self.weight_threshold = weight_threshold
        self.weight_dtype = weight_dtype
        self.beam_width = beam_width
        self.score_transform = score_transform
        self.score_slope = score_slope
        self.threshold = threshold
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.verbose = verbose

    def explain(self, X, label, *, beam_width=None, feature_names=None, label_names=None):
        """Explain the score of one label for one row, level by level.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (1, n_features)
            The row.
        label : int
            Label number, that is an index into ``classes_``.
        beam_width : int, default=None
            Nodes kept per inner level; None takes the estimator's.
        feature_names : array-like of str of shape (n_features,), default=None
            Names for the output. None takes ``feature_names_in_`` where there is one.
        label_names : array-like of str of shape (n_labels,), default=None
            Names for the output. None takes ``classes_`` for one-dimensional y.

        Returns
        -------
        explanation : PredictionExplanation
            Prints as a table, see `sklearn_xmr.inspection.explain_prediction`.

        Raises
        ------
        TypeError
            If label is not an integer.
        ValueError
            If X has another shape, label does not exist, or there is another number of names.
        """
        from sklearn_xmr.inspection import explain_prediction

        return explain_prediction(
            self, X, label, beam_width=beam_width, feature_names=feature_names, label_names=label_names
        )

    def _transform_of_margins(self):
        return "sigmoid" if self.loss == "log_loss" and self.ranker is None else "l3_hinge"

    def _fit_rankers(self, X, problems, sample_weight, *, seed):
        """Train independent levels; returns their weights, the passes and the unconverged nodes."""
        threshold = self.weight_threshold / max(1.0, mean_row_length(X, sample_weight) / LONG_ROWS)
        if self.ranker is not None:
            weights = fit_estimator_rankers(
                sp.csr_array(X), problems,
                estimator=seeded_clone(self.ranker, seed), sample_weight=sample_weight,
                weight_threshold=threshold, weight_dtype=self.weight_dtype,
            )  # fmt: skip
            return weights, 1, 0
        return fit_linear_rankers(
            X, problems, sample_weight=sample_weight, loss=self.loss, C=self.C,
            positive_weight=self.positive_weight, negative_weight=self.negative_weight,
            bias=float(self.bias), tol=self.tol, max_iter=self.max_iter, weight_threshold=threshold,
            weight_dtype=self.weight_dtype, seed=seed,
        )  # fmt: skip
