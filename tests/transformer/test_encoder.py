"""Tokens, batches, pooling, precision, and the encoder's way through a pickle."""

import json
import pickle
import warnings

import numpy as np
import pytest
import torch
import transformers
from tokenizers import normalizers
from transformer.conftest import WORDS

from sklearn_xmr._torch._encoder import TextEncoder
from sklearn_xmr._torch._tokens import TokenStore, batches_by_length
from sklearn_xmr._torch._training_form import frozen_layers, rounded_forward, training_form

TEXTS = ["ada beats bob", "ada", "cid beats dan beats eve beats fay beats gus", "", "xyz beats"]


def load(encoder, **settings):
    settings = {"pooling": "auto", "max_length": 16, "precision": "float32", "device": "cpu", **settings}
    return TextEncoder.load(encoder, **settings)


def hidden_states(encoder, text):
    """Token vectors of one text, without padding."""
    ids = encoder.tokenizer(text, return_tensors="pt", truncation=True, max_length=encoder.max_length)
    with torch.inference_mode():
        return encoder.model(ids["input_ids"])


def test_token_store(pair):
    encoder = load(pair, max_length=6)
    tokens = encoder.tokenize(TEXTS)
    assert tokens.ids.dtype == np.int32
    for i, text in enumerate(TEXTS):
        expected = pair[1](text, truncation=True, max_length=6)["input_ids"]
        assert tokens.ids[tokens.offsets[i] : tokens.offsets[i + 1]].tolist() == expected
    ids, mask = tokens.pad(np.array([2, 1]), 0, multiple=8)
    assert ids.shape == mask.shape == (2, 8)  # 6 tokens, rounded up
    assert mask.sum(dim=1).tolist() == [6, 3]
    assert not ids[mask == 0].any()


@pytest.mark.parametrize("pooling", ["mean", "cls", "last", "pooler"])
def test_pooling_equals_text_by_text(pair, pooling):
    encoder = load(pair, pooling=pooling)
    found = encoder.embed(encoder.tokenize(TEXTS))
    for text, vector in zip(TEXTS, found, strict=True):
        output = hidden_states(encoder, text)
        states = output.last_hidden_state[0]
        expected = {
            "mean": states.mean(dim=0),
            "cls": states[0],
            "last": states[-1],
            "pooler": output.pooler_output[0],
        }[pooling]
        np.testing.assert_allclose(vector, expected, atol=1e-5)


