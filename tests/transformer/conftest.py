"""A tiny encoder and a task that tf-idf cannot solve; nothing is downloaded."""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tokenizers import Tokenizer, models, pre_tokenizers, processors  # noqa: E402

from sklearn_xmr import HierarchicalKMeans, XRTransformerClassifier  # noqa: E402

NAMES = "ada bob cid dan eve fay gus hal ida jon kim leo".split()
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "beats", "##s", *NAMES]


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny products are slower with more, above all beside other processes; some tests set more."""
    torch.set_num_threads(1)


def tiny_tokenizer():
    words = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=32,
    )


def tiny_model(seed=0, **config):
    """Weights are random, so all that it knows it learns in the test."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return transformers.BertModel(
            transformers.BertConfig(
                vocab_size=len(WORDS),
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=64,
                max_position_embeddings=32,
                **config,
            )
        )


def make(encoder, **changes):
    """A classifier that is fine-tuned on levels of 4 and 12 nodes."""
    settings = {
        "preliminary_indexer": HierarchicalKMeans(branching_factor=4, max_leaf_size=3), "n_epochs": 1,
        "n_matched": 3, "learning_rate": 3e-3, "batch_size": 16, "max_length": 16, "random_state": 0,
    }  # fmt: skip
    return XRTransformerClassifier(encoder, **{**settings, **changes})


@pytest.fixture
def pair():
    """(model, tokenizer)"""
    return tiny_model(), tiny_tokenizer()


@pytest.fixture
def pair_without_dropout():
    """The same; what it computes in training is not random."""
    return tiny_model(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0), tiny_tokenizer()


@pytest.fixture
def folder(tmp_path, pair):
    """The same as a Hugging Face folder."""
    for part in pair:
        part.save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


class WhoWins:
    """Texts "ada beats bob"; the class is the first name. Words without order do not tell it."""

    pairs = np.array(list(itertools.permutations(NAMES, 2)))
    np.random.default_rng(0).shuffle(pairs)
    texts = np.array([f"{winner} beats {loser}" for winner, loser in pairs])
    winners = np.array([winner for winner, _ in pairs])
    train, test = np.arange(100), np.arange(100, 132)


@pytest.fixture
def task():
    return WhoWins
