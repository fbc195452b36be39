"""LabelTextEmbedding: a label is what its name says."""

import numpy as np
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.validation import check_array, check_is_fitted

from sklearn_xmr.label_embedding._base import BaseLabelEmbedding, label_indicator, unit_rows
from sklearn_xmr.utils._sklearn_private import HasMethods
from sklearn_xmr.utils._validation import check_texts


class LabelTextEmbedding(BaseLabelEmbedding):
    """Embed labels by their names or descriptions.

    Any encoder of texts will do: a vectorizer, a pipeline, a pre-trained sentence encoder, a function.
    Labels without positives are placed, too.

    Read more in the :ref:`User Guide <label_embedding>`.

    Parameters
    ----------
    texts : array-like of str of shape (n_labels,)
        Text of each label, in the order of the columns of y; an empty or blank text says that there is
        none. Required. Given here and not to ``fit``, because model selection slices arguments of ``fit``
        that happen to have one entry per instance.
    encoder : object, default=None
        What turns a list of texts into one row each. In this order:

        - an object with ``transform``: cloned and fitted on the distinct texts if it has ``fit`` or
          ``fit_transform``, used as it is otherwise (`sklearn.frozen.FrozenEstimator` keeps a fitted one
          as it is);
        - an object with ``encode``, as sentence encoders have it: used as it is;
        - a callable: used as it is;
        - None: :class:`~sklearn.feature_extraction.text.TfidfVectorizer` with its defaults.

    Attributes
    ----------
    embedding_ : {csr_array, ndarray} of shape (n_labels, n_dims), dtype float32
        One row per label, of unit l2 norm; zero for a label without a text, or whose text the encoder
        maps to zero. Sparse if the encoder returns sparse rows.
    has_embedding_ : ndarray of shape (n_labels,), dtype bool
        False for the zero rows.
    encoder_ : object
        The fitted encoder.

    See Also
    --------
    PIFA : Places labels by the instances that carry them.

    Examples
    --------
    >>> from sklearn_xmr import LabelTextEmbedding
    >>> embedding = LabelTextEmbedding(["tax law", "trade law", ""])
    >>> Z = embedding.fit_transform(None)
    >>> (Z @ Z.T).toarray().round(2)
    array([[1.  , 0.34, 0.  ],
           [0.34, 1.  , 0.  ],
           [0.  , 0.  , 0.  ]], dtype=float32)
    >>> (embedding.transform(["new tax"]) @ Z.T).toarray().round(2)
    array([[0.81, 0.  , 0.  ]], dtype=float32)
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "texts": ["array-like", None],
        "encoder": [HasMethods("transform"), HasMethods("encode"), callable, None],
    }

    def __init__(self, texts=None, *, encoder=None):
        self.texts = texts
        self.encoder = encoder

    def transform(self, X):
        """Place texts in the space of the labels.

        Parameters
        ----------
        X : array-like of str of shape (n_texts,)
            Names of new labels, or instances that are texts themselves.

        Returns
        -------
        Q : {ndarray, csr_array} of shape (n_texts, n_dims), dtype float32
            One unit or zero row per text.
        """
        check_is_fitted(self)
        return _embed_texts(check_texts(X, "X"), _encode_function(self.encoder_))

    def _embed(self, X, y):
        if self.texts is None:
            raise ValueError(
                "texts must be given to the constructor of LabelTextEmbedding: one str per label, got None."
            )
        texts = check_texts(self.texts, "texts")
        if y is not None:
            Y = label_indicator(X, y, name=type(self).__name__, need_positive=False)
            if len(texts) != Y.shape[1]:
                raise ValueError(
                    f"texts must hold one text per label, got {len(texts)} text(s) and {Y.shape[1]} "
                    "label(s) in y."
                )
        if not any(text.strip() for text in texts):
            raise ValueError(f"texts must not all be empty, got {len(texts)} empty text(s).")
        encoder = TfidfVectorizer() if self.encoder is None else self.encoder
        if isinstance(encoder, str):  # a str has a method encode
            raise ValueError(f"encoder must be an object that encodes texts, got the str {encoder!r}.")
        encode = _encode_function(encoder)
        if hasattr(encoder, "transform") and (hasattr(encoder, "fit") or hasattr(encoder, "fit_transform")):
            encoder = clone(encoder, safe=False)
            encode = (
                encoder.fit_transform if hasattr(encoder, "fit_transform") else _fit_then_transform(encoder)
            )
        return _embed_texts(texts, encode), {"encoder_": encoder}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.sparse = False
        tags.target_tags.required = False
        return tags


def _encode_function(encoder):
    if hasattr(encoder, "transform"):
        return encoder.transform
    return encoder.encode if hasattr(encoder, "encode") else encoder


def _fit_then_transform(encoder):
    return lambda texts: encoder.fit(texts, None).transform(texts)


def _embed_texts(texts, encode):
    """Unit rows of texts; each distinct text is encoded once, blank ones become zero rows."""
    # one text at least, because an encoder says its width by what it returns
    distinct = sorted({text for text in texts if text.strip()}) or [""]
    position = {text: i for i, text in enumerate(distinct)}
    with config_context(transform_output="default"):  # a DataFrame cannot hold sparse rows
        rows = encode(distinct)
    rows = check_array(
        rows, accept_sparse="csr", dtype=np.float32, copy=True, input_name="output of encoder"
    )
    if rows.shape[0] != len(distinct):
        raise ValueError(
            f"encoder must return one row per text, got shape {rows.shape} for {len(distinct)} text(s)."
        )
    where = np.array([position[text] if text.strip() else len(distinct) for text in texts], dtype=np.int64)
    if sp.issparse(rows):
        rows = sp.csr_array(rows)
        rows.sum_duplicates()
        zero = sp.csr_array((1, rows.shape[1]), dtype=np.float32)
        return sp.csr_array(sp.vstack([unit_rows(rows), zero], format="csr"))[where]
    return np.vstack([unit_rows(rows), np.zeros((1, rows.shape[1]), np.float32)])[where]