@pytest.mark.parametrize(
    "precision, has_amx, width", [("float32", True, 5), ("bfloat16", False, 5), ("bfloat16", True, 8)]
)
def test_padding_no_wider_than_products_like(pair, precision, has_amx, width, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": has_amx}, raising=False)
    encoder = load(pair, precision=precision)
    assert encoder.tokenize(TEXTS[:2]).lengths.tolist() == [5, 3]
    shapes = []
    encoder.model.register_forward_pre_hook(
        lambda model, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    encoder.embed(encoder.tokenize(TEXTS[:1]))
    encoder.embed(encoder.tokenize(TEXTS[:2]))
    assert shapes == [(1, 5), (2, width)]


def test_padding_stays_within_the_models_positions(pair, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    config = transformers.BertConfig(**SMALL, intermediate_size=64, max_position_embeddings=30)
    encoder = load((transformers.BertModel(config), pair[1]), max_length=30, precision="bfloat16")
    assert encoder.embed(encoder.tokenize(["ada " * 60, "bob " * 60])).shape == (2, 32)


def test_some_rows_are_embedded_as_among_all(pair):
    encoder = load(pair)
    tokens, rows = encoder.tokenize(TEXTS), np.array([3, 0, 2])
    np.testing.assert_allclose(encoder.embed(tokens, rows), encoder.embed(tokens)[rows], atol=1e-6)


def test_embedding_does_not_depend_on_the_batch(pair, monkeypatch):
    encoder = load(pair)
    tokens = encoder.tokenize(TEXTS * 5)
    at_once = encoder.embed(tokens)
    monkeypatch.setattr("sklearn_xmr._torch._encoder.TOKENS_PER_BATCH", 20)
    np.testing.assert_allclose(encoder.embed(tokens), at_once, atol=1e-5)


def test_every_text_once_an_epoch_and_lengths_together():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 100, 1000)
    rows = rng.permutation(1000)[:999]
    batches = batches_by_length(rows, lengths, 16, rng)
    assert sorted(np.concatenate(batches).tolist()) == sorted(rows.tolist())
    assert sorted({batch.size for batch in batches}) == [7, 16]
    spread = np.mean([np.ptp(lengths[batch]) for batch in batches])
    assert spread < 5  # 99 over all
    order = np.concatenate([lengths[batch] for batch in batches])
    assert np.corrcoef(order, np.arange(order.size))[0, 1] < 0.2  # batches come in random order


@pytest.mark.parametrize(
    "capabilities, warns",
    [
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False}, True),
        ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": True}, False),
        ({"architecture": "aarch64"}, False),
        ({}, False),
    ],
)
def test_emulated_bfloat16_warns(pair, capabilities, warns, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    for precision in ("float32", "bfloat16"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            load(pair, precision=precision)
        messages = [str(warning.message) for warning in caught]
        said = any("precision='bfloat16' takes longer than 'float32'" in message for message in messages)
        assert said == (warns and precision == "bfloat16")


def test_bfloat16_is_near_float32(pair):
    exact = load(pair)
    rough = load(pair, precision="bfloat16")
    tokens = exact.tokenize(TEXTS)
    expected, found = exact.embed(tokens), rough.embed(tokens)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < 0.05


def test_rounded_copy(pair):
    """Weights of half the size, for good; what trains keeps its own."""
    encoder = load(pair, precision="bfloat16")
    for weights in encoder.model.parameters():
        weights.data += 0.01 * torch.rand_like(weights)
    before = encoder.arrays()
    rounded = encoder.rounded()
    assert rounded.rounded() is rounded and load(pair).rounded().model.dtype == torch.float32
    kinds = {(weights.ndim, weights.dtype) for weights in rounded.model.parameters()}
    assert kinds == {(1, torch.float32), (2, torch.bfloat16)}
    tokens = encoder.tokenize(TEXTS)
    found = rounded.embed(tokens)
    assert found.dtype == np.float32
    encoder.precision = "float32"
    assert 0 < np.abs(found - encoder.embed(tokens)).max() < 0.05
    for name, array in encoder.arrays().items():
        np.testing.assert_array_equal(array, before[name])
    stored = pickle.dumps(rounded)
    again = pickle.loads(stored)
    assert again.model.dtype == torch.bfloat16
    np.testing.assert_array_equal(again.embed(tokens), found)
    sizes = [len(part.__getstate__()["parts"]["files"]["model.safetensors"]) for part in (rounded, encoder)]
    assert sizes[0] < 0.6 * sizes[1]


def test_encoders_of_older_pickles_are_not_rounded(pair):
    state = load(pair, precision="bfloat16").__getstate__()
    del state["settings"]["is_rounded"]
    encoder = TextEncoder.__new__(TextEncoder)
    encoder.__setstate__(state)
    assert not encoder.is_rounded and encoder.model.dtype == torch.float32


def test_folder_and_pair_agree(pair, folder):
    by_pair, by_folder = load(pair), load(folder)
    tokens = by_pair.tokenize(TEXTS)
    np.testing.assert_array_equal(by_folder.embed(by_folder.tokenize(TEXTS)), by_pair.embed(tokens))
    np.testing.assert_array_equal(load(str(folder)).embed(tokens), by_pair.embed(tokens))


SMALL = {"vocab_size": 18, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
#: What each architecture calls its sizes; those of `SMALL` where it says nothing.
ARCHITECTURES = {
    "RobertaConfig": {**SMALL, "intermediate_size": 64, "max_position_embeddings": 34, "pad_token_id": 0},
    "DistilBertConfig": {"vocab_size": 18, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "DebertaV2Config": {
        **SMALL, "intermediate_size": 64, "relative_attention": True, "position_buckets": 8,
        "pos_att_type": ["p2c", "c2p"], "norm_rel_ebd": "layer_norm",
    },
    "XLNetConfig": {"vocab_size": 18, "d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64},
    "ModernBertConfig": {**SMALL, "intermediate_size": 64, "pad_token_id": 0},
    "ElectraConfig": {**SMALL, "embedding_size": 16, "intermediate_size": 64},
    "MPNetConfig": {**SMALL, "intermediate_size": 64, "pad_token_id": 0, "max_position_embeddings": 34},
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_architectures(pair, name):
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(getattr(transformers, name)(**ARCHITECTURES[name]))
    encoder = load((model, pair[1]))
    tokens = encoder.tokenize(TEXTS)
    found = encoder.embed(tokens)
    assert found.shape == (5, encoder.n_dims) == (5, 32)
    for i, text in enumerate(TEXTS):  # padding changes nothing
        alone = encoder.embed(encoder.tokenize([text]))[0]
        np.testing.assert_allclose(found[i], alone, atol=1e-4)
    with training_form(encoder, dropout=0.0, gradient_checkpointing=False, compile=False, longest=7):
        trained = [encoder.pooled(tokens, np.arange(5)) for _ in range(2)]
    trained[0].sum().backward()
    np.testing.assert_array_equal(trained[0].detach(), trained[1].detach())
    np.testing.assert_allclose(trained[0].detach(), found, atol=1e-5)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(encoder)).embed(tokens), found, atol=1e-6)


def gradients(encoder, forward):
    encoder.model.zero_grad()
    embeddings = encoder.pooled(encoder.tokenize(TEXTS), np.arange(5), forward)
    (
        embeddings * torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(0))
    ).sum().backward()
    return {name: p.grad for name, p in encoder.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_gradients_of_the_rounded_forward_pass(name, pair):
    """They reach the float32 weights, and all that have one otherwise."""
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(getattr(transformers, name)(**ARCHITECTURES[name]))
    encoder = load((model, pair[1]), precision="bfloat16")
    exact = gradients(load((model, pair[1])), None)
    found = gradients(encoder, rounded_forward(encoder.model))
    assert set(found) == set(exact)
    assert {gradient.dtype for gradient in found.values()} == {torch.float32}
    errors = {n: ((found[n] - exact[n]).norm() / max(exact[n].norm(), 1)).item() for n in exact}
    assert max(errors.values()) < 0.05
    assert not any(module._forward_hooks for module in encoder.model.modules())


def test_rounded_forward_pass_stays_in_bfloat16(pair):
    encoder, seen = load(pair, precision="bfloat16"), {}
    for name, module in encoder.model.named_modules():
        if not isinstance(module, torch.nn.Embedding):  # which are rounded behind any hook of here
            module.register_forward_hook(
                lambda module, inputs, output, name=name: seen.update(
                    {name: getattr(output, "dtype", None)}
                )
            )
    inputs = dict(
        zip(("input_ids", "attention_mask"), encoder.tokenize(TEXTS).pad(np.arange(2), 0, 8), strict=True)
    )
    kinds = []
    for forward in (encoder.model, rounded_forward(encoder.model)):
        with torch.autocast("cpu", torch.bfloat16):
            forward(**inputs)
        kinds.append({dtype for dtype in seen.values() if dtype is not None})
    assert kinds == [{torch.float32, torch.bfloat16}, {torch.bfloat16}]


def test_frequent_tokens_have_exact_gradients(pair):
    """bfloat16 would stop to grow at 256 equal terms."""
    encoder = load(pair, precision="bfloat16")
    ids = torch.full((40, 32), 6)

    def gradient(forward):
        encoder.model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            output = forward(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        (output.float() @ torch.linspace(-1, 1, 32)).sum().backward()
        return encoder.model.embeddings.word_embeddings.weight.grad[6]

    encoder.model.eval()
    expected, found = gradient(encoder.model).clone(), gradient(rounded_forward(encoder.model))
    assert (found - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_gradients_stop_above_frozen_layers(pair, name):
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(getattr(transformers, name)(**ARCHITECTURES[name]))
    encoder = load((model, pair[1]))
    before = gradients(encoder, None)
    with frozen_layers(encoder.model, 0):
        assert set(gradients(encoder, None)) == set(before)
    with frozen_layers(encoder.model, 1):
        found = gradients(encoder, None)
        rounded = load((encoder.model, pair[1]), precision="bfloat16")
        assert set(gradients(rounded, rounded_forward(rounded.model))) == set(found)
    assert set(found) == {n for n in before if "layer.1." in n or "layers.1." in n}
    assert 4 < len(found) < len(before)
    for weights, gradient in found.items():
        torch.testing.assert_close(gradient, before[weights])
    assert set(gradients(encoder, None)) == set(before)


def test_recomputed_activations_above_frozen_layers(pair):
    encoder = load(pair)
    settings = {"dropout": 0.0, "longest": 7, "gradient_checkpointing": True, "compile": False}
    with frozen_layers(encoder.model, 1):
        expected = gradients(encoder, encoder.model)
        with training_form(encoder, **settings) as forward:
            found = gradients(encoder, forward)
    assert set(found) == set(expected)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name])


def test_frozen_weights_of_the_user_stay_so(pair):
    model, _ = pair
    mine = model.embeddings.word_embeddings.weight.requires_grad_(False)
    with pytest.raises(RuntimeError, match="diverged"), frozen_layers(model, 1):
        raise RuntimeError("diverged")
    assert not mine.requires_grad
    assert sum(not weights.requires_grad for weights in model.parameters()) == 1


@pytest.mark.parametrize(("config", "n_layers", "match"), [
    (transformers.BertConfig(**SMALL), 2, "n_frozen_layers must be less than 2, .* got 2"),
    (transformers.BertConfig(**SMALL), 9, "n_frozen_layers must be less than 2, .* got 9"),
    (transformers.AlbertConfig(**SMALL, embedding_size=16), 1, "must be 0 for AlbertModel, .* got 1"),
    (transformers.BartConfig(
        vocab_size=18, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2,
    ), 1, "must be 0 for BartModel, .* got 1"),
], ids=["all", "more", "shared", "two stacks"])  # fmt: skip
def test_layers_that_cannot_be_frozen(config, n_layers, match):
    model = transformers.AutoModel.from_config(config)
    with pytest.raises(ValueError, match=match), frozen_layers(model, n_layers):
        pytest.fail("went on")
    assert all(weights.requires_grad for weights in model.parameters())


@pytest.mark.parametrize("switch", ["gradient_checkpointing", "compile"])
def test_forward_pass_of_other_forms(pair, switch, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda model, dynamic: compiled.append(model) or model)
    encoder = load(pair, precision="bfloat16")
    settings = {"dropout": 0.0, "longest": 7, "gradient_checkpointing": False, "compile": False}
    with training_form(encoder, **{**settings, switch: True}) as forward:
        assert forward is encoder.model
    assert bool(compiled) == (switch == "compile")
    with training_form(encoder, **settings) as forward:
        assert forward is not encoder.model
    with training_form(load(pair), **settings) as forward:
        assert isinstance(forward, torch.nn.Module)


def test_thin_texts():
    rng = np.random.default_rng(0)
    lengths = np.array([1, 2, 40, 3, 500])
    tokens = TokenStore(np.arange(lengths.sum(), dtype=np.int32), np.append(0, np.cumsum(lengths)))
    rows = np.array([4, 0, 2, 1])
    thin = tokens.thin(rows, 0.3, rng)
    assert thin.n_texts == 4
    for i, row in enumerate(rows):
        whole = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]]
        part = thin.ids[thin.offsets[i] : thin.offsets[i + 1]]
        assert np.all(np.isin(part, whole)) and np.all(np.diff(part) > 0)
        assert part[0] == whole[0] and part[-1] == whole[-1]
    np.testing.assert_array_equal(thin.lengths, [500 - 149, 1, 40 - 11, 2])  # 149.4 and 11.4 dropped
    again = tokens.thin(rows, 0.3, rng)
    assert np.any(again.ids != thin.ids)
    np.testing.assert_array_equal(tokens.thin(rows, 0.0, rng).ids, tokens._gather(rows))


def test_thin_texts_of_any_token_alike():
    tokens = TokenStore(np.arange(24, dtype=np.int32), np.array([0, 12, 24]))
    rng = np.random.default_rng(0)
    rows = np.zeros(2000, dtype=np.int64)
    counts = np.bincount(tokens.thin(rows, 0.4, rng).ids, minlength=24)
    np.testing.assert_array_equal(counts[[0, 11]], 2000)
    np.testing.assert_array_equal(counts[12:], 0)
    # each of ten tokens stays in six of ten texts; the standard deviation is 22
    assert np.all(np.abs(counts[1:11] - 1200) < 100)


def test_dropout_of_any_name_is_off(pair):
    sizes = {"vocab_size": 18, "hidden_size": 32, "n_layer": 1, "n_head": 2}
    model = transformers.BloomModel(transformers.BloomConfig(**sizes, hidden_dropout=0.5))
    encoder = load((model, pair[1]))
    ids = torch.tensor([[2, 6, 4, 7, 3]])
    off = {"gradient_checkpointing": False, "compile": False, "longest": 7}
    for dropout, is_random in ((0.0, False), (None, True)):
        with training_form(encoder, dropout=dropout, **off) as forward, torch.no_grad():
            first, second = (forward(input_ids=ids).last_hidden_state for _ in range(2))
        assert torch.equal(first, second) != is_random


@pytest.mark.parametrize("dropout", [None, 0.5])
def test_dropout_while_training_alone(pair, dropout):
    encoder = load(pair)
    tokens = encoder.tokenize(TEXTS)
    before = {name: module.p for name, module in encoder.model.named_modules() if hasattr(module, "p")}
    assert set(before.values()) == {0.1}
    with training_form(encoder, dropout=dropout, gradient_checkpointing=False, compile=False, longest=7):
        assert encoder.model.training
        inside = {name: encoder.model.get_submodule(name).p for name in before}
        first, second = (encoder.pooled(tokens, np.arange(5)) for _ in range(2))
    assert set(inside.values()) == {0.1 if dropout is None else dropout}
    assert not torch.equal(first, second)
    assert not encoder.model.training
    assert {name: encoder.model.get_submodule(name).p for name in before} == before


def test_form_is_left_when_training_fails(pair):
    encoder = load(pair, precision="bfloat16")
    with (
        pytest.raises(RuntimeError, match="diverged"),
        training_form(encoder, dropout=0.0, gradient_checkpointing=False, compile=False, longest=7),
    ):
        raise RuntimeError("diverged")
    assert not encoder.model.training
    assert encoder.model.config._attn_implementation == "sdpa"
    assert encoder.model.embeddings.dropout.p == 0.1


@pytest.mark.parametrize(
    ("precision", "longest", "expected"),
    [("bfloat16", 256, "eager"), ("bfloat16", 257, "sdpa"), ("float32", 7, "sdpa")],
)
def test_attention_that_trains_fastest(pair, precision, longest, expected):
    encoder = load(pair, precision=precision)
    with training_form(encoder, dropout=0.0, gradient_checkpointing=False, compile=False, longest=longest):
        assert encoder.model.config._attn_implementation == expected
    assert encoder.model.config._attn_implementation == "sdpa"


def test_the_pair_is_copied_and_a_head_left_out(pair):
    encoder = load(pair)
    assert encoder.model is not pair[0] and encoder.tokenizer is not pair[1]
    encoder.tokenize(TEXTS)
    assert pair[1].backend_tokenizer.truncation is None
    with_head = transformers.BertForSequenceClassification(pair[0].config)
    assert type(load((with_head, pair[1])).model) is type(pair[0])


LEGACY_MODES = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "lasttoken")


def write_pooling(folder, *modes, is_legacy=False):
    """What sentence-transformers writes; up to its version 5 a flag for each mode."""
    settings = {"pooling_mode": modes[0] if len(modes) == 1 else modes}
    if is_legacy:
        settings = {f"pooling_mode_{mode}": mode in modes for mode in LEGACY_MODES}
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))


