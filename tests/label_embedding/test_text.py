import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sklearn_xmr import LabelTextEmbedding

TEXTS = ["tax law", "trade law", "", "tax law", "wine", "  "]


class Sentences:
    """Encoder in the style of sentence encoders; remembers what it was asked."""

    def __init__(self):
        self.calls = []

    def encode(self, texts):
        self.calls.append(list(texts))
        return np.array([[len(text), text.count("a")] for text in texts], dtype=np.float64)


class Lookup:
    """Pre-trained vectors: transform without fit."""

    def transform(self, texts):
        return np.array([[3.0, 4.0]] * len(texts))


def count_letters(texts):
    return np.array([[len(text), text.count("a")] for text in texts])


def test_default_is_tfidf_of_the_distinct_texts():
    embedding = LabelTextEmbedding(TEXTS).fit(None)
    expected = TfidfVectorizer().fit(["tax law", "trade law", "wine"]).transform(TEXTS)
    assert sp.issparse(embedding.embedding_)
    assert_allclose(embedding.embedding_.toarray(), expected.toarray(), atol=1e-6)
    assert_array_equal(embedding.has_embedding_, [True, True, False, True, True, False])


def test_distinct_texts_are_encoded_once_and_blank_ones_not_at_all():
    encoder = Sentences()
    embedding = LabelTextEmbedding(TEXTS, encoder=encoder).fit(None)
    assert encoder.calls == [["tax law", "trade law", "wine"]]
    assert embedding.encoder_ is encoder
    expected = count_letters(TEXTS) / np.linalg.norm(count_letters(TEXTS), axis=1, keepdims=True).clip(1)
    expected[[2, 5]] = 0
    assert_allclose(embedding.embedding_, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "encoder",
    [
        CountVectorizer(),
        HashingVectorizer(n_features=16),
        make_pipeline(CountVectorizer(), TruncatedSVD(2, random_state=0)),
        FrozenEstimator(CountVectorizer().fit(TEXTS)),
        Sentences(),
        Lookup(),
        count_letters,
    ],
    ids=lambda encoder: getattr(encoder, "__name__", type(encoder).__name__),
)
def test_every_kind_of_encoder(encoder):
    embedding = LabelTextEmbedding(TEXTS, encoder=encoder)
    Z = embedding.fit_transform(None)
    assert_array_equal(embedding.has_embedding_, [True, True, False, True, True, False])
    Q = embedding.transform(TEXTS)
    dense = (M.toarray() if sp.issparse(M) else M for M in (Z, Q))
    assert_allclose(*dense, atol=1e-5)
    assert Q.dtype == Z.dtype == np.float32


def test_the_encoder_given_is_not_fitted():
    encoder = CountVectorizer()
    embedding = LabelTextEmbedding(TEXTS, encoder=encoder).fit(None)
    assert not hasattr(encoder, "vocabulary_")
    assert set(embedding.encoder_.vocabulary_) == {"tax", "trade", "law", "wine"}
    frozen = CountVectorizer().fit(["wine"])
    assert LabelTextEmbedding(TEXTS, encoder=FrozenEstimator(frozen)).fit_transform(None).shape == (6, 1)


def test_encoder_with_fit_and_transform_only():
    class Vocabulary(BaseEstimator):
        def fit(self, texts, y=None):
            self.words_ = sorted({word for text in texts for word in text.split()})
            return self

        def transform(self, texts):
            return np.array([[text.split().count(word) for word in self.words_] for text in texts])

    Z = LabelTextEmbedding(TEXTS, encoder=Vocabulary()).fit_transform(None)
    assert_allclose(Z[0], [np.sqrt(0.5), np.sqrt(0.5), 0, 0], rtol=1e-6)


def test_places_new_names_and_blank_ones():
    embedding = LabelTextEmbedding(TEXTS).fit(None)
    Q = embedding.transform(["wine", "", "unseen"])
    assert_array_equal(np.diff(Q.indptr), [1, 0, 0])
    assert embedding.transform(["", " "]).nnz == 0
    assert embedding.transform([]).shape == (0, 4)


