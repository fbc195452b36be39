"""XRTransformerClassifier: a fine-tuned text encoder beside tf-idf, ranked linearly."""

from numbers import Integral, Real
from typing import ClassVar

from sklearn_xmr._text_base import BaseTextXMRClassifier
from sklearn_xmr.matching._negative_sampling import NEGATIVE_SAMPLINGS
from sklearn_xmr.utils._sklearn_private import HasMethods, Interval, StrOptions


class XRTransformerClassifier(BaseTextXMRClassifier):
    """Extreme multilabel ranking of texts with a fine-tuned encoder (XR-Transformer).

    ``fit`` clusters the labels into a tree and trains a text encoder to tell the nodes of one level after
    the other, coarse to fine. Then it trains an `XRLinearClassifier` on tf-idf features and the encoder's
    embeddings side by side, which alone answers. Needs torch and transformers.

    Read more in the :ref:`User Guide <xr_transformer>`.

    Parameters
    ----------
    encoder : str, path or tuple of (model, tokenizer), \
            default="sentence-transformers/all-MiniLM-L6-v2"
        Pretrained encoder: the name of a model on the Hugging Face hub, a folder, or a ready pair of
        ``transformers`` objects, which are copied. A UserWarning tells of models that look at padding, such
        as FNet, whose embeddings depend on the other texts of a call.
    vectorizer : estimator or "drop", default=None
        Turns texts into sparse features. None uses
        ``TfidfVectorizer(sublinear_tf=True, dtype=numpy.float32)``; ``"drop"`` leaves them out.
    ranker : estimator, default=None
        Answers on features and embeddings; has ``predict_topk``. None uses ``XRLinearClassifier(
        indexer=OverlappingIndexer(), propensity_power=1, C=0.5, weight_threshold=0.05)``.
    fine_tuning : {"multi", "single"} or None, default="multi"
        ``"multi"``: train on every level of the preliminary tree, coarse to fine, the encoder carried from
        level to level. ``"single"``: on the finest of them only, all its nodes competing (X-Transformer).
        None: take the encoder as it is.
    preliminary_indexer : object or LabelTree, default=None
        Makes the tree of the fine-tuning, as `indexer` of `XRLinearClassifier`. None uses
        `HierarchicalKMeans` with at most 16 children a node and 16 labels a leaf.
    max_nodes : int, default=32768
        Levels of more nodes are not trained on; the first always is.
    negative_sampling : {"tfn", "man", "tfn+man"} or list of these, default="tfn+man"
        Parents whose children a row is scored on: those of its labels (``"tfn"``), those that a linear
        model of the level above finds (``"man"``), or both. A list has one entry per level of the
        preliminary tree.
    n_matched : int, default=20
        Nodes of the level above that the linear model names for each row. A level of no more nodes needs no
        model: all are taken, and rows that are only read are not embedded for it.
    max_candidates : int, default=None
        Most nodes that a row is scored on: all its positives, and a new random sample of the others in each
        step. None scores all.
    bootstrap : {"weighted_linear", "linear", "inherit", "random"}, default="weighted_linear"
        Where the scorers of a level start. ``"linear"``: the solution of their linear problems on the
        present embeddings; ``"weighted_linear"``: the same with positives weighted by label counts;
        ``"inherit"``: their parents, at random in the first level; ``"random"``. Not used where
        `fine_tuning` is ``"single"``, which starts at random.
    loss : {"squared_hinge", "hinge", "cross_entropy"}, default="squared_hinge"
        Loss of a candidate; ``"cross_entropy"`` is the binary one.
    weighted_loss : bool, default=True
        Whether a positive node counts as often as the row has labels below it, or with `relevance` as much
        as these together.
    n_epochs : float or list of float, default=1.0
        Passes over the training rows in each level; a list has one entry per level trained on. A level of
        less than one reads a random part of them; its linear models learn from as many others.
    batch_size : int, default=32
        Rows of an optimiser step, those of all processes together.
    accumulation_steps : int, default=1
        Parts that a batch is computed in, to save memory.
    learning_rate : float, default=5e-5
        Peak rate of AdamW. It rises linearly in the warm-up, then falls linearly to 0, in each level anew.
    head_learning_rate : float, default=None
        Peak rate of the node scorers; None takes `learning_rate`.
    warmup_fraction : float, default=0.1
        Part of a level's steps that the warm-up takes.
    weight_decay : float, default=0.0
        Weight decay of the encoder's matrices.
    dropout : float, default=0.1
        Dropout of the embedding while training.
    encoder_dropout : float, default=0.0
        Dropout inside the encoder while training; None leaves what its configuration says. On a CPU,
        where random numbers are slow to draw, 0 takes a quarter less time.
    token_dropout : float, default=0.0
        Part of a text's tokens that a step leaves out, other ones each time: texts are harder to learn by
        heart, and shorter.
    n_frozen_layers : int, default=0
        Lowest layers of the encoder that are not trained, and with them all that is in no layer, such as
        the table of token vectors: with half of the layers a step takes a third less time. Must be 0 for
        models that do not keep their layers in one list, such as ALBERT and BART.
    max_length : int, default=128
        Tokens of a text that the encoder reads.
    pooling : {"auto", "mean", "cls", "last", "pooler"}, default="auto"
        How token vectors become one: their mean, that of the first or last token, or the model's pooler.
        ``"auto"`` is what sentence-transformers wrote down beside the model, in the folder or on the hub,
        else the mean; where that is another mode, such as the maximum, it is refused.
    embedding_weight : float, default=1.0
        Length of the embedding beside features of unit length, read by ``fit``.
    validation_fraction : float, default=None
        Part of the rows that the encoder does not learn from. Their loss is looked at every
        `evaluation_interval` steps; a level stops after `patience` looks without a new best, and goes on
        with the weights of the best. None trains on all rows to the end.
    evaluation_interval : int, default=200
        Steps between two looks: validation loss, checkpoint, progress line.
    patience : int, default=3
        See `validation_fraction`.
    checkpoint_dir : str or path, default=None
        Folder for the state of the fine-tuning, in a file of its own for each fit. A fit with the same
        parameters, data and `random_state` that finds the state of an interrupted one there goes on from
        it; a completed fit removes it. A UserWarning says where only files of fits with other parameters
        or data are there.
    precision : {"float32", "bfloat16"}, default="float32"
        What the encoder computes in. ``"bfloat16"`` takes half of the time or less on processors with
        AVX-512 BF16 or AMX. On other x86 processors it takes longer, three times as long on one with
        AVX-512, and a UserWarning says so. Training keeps weights, scorers and losses in float32; the
        fitted encoder has its weights in the precision.
    device : str, default=None
        Where torch computes; None takes a GPU if there is one. Where several processes share the fit
        (:ref:`several_gpus`), None and ``"cuda"`` take the GPU of each.
    compile : bool, default=False
        Whether to train through ``torch.compile``.
    gradient_checkpointing : bool, default=False
        Whether to recompute activations in the backward pass, to save memory.
    random_state : int, RandomState instance or None, default=None
        An int fixes the result on a CPU, for a given number of processes.
    verbose : bool, default=False
        Whether to log progress, to the logger ``sklearn_xmr``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels,)
        Class of each label for one-dimensional y; ``arange(n_labels)`` for an indicator.
    encoder_ : object
        The fine-tuned encoder; ``encoder_.model`` and ``encoder_.tokenizer`` are the objects of
        ``transformers``. It pickles as the files of a Hugging Face folder.
    vectorizer_ : estimator or None
        The fitted vectorizer.
    ranker_ : estimator
        The fitted ranker, with the refined tree ``ranker_.tree_``.
    history_ : list of dict
        For each level of the fine-tuning: ``n_nodes``, ``step``, ``losses``, ``validation_losses``,
        ``seconds``.
    validation_indices_ : ndarray of int
        Rows that the encoder did not learn from, ascending; the ranker did. Empty without
        `validation_fraction`.
    fit_seconds_ : dict of str to float
        Seconds of each phase of fit: ``"features"``, ``"fine_tuning"`` (with the embeddings that its levels
        need), ``"encoding"`` and ``"ranking"``.

    See Also
    --------
    XRLinearClassifier : The same without an encoder.

    References
    ----------
    .. [1] J. Zhang, W.-C. Chang, H.-F. Yu, I. S. Dhillon, "Fast Multi-Resolution Transformer Fine-tuning
       for Extreme Multi-label Text Classification", NeurIPS 2021.
    .. [2] W.-C. Chang, H.-F. Yu, K. Zhong, Y. Yang, I. S. Dhillon, "Taming Pretrained Transformers for
       Extreme Multi-label Text Classification", KDD 2020.

    Examples
    --------
    >>> from sklearn_xmr import XRLinearClassifier, XRTransformerClassifier
    >>> classifier = XRTransformerClassifier(
    ...     encoder="sentence-transformers/all-MiniLM-L6-v2",
    ...     ranker=XRLinearClassifier(beam_width=20),
    ...     precision="bfloat16",
    ...     random_state=0,
    ... )
    >>> classifier.fit(texts, Y)  # doctest: +SKIP
    >>> labels, scores = classifier.predict_topk(new_texts, k=5)  # doctest: +SKIP
    """

    _parameter_constraints: ClassVar[dict] = {
        "encoder": [str, HasMethods("__fspath__"), tuple],
        "vectorizer": [HasMethods("fit"), StrOptions({"drop"}), None],
        "ranker": [HasMethods(["fit", "predict_topk"]), None],
        "fine_tuning": [StrOptions({"multi", "single"}), None],
        "preliminary_indexer": [HasMethods("fit"), HasMethods("propagate"), None],
        "max_nodes": [Interval(Integral, 1, None, closed="left")],
        "negative_sampling": [StrOptions(set(NEGATIVE_SAMPLINGS)), list, tuple],
        "n_matched": [Interval(Integral, 1, None, closed="left")],
        "max_candidates": [Interval(Integral, 1, None, closed="left"), None],
        "bootstrap": [StrOptions({"weighted_linear", "linear", "inherit", "random"})],
        "loss": [StrOptions({"squared_hinge", "hinge", "cross_entropy"})],
        "weighted_loss": ["boolean"],
        "n_epochs": [Interval(Real, 0, None, closed="neither"), list, tuple],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "accumulation_steps": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "head_learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "warmup_fraction": [Interval(Real, 0, 1, closed="both")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "encoder_dropout": [Interval(Real, 0, 1, closed="left"), None],
        "token_dropout": [Interval(Real, 0, 1, closed="left")],
        "n_frozen_layers": [Interval(Integral, 0, None, closed="left")],
        "max_length": [Interval(Integral, 3, None, closed="left")],
        "pooling": [StrOptions({"auto", "mean", "cls", "last", "pooler"})],
        "embedding_weight": [Interval(Real, 0, None, closed="neither")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither"), None],
        "evaluation_interval": [Interval(Integral, 1, None, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "checkpoint_dir": [str, HasMethods("__fspath__"), None],
        "precision": [StrOptions({"float32", "bfloat16"})],
        "device": [str, None],
        "compile": ["boolean"],
        "gradient_checkpointing": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        encoder="sentence-transformers/all-MiniLM-L6-v2",
        vectorizer=None,
        ranker=None,
        *,
        fine_tuning="multi",
        preliminary_indexer=None,
        max_nodes=32768,
        negative_sampling="tfn+man",
        n_matched=20,
        max_candidates=None,
        bootstrap="weighted_linear",
        loss="squared_hinge",
        weighted_loss=True,
        n_epochs=1.0,
        batch_size=32,
        accumulation_steps=1,
        learning_rate=5e-5,
        head_learning_rate=None,
        warmup_fraction=0.1,
        weight_decay=0.0,
        dropout=0.1,
        encoder_dropout=0.0,
        token_dropout=0.0,
        n_frozen_layers=0,
        max_length=128,
        pooling="auto",
        embedding_weight=1.0,
        validation_fraction=None,
        evaluation_interval=200,
        patience=3,
        checkpoint_dir=None,
        precision="float32",
        device=None,
        compile=False,
        gradient_checkpointing=False,
        random_state=None,
        verbose=False,
    ):
        self.encoder = encoder
        self.vectorizer = vectorizer
        self.ranker = ranker
        self.fine_tuning = fine_tuning
        self.preliminary_indexer = preliminary_indexer
        self.max_nodes = max_nodes
        self.negative_sampling = negative_sampling
        self.n_matched = n_matched
        self.max_candidates = max_candidates
        self.bootstrap = bootstrap
        self.loss = loss
        self.weighted_loss = weighted_loss
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.accumulation_steps = accumulation_steps
        self.learning_rate = learning_rate
        self.head_learning_rate = head_learning_rate
        self.warmup_fraction = warmup_fraction
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.encoder_dropout = encoder_dropout
        self.token_dropout = token_dropout
        self.n_frozen_layers = n_frozen_layers
        self.max_length = max_length
        self.pooling = pooling
        self.embedding_weight = embedding_weight
        self.validation_fraction = validation_fraction
        self.evaluation_interval = evaluation_interval
        self.patience = patience
        self.checkpoint_dir = checkpoint_dir
        self.precision = precision
        self.device = device
        self.compile = compile
        self.gradient_checkpointing = gradient_checkpointing
        self.random_state = random_state
        self.verbose = verbose