@pytest.mark.parametrize(("mode", "is_legacy", "expected"), [
    ("mean", False, "mean"), ("cls", False, "cls"), ("lasttoken", False, "last"),
    ("mean_tokens", True, "mean"), ("cls_token", True, "cls"), ("lasttoken", True, "last"),
])  # fmt: skip
def test_auto_pooling_reads_what_sentence_transformers_wrote(folder, mode, is_legacy, expected):
    assert load(folder).pooling == "mean"  # without it
    write_pooling(folder, mode, is_legacy=is_legacy)
    assert load(folder).pooling == expected


@pytest.mark.parametrize(("modes", "is_legacy"), [
    (["max"], False), (["cls", "mean"], False), (["mean_sqrt_len_tokens"], True),
    (["cls_token", "mean_tokens"], True),
])  # fmt: skip
def test_auto_pooling_refuses_other_modes(folder, modes, is_legacy):
    write_pooling(folder, *modes, is_legacy=is_legacy)
    with pytest.raises(
        ValueError, match=f"pooling='auto' takes .* got .*'{modes[0]}'.*; pass pooling='mean'"
    ):
        load(folder)
    assert load(folder, pooling="mean").pooling == "mean"


def test_pickle(pair):
    encoder = load(pair, pooling="cls", max_length=9)
    state = pickle.dumps(encoder)
    assert b"transformers.models" not in state  # the class is named, not pickled
    copy = pickle.loads(state)
    assert (copy.pooling, copy.max_length, copy.precision) == ("cls", 9, "float32")
    tokens = encoder.tokenize(TEXTS)
    np.testing.assert_array_equal(copy.tokenize(TEXTS).ids, tokens.ids)
    np.testing.assert_array_equal(copy.embed(tokens), encoder.embed(tokens))