def test_y_may_be_left_out_and_its_labels_are_counted():
    Y = np.zeros((3, 6))
    expected = LabelTextEmbedding(TEXTS).fit_transform(None)
    for y in (Y, sp.csr_array(Y), list("abcdef")):
        assert (LabelTextEmbedding(TEXTS).fit_transform(None, y) != expected).nnz == 0
    with pytest.raises(
        ValueError, match=r"texts must hold one text per label, got 6 text\(s\) and 2 label"
    ):
        LabelTextEmbedding(TEXTS).fit(None, np.eye(2))


def test_order_of_labels_does_not_matter():
    order = [4, 0, 5, 3, 2, 1]
    encoder = make_pipeline(CountVectorizer(), TruncatedSVD(2, random_state=0))
    Z = LabelTextEmbedding(TEXTS, encoder=encoder).fit_transform(None)
    permuted = LabelTextEmbedding([TEXTS[i] for i in order], encoder=encoder).fit_transform(None)
    assert_array_equal(permuted, Z[order])


@pytest.mark.parametrize("container", [tuple, np.array, lambda texts: np.array(texts, dtype=object)])
def test_containers_of_texts(container):
    expected = LabelTextEmbedding(TEXTS).fit_transform(None)
    assert (LabelTextEmbedding(container(TEXTS)).fit_transform(None) != expected).nnz == 0


def test_pandas_output_configuration_does_not_reach_the_encoder():
    pytest.importorskip("pandas")
    from sklearn import config_context

    encoder = make_pipeline(CountVectorizer(), Normalizer())
    with config_context(transform_output="pandas"):
        assert LabelTextEmbedding(TEXTS, encoder=encoder).fit_transform(None).shape == (6, 4)


def test_stateless_values_of_the_encoder_are_not_overwritten():
    vectors = np.array([[3.0, 4.0]], dtype=np.float32)
    LabelTextEmbedding(["tax"], encoder=lambda texts: vectors).fit(None)
    assert_array_equal(vectors, [[3, 4]])


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        (None, ValueError, "texts must be given to the constructor"),
        ("tax", ValueError, "The 'texts' parameter of LabelTextEmbedding must be an array-like"),
        ({"tax", "law"}, ValueError, "texts must be a one-dimensional sequence of str, got .* type set"),
        (np.array([["tax"]]), ValueError, "texts must be a one-dimensional sequence of str, got 2 dim"),
        (["tax", None], TypeError, r"texts\[1\] must be a str, got None of type NoneType"),
        (["", " "], ValueError, r"texts must not all be empty, got 2 empty"),
    ],
)
def test_bad_texts(texts, error, message):
    with pytest.raises(error, match=message):
        LabelTextEmbedding(texts).fit(None)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("tfidf", "encoder must be an object that encodes texts, got the str 'tfidf'"),
        (3, "The 'encoder' parameter of LabelTextEmbedding"),
        (lambda texts: np.ones((1, 2)), r"encoder must return one row per text, got shape \(1, 2\) for 3"),
        (lambda texts: np.full((3, 2), np.nan), "output of encoder contains NaN"),
        (lambda texts: np.ones(3), "Expected 2D array"),
    ],
)
def test_bad_encoder(encoder, message):
    with pytest.raises(ValueError, match=message):
        LabelTextEmbedding(TEXTS, encoder=encoder).fit(None)


def test_transform_wants_texts():
    embedding = LabelTextEmbedding(TEXTS).fit(None)
    with pytest.raises(ValueError, match=r"X must be a one-dimensional sequence of str, got 1 .* type str"):
        embedding.transform("wine")
    with pytest.raises(TypeError, match=r"X\[0\] must be a str, got 3"):
        embedding.transform([3])


def test_clone_keeps_parameters():
    embedding = clone(LabelTextEmbedding(TEXTS, encoder=CountVectorizer(binary=True)))
    assert embedding.texts == TEXTS
    assert embedding.get_params()["encoder__binary"] is True