class Scaled(transformers.BertModel):
    """A model of a user's own class."""

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.last_hidden_state = output.last_hidden_state * torch.linspace(1, 5, 32)
        return output


class OwnConfig(transformers.BertConfig):
    model_type = "of_its_own"


class Own(transformers.BertModel):
    config_class = OwnConfig


class Tokenizer(transformers.PreTrainedTokenizerFast):
    """A tokenizer of a user's own class."""


@pytest.mark.parametrize("model_class", [Scaled, Own])
def test_own_classes_come_back(pair, model_class):
    model = model_class(model_class.config_class(**pair[0].config.to_diff_dict()))
    tokenizer = Tokenizer(
        tokenizer_object=pair[1].backend_tokenizer, pad_token="[PAD]", model_max_length=32
    )
    encoder = load((model, tokenizer))
    copy = pickle.loads(pickle.dumps(encoder))
    assert type(copy.model) is model_class and type(copy.tokenizer) is Tokenizer
    tokens = encoder.tokenize(TEXTS)
    np.testing.assert_array_equal(copy.embed(tokens), encoder.embed(tokens))


def test_changed_tokenizers_come_back(pair):
    tokenizer = transformers.BertTokenizerFast(
        vocab={word: i for i, word in enumerate([*WORDS[:-1], "[MASK]"])}, model_max_length=32
    )
    plain = load((pair[0], tokenizer)).tokenize(["bob beats ada"]).ids
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("bob", "ada")
    encoder = load((pair[0], tokenizer))
    ids = encoder.tokenize(["bob beats ada"]).ids
    assert not np.array_equal(ids, plain)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(encoder)).tokenize(["bob beats ada"]).ids, ids)


def test_models_that_look_at_padding_are_told_of(pair):
    sizes = {"vocab_size": 18, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64}
    model = transformers.FNetModel(transformers.FNetConfig(**sizes))
    for precision in ("float32", "bfloat16"):
        with pytest.warns(UserWarning, match="FNetModel looks at padding: the embedding of a text"):
            load((model, pair[1]), precision=precision)


def test_a_model_that_joins_characters_takes_a_short_text_alone():
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    model = transformers.CanineModel(transformers.CanineConfig(**sizes))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "CanineModel looks at padding")
        encoder = load((model, transformers.CanineTokenizer()))
    assert np.isfinite(encoder.embed(encoder.tokenize(["a"]))).all()


def test_t5_comes_back_as_an_encoder(pair, tmp_path):
    config = transformers.T5Config(vocab_size=18, d_model=32, num_layers=1, num_heads=2, d_kv=16, d_ff=32)
    model = transformers.T5EncoderModel(config)
    for part in (model, pair[1]):
        part.save_pretrained(tmp_path)
    by_pair, by_folder = load((model, pair[1])), load(tmp_path)
    tokens = by_pair.tokenize(TEXTS)
    for encoder in (by_folder, pickle.loads(pickle.dumps(by_pair)), pickle.loads(pickle.dumps(by_folder))):
        assert type(encoder.model) is transformers.T5EncoderModel
        np.testing.assert_allclose(encoder.embed(tokens), by_pair.embed(tokens), atol=1e-6)


def test_missing_weights_are_the_same_each_time(pair, tmp_path):
    config = transformers.RobertaConfig(**ARCHITECTURES["RobertaConfig"])
    transformers.RobertaForMaskedLM(config).save_pretrained(tmp_path)  # without a pooler
    pair[1].save_pretrained(tmp_path)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = load(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    second = load(tmp_path).arrays()
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(array, second[name])
    pickled = pickle.dumps(load((transformers.RobertaModel(config, add_pooling_layer=False), pair[1])))
    state = torch.get_rng_state()
    pickle.loads(pickled)
    assert torch.equal(torch.get_rng_state(), state)


def test_tokenizer_with_several_chat_templates(pair):
    pair[1].chat_template = {"default": "a", "tool": "b"}
    copy = pickle.loads(pickle.dumps(load(pair)))
    assert copy.tokenizer.chat_template == {"default": "a", "tool": "b"}


def test_pair_of_a_model_that_decodes(pair):
    config = transformers.T5Config(vocab_size=18, d_model=32, num_layers=1, num_heads=2, d_kv=16, d_ff=32)
    for model_class in (transformers.T5Model, transformers.T5ForConditionalGeneration):
        with pytest.raises(ValueError, match=r"encodes, got T5.*; T5EncoderModel.from_pretrained reads"):
            load((model_class(config), pair[1]))
    load((transformers.T5EncoderModel(config), pair[1]))


def test_pickling_shows_no_progress(pair, capfd):
    encoder = load(pair)
    capfd.readouterr()
    pickle.loads(pickle.dumps(encoder))
    assert capfd.readouterr().err == ""
    assert transformers.utils.logging.is_progress_bar_enabled()


@pytest.mark.parametrize("fitted_on", ["cuda", "cuda:0", "cuda:3", "mps:0", "xpu", "hpu"])
def test_a_device_that_is_not_there_is_replaced(pair, monkeypatch, fitted_on):
    encoder = load(pair)
    encoder.device = torch.device(fitted_on)  # as if fitted there
    state = encoder.__getstate__()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    copy = TextEncoder.__new__(TextEncoder)
    with pytest.warns(UserWarning, match=f"was on {fitted_on}, which this machine lacks; it is now on cpu"):
        copy.__setstate__(state)
    assert copy.device.type == "cpu"
    assert copy.embed(copy.tokenize(TEXTS)).shape == (5, 32)


def test_bad_settings(pair):
    with pytest.raises(ValueError, match="max_length must be at most 32 for this encoder, got 33"):
        load(pair, max_length=33)
    for bad, types in (
        (("a", "b"), "str and str"),
        (pair[::-1], "PreTrainedTokenizerFast|TokenizersBackend"),
    ):
        with pytest.raises(TypeError, match=rf"encoder must be .* a pair \(model, tokenizer\) .*({types})"):
            load(bad)
    for name in ("Roberta", "MPNet"):  # positions start behind that of padding, number 1
        config = getattr(transformers, f"{name}Config")(
            **{**ARCHITECTURES[f"{name}Config"], "pad_token_id": 1}
        )
        encoder = getattr(transformers, f"{name}Model")(config), pair[1]
        encoder[1].model_max_length = 100
        with pytest.raises(ValueError, match="max_length must be at most 32 for this encoder, got 33"):
            load(encoder, max_length=33)
        longest = load(encoder, max_length=32)
        assert longest.embed(longest.tokenize(["ada " * 60, "bob " * 60])).shape == (2, 32)
    model, tokenizer = pair
    with pytest.raises(
        ValueError, match="pooling='pooler' needs a model with a pooler, BertModel has none"
    ):
        load((type(model)(model.config, add_pooling_layer=False), tokenizer), pooling="pooler")
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="tokenizer with a padding token"):
        load((model, tokenizer))
    tokenizer.pad_token = "[PAD]"
    tokenizer.add_tokens(["zoe"])
    with pytest.raises(ValueError, match="got token ids up to 18 and embeddings of 18 tokens"):
        load((model, tokenizer))
    model.resize_token_embeddings(19)
    load((model, tokenizer))


class WithBuffer(transformers.BertModel):
    """Has a buffer that no file holds."""

    def __init__(self, config, add_pooling_layer=True):
        super().__init__(config, add_pooling_layer)
        self.register_buffer("scale", torch.linspace(1, 5, config.hidden_size), persistent=False)

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.last_hidden_state = output.last_hidden_state * self.scale
        return output


def test_buffers_of_no_file_come_back(pair):
    model = WithBuffer(pair[0].config)
    model.scale += 1  # not what the class makes
    encoder = load((model, pair[1]))
    tokens = encoder.tokenize(TEXTS)
    copy = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(copy.embed(tokens), encoder.embed(tokens))


class OfTwo(transformers.BertModel):
    """Is not made by a configuration alone."""

    def __init__(self, config, other):
        super().__init__(config)


def test_models_that_would_not_come_back(pair):
    model, tokenizer = pair
    model.encoder.layer = model.encoder.layer[:1]
    match = "differs in 16 of them, such as encoder.layer.1.attention.output.LayerNorm.bias. Its config"
    with pytest.raises(ValueError, match=match):
        load(pair)
    model.config.num_hidden_layers = 1
    encoder = load(pair)
    tokens = encoder.tokenize(TEXTS)
    copy = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(copy.embed(tokens), encoder.embed(tokens))
    layer = model.encoder.layer[0].attention.self
    layer.key.weight = layer.query.weight
    with pytest.raises(ValueError, match=r"got BertModel with .*key.weight and .*query.weight shared"):
        load(pair)
    with pytest.raises(ValueError, match=r"configuration makes; that of OfTwo does not: .*'other'"):
        load((OfTwo(model.config, None), tokenizer))


def test_weights_frozen_by_the_user_come_back_so(pair):
    pair[0].embeddings.requires_grad_(False)
    copy = pickle.loads(pickle.dumps(load(pair)))
    frozen = {name for name, weights in copy.model.named_parameters() if not weights.requires_grad}
    assert frozen == {name for name, weights in pair[0].named_parameters() if "embeddings" in name}


def test_vectors_narrower_than_the_model(pair):
    config = transformers.OPTConfig(
        vocab_size=len(WORDS), hidden_size=32, word_embed_proj_dim=16, num_hidden_layers=2,
        num_attention_heads=2, ffn_dim=64, max_position_embeddings=32, pad_token_id=0,
    )  # fmt: skip
    encoder = load((transformers.OPTModel(config), pair[1]))
    assert encoder.n_dims == 16 and encoder.embed(encoder.tokenize(TEXTS)).shape == (len(TEXTS), 16)
    assert pickle.loads(pickle.dumps(encoder)).n_dims == 16


def test_a_model_that_cannot_compute_so(pair, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("no such number")

    monkeypatch.setattr(transformers.BertModel, "forward", fail)
    with pytest.raises(ValueError, match="precision='float32'; BertModel does not: no such number"):
        load(pair)


def test_what_is_no_encoder(pair, tmp_path):
    with pytest.raises(TypeError, match=r"pair .* of transformers, got Linear and .*Token"):
        load((torch.nn.Linear(2, 2), pair[1]))
    (tmp_path / "config.json").write_text("{}")
    for encoder, kind in ((tmp_path / "nothing", (OSError, ValueError)), (tmp_path, ValueError)):
        with pytest.raises(kind, match=f"encoder must be the name or folder .*; got '{encoder}': "):
            load(encoder)
