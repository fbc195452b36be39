"""XRTransformerClassifier from texts to rankings."""

import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from numpydoc.docscrape import ClassDoc
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_random_state
from transformer.conftest import make

from sklearn_xmr import (
    HierarchicalKMeans,
    LabelSetClassifier,
    LabelTextEmbedding,
    LabelTree,
    OverlappingIndexer,
    XMREnsembleClassifier,
    XRLinearClassifier,
    _fine_tuning,
)
from sklearn_xmr._torch._checkpoint import Checkpoint
from sklearn_xmr._torch._distributed import Processes
from sklearn_xmr._torch._training import EPSILON, LevelTraining


def fit(encoder, task, **changes):
    return make(encoder, **changes).fit(task.texts[task.train], task.winners[task.train])


def same(left, right, texts):
    """Whether two models rank alike, to the last bit."""
    left, right = left.predict_topk(texts, k=3), right.predict_topk(texts, k=3)
    return np.array_equal(left[0], right[0]) and np.array_equal(left[1], right[1])


# ---------------------------------------------------------------- what it learns


def test_learns_what_words_without_order_cannot_tell(pair, task):
    train, test = task.train, task.test
    vectorizer = TfidfVectorizer().fit(task.texts)
    X = vectorizer.transform(task.texts)
    linear = XRLinearClassifier(random_state=0).fit(X[train], task.winners[train])
    assert linear.score(X[test], task.winners[test]) < 0.5
    frozen = fit(pair, task, fine_tuning=None)
    assert frozen.score(task.texts[test], task.winners[test]) < 0.5
    assert frozen.history_ == []
    single = fit(pair, task, fine_tuning="single", n_epochs=40)
    assert single.score(task.texts[test], task.winners[test]) > 0.9
    assert [level["n_nodes"] for level in single.history_] == [12]
    multi = fit(pair, task, n_epochs=40)
    assert multi.score(task.texts[test], task.winners[test]) > 0.9
    assert [level["n_nodes"] for level in multi.history_] == [4, 12]


@pytest.mark.parametrize("changes", [
    {"bootstrap": "inherit"}, {"bootstrap": "random"}, {"negative_sampling": "tfn"},
    {"negative_sampling": ["tfn", "man"]}, {"n_matched": 2},
    {"max_candidates": 3}, {"loss": "hinge"}, {"loss": "cross_entropy"}, {"n_epochs": [1, 2]},
    {"head_learning_rate": 0.1}, {"learning_rate": 1e-3}, {"warmup_fraction": 0.5}, {"weight_decay": 0.1},
    {"dropout": 0.0}, {"encoder_dropout": None}, {"token_dropout": 0.4}, {"pooling": "cls"},
    {"embedding_weight": 0.5}, {"precision": "bfloat16"}, {"n_frozen_layers": 1},
    {"max_nodes": 4}, {"fine_tuning": "single"}, {"vectorizer": "drop"}, {"batch_size": 8},
    {"validation_fraction": 0.2}, {"random_state": 1}, {"preliminary_indexer": None}, {"max_length": 4},
    {"vectorizer": CountVectorizer(binary=True)},
], ids=str)  # fmt: skip
def test_parameter_acts(pair, task, changes):
    base, changed = fit(pair, task, n_matched=1), fit(pair, task, **{"n_matched": 1, **changes})
    assert not same(base, changed, task.texts[task.test])
    for level in changed.history_:
        assert np.isfinite(level["losses"]).all()


def test_weighted_loss_and_start_count_labels(pair, task):
    y = LabelBinarizer(sparse_output=True).fit_transform(task.winners)
    y = sp.csr_matrix((y + y[:, np.r_[1:12, 0]]) > 0).astype(int)  # two labels each, some in one node
    texts, y = task.texts[task.train], y[task.train]
    three_levels = HierarchicalKMeans(branching_factor=2, max_leaf_size=3)
    models = [
        make(pair, preliminary_indexer=three_levels, **changes).fit(texts, y)
        for changes in ({}, {"weighted_loss": False}, {"bootstrap": "linear"})
    ]
    assert not same(models[0], models[1], task.texts[task.test])
    assert not same(models[0], models[2], task.texts[task.test])


@pytest.mark.parametrize("changes, n_candidates", [
    ({"negative_sampling": "tfn"}, [4, 3]), ({"negative_sampling": "tfn", "max_candidates": 2}, [2, 2]),
    ({"fine_tuning": "single"}, [12]),
], ids=str)  # fmt: skip
def test_epsilon_follows_the_candidates_of_a_level(pair, task, monkeypatch, changes, n_candidates):
    run, found = LevelTraining.run, []

    def record(training, look):
        found.append(training.optimizer.param_groups[0]["eps"])
        return run(training, look)

    monkeypatch.setattr(LevelTraining, "run", record)
    fit(pair, task, **changes)
    np.testing.assert_allclose(found, EPSILON / np.array(n_candidates))


@pytest.mark.parametrize("n_matched", [3, 4])
def test_part_of_an_epoch_looks_at_no_other_rows(pair, task, monkeypatch, n_matched):
    """Its linear models are solved on as many rows as its steps read, others as far as there are."""
    embed, step, solve = Processes.embed, LevelTraining._step, _fine_tuning.solved_weights
    embedded, read, n_solved = [], [], []

    def note_embedded(processes, encoder, tokens, rows=None):
        embedded.append(rows)
        return embed(processes, encoder, tokens, rows)

    def note_read(training, number, forward):
        if number == 0:
            read.append([])
        read[-1].extend(training._batch(number))
        return step(training, number, forward)

    def note_solved(problem, embeddings, row_weights, **settings):
        assert problem.positives.shape[0] == problem.rows.shape[0] == len(embeddings) == len(row_weights)
        n_solved.append(len(embeddings))
        return solve(problem, embeddings, row_weights, **settings)

    monkeypatch.setattr(Processes, "embed", note_embedded)
    monkeypatch.setattr(LevelTraining, "_step", note_read)
    monkeypatch.setattr(_fine_tuning, "solved_weights", note_solved)
    settings = {"n_epochs": [0.3, 0.6], "validation_fraction": 0.2, "n_matched": n_matched}
    held_out = fit(pair, task, **settings).validation_indices_
    assert [len(rows) for rows in read] == n_solved == [32, 48]  # two and three of five batches of 80 rows
    first, second, last = embedded
    assert len(first) == 32 and not {*first} & {*read[0], *held_out}  # the first level matches no rows
    if n_matched == 3:
        np.testing.assert_array_equal(second, np.arange(100))  # 48, the 32 others, 20 held out
    else:  # all four nodes: who is matched needs no embedding
        assert len(second) == 48 and {*range(100)} - {*read[1], *held_out} < {*second}
    assert last is None  # for the ranker


def test_all_nodes_are_matched_without_a_model(pair, task, monkeypatch):
    """A row is then scored on all nodes, as on a tree of one level."""
    scored = []
    losses = LevelTraining._losses

    def record(training, rows, *others):
        candidates, _ = training.candidates(rows, None, None)
        scored.append((candidates.shape[1], (candidates >= 0).all()))
        return losses(training, rows, *others)

    monkeypatch.setattr(_fine_tuning, "XRLinearClassifier", None)  # no matcher is made
    monkeypatch.setattr(LevelTraining, "_losses", record)
    fit(pair, task, negative_sampling="man", n_matched=4)
    assert set(scored) == {(4, True), (12, True)}


@pytest.mark.parametrize("scheme", ["man", "tfn+man"])
def test_part_of_an_epoch_without_a_label(pair, task, scheme):
    """The matcher's rows may hold none where few rows have labels."""
    Y = LabelBinarizer().fit_transform(task.winners)
    Y[5:] = 0
    model = make(pair, n_epochs=0.1, batch_size=8, negative_sampling=scheme)
    model.fit(task.texts[:100], sp.csr_array(Y[:100]))
    assert [level["step"] for level in model.history_] == [2, 2]
    assert np.isfinite([level["losses"] for level in model.history_]).all()


# ---------------------------------------------------------------- answers


def test_answers_have_the_form_of_y(pair, task):
    texts = task.texts[task.test]
    model = fit(pair, task, fine_tuning=None)
    assert set(model.predict(texts)) <= set(task.winners)
    assert model.decision_function(texts).shape == (texts.size, 12)
    Y = LabelBinarizer(sparse_output=True).fit_transform(task.winners)
    model = make(pair, fine_tuning=None).fit(task.texts[task.train], Y[task.train])
    assert sp.issparse(model.predict(texts))
    assert model.predict(texts).shape == model.decision_function(texts).shape == (texts.size, 12)
    labels, scores = model.predict_topk(texts, k=4, labels=[1, 5, 6, 7])
    assert set(labels.ravel()) == {1, 5, 6, 7}
    assert np.all(np.diff(scores, axis=1) <= 0)
    assert model.score(texts, Y[task.test]) == np.mean(
        Y[task.test].toarray()[np.arange(texts.size), model.predict_topk(texts, k=1)[0][:, 0]]
    )
    assert not hasattr(model, "predict_proba")
    ranker = XRLinearClassifier(loss="log_loss")
    model = make(pair, ranker=ranker, fine_tuning=None).fit(
        task.texts[task.train], task.winners[task.train]
    )
    np.testing.assert_allclose(model.predict_proba(texts).sum(axis=1), 1, rtol=1e-5)


def test_ranker_without_beam_width(pair, task):
    ranker = LabelSetClassifier(OneVsRestClassifier(LogisticRegression()), rule="top_k")
    Y = LabelBinarizer(sparse_output=True).fit_transform(task.winners)
    model = make(pair, ranker=ranker, fine_tuning=None).fit(task.texts[task.train], Y[task.train])
    labels, _ = model.predict_topk(task.texts[task.test], k=3)
    assert labels.shape == (task.test.size, 3)
    with pytest.raises(TypeError, match="beam_width: an estimator with predict_topk takes that"):
        model.predict_topk(task.texts[task.test], beam_width=4)


def test_transform_gives_unit_embeddings(pair, task):
    model = fit(pair, task, fine_tuning=None)
    embeddings = model.transform(task.texts[:5])
    assert embeddings.shape == (5, 32)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    raw = model.encoder_.embed(model.encoder_.tokenize(task.texts[:5].tolist()))
    np.testing.assert_allclose(embeddings * np.linalg.norm(raw, axis=1, keepdims=True), raw, rtol=1e-4)


def test_transform_in_a_column_transformer(pair, task):
    frame = pd.DataFrame({"text": task.texts, "length": np.arange(len(task.texts))})
    columns = ColumnTransformer(
        [("embedding", make(pair, fine_tuning=None), "text")], remainder="passthrough"
    )
    made = columns.set_output(transform="pandas").fit_transform(frame, task.winners)
    embedding = columns.named_transformers_["embedding"]
    names = [f"embedding__xrtransformerclassifier{i}" for i in range(32)]
    assert made.columns.tolist() == [*names, "remainder__length"]
    np.testing.assert_allclose(made[names], embedding.transform(task.texts), atol=1e-5)
    assert embedding.get_feature_names_out().tolist() == [f"xrtransformerclassifier{i}" for i in range(32)]


def test_features_are_tfidf_and_embeddings(pair, task):
    texts, y = task.texts[task.train], task.winners[task.train]
    vectorizer = FrozenEstimator(TfidfVectorizer().fit(texts))
    model = fit(pair, task, fine_tuning=None, vectorizer=vectorizer, embedding_weight=0.5)
    X = sp.hstack([vectorizer.transform(texts), 0.5 * model.transform(texts)], format="csr")
    # the seed that fit draws from random_state=0
    seed = int(np.random.RandomState(0).randint(np.iinfo(np.int32).max))
    ranker = XRLinearClassifier(
        indexer=OverlappingIndexer(), propensity_power=1, C=0.5, weight_threshold=0.05, random_state=seed
    ).fit(X, y)
    found, expected = model.predict_topk(texts, k=3), ranker.predict_topk(X, k=3)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-3)


# ---------------------------------------------------------------- scikit-learn's habits


def test_random_state_fixes_the_result(pair, task):
    first, second = fit(pair, task), fit(pair, task)
    assert same(first, second, task.texts)
    assert [level["losses"] for level in first.history_] == [level["losses"] for level in second.history_]


def test_the_users_model_stays_as_it_was(pair, task):
    before = {name: tensor.clone() for name, tensor in pair[0].state_dict().items()}
    fit(pair, task)
    assert all(tensor.equal(before[name]) for name, tensor in pair[0].state_dict().items())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_frozen_layers_stay_as_they_were(pair, task, precision):
    model = fit(pair, task, n_frozen_layers=1, precision=precision).encoder_.model
    learnt = {
        name
        for (name, before), after in zip(pair[0].named_parameters(), model.parameters(), strict=True)
        if not torch.equal(before.to(getattr(torch, precision)), after.to(getattr(torch, precision)))
    }
    assert len(learnt) > 10
    assert all(name.startswith("encoder.layer.1.") for name in learnt)
    assert all(weights.requires_grad for weights in model.parameters())


def test_fit_inside_inference_mode(folder, task):
    with torch.inference_mode():
        inside = fit(str(folder), task)
        assert torch.is_inference_mode_enabled()
    assert same(inside, fit(str(folder), task), task.texts)


def test_autocast_of_the_caller_changes_nothing(folder, task):
    plain = fit(str(folder), task)
    with torch.autocast("cpu", torch.bfloat16):
        inside = fit(str(folder), task)
        assert same(inside, plain, task.texts)
    assert same(inside, plain, task.texts)


def test_too_few_texts_for_the_default_ranker(pair, task, monkeypatch):
    monkeypatch.setattr(LevelTraining, "run", lambda *args: pytest.fail("was trained"))
    for texts, weights in ((2, None), (4, [1, 1, 0, 0])):
        with pytest.raises(ValueError, match=r"X must hold at least 3 texts that count, .* got 2"):
            make(pair).fit(task.texts[:texts], task.winners[:texts], sample_weight=weights)
    model = make(pair, fine_tuning=None, ranker=XRLinearClassifier())
    assert model.fit(task.texts[:2], task.winners[:2]).predict(task.texts[:2]).size == 2


def test_clone_and_grid_search(folder, task):
    model = make(str(folder), fine_tuning=None, ranker=XRLinearClassifier(), vectorizer=TfidfVectorizer())
    search = GridSearchCV(
        model, {"vectorizer__binary": [True], "ranker__beam_width": [2, 5], "embedding_weight": [0.5]}, cv=2
    ).fit(task.texts[task.train], task.winners[task.train])
    assert search.best_estimator_.embedding_weight == 0.5
    assert search.best_params_["ranker__beam_width"] in (2, 5)


def test_ensemble_fitted_in_processes(pair, task):
    ensemble = XMREnsembleClassifier(make(pair), n_estimators=2, random_state=0)
    texts, winners = list(task.texts[task.train]), task.winners[task.train]
    one_at_a_time = clone(ensemble).fit(texts, winners)
    with joblib.parallel_config(backend="loky", n_jobs=2, inner_max_num_threads=1):
        side_by_side = clone(ensemble).fit(texts, winners)
    votes = [ensemble.decision_function(list(task.texts)) for ensemble in (one_at_a_time, side_by_side)]
    np.testing.assert_allclose(*votes, atol=1e-3)  # up to rounding, which may differ with threads


def test_clone_of_a_pair(pair, task):
    copy = clone(make(pair))
    assert copy.encoder[0] is not pair[0]
    assert same(copy.fit(task.texts[task.train], task.winners[task.train]), fit(pair, task), task.texts)


PREDICT = """
import sys, joblib, numpy as np
model, texts, labels, scores = joblib.load(sys.argv[1])
found = model.predict_topk(texts, k=3)
assert np.array_equal(found[0], labels)
np.testing.assert_allclose(found[1], scores, rtol=1e-4)
"""


def test_saved_and_loaded(pair, task, tmp_path):
    model = fit(pair, task)
    assert same(pickle.loads(pickle.dumps(model)), model, task.texts)
    texts = task.texts[task.test]
    joblib.dump((model, texts, *model.predict_topk(texts, k=3)), tmp_path / "model.joblib")
    process = subprocess.run([sys.executable, "-c", PREDICT, tmp_path / "model.joblib"],
                             capture_output=True, text=True, check=False)  # fmt: skip
    assert process.returncode == 0, process.stderr


def test_failed_fit_changes_nothing(pair, task):
    model = fit(pair, task, fine_tuning=None)
    before = pickle.dumps(model.ranker_.tree_), model.encoder_
    model.set_params(fine_tuning="multi", n_epochs=[1, 1, 1])
    with pytest.raises(ValueError, match="one number or one per fine-tuned level, got 3 for 2"):
        model.fit(task.texts[:50], task.winners[:50])
    assert (pickle.dumps(model.ranker_.tree_), model.encoder_) == before


def test_embedding_weight_is_that_of_fit(pair, task):
    model = fit(pair, task, fine_tuning=None)
    labels, scores = model.predict_topk(task.texts)
    model.set_params(embedding_weight=100)
    with pytest.raises(ValueError, match="same number of rows"):
        model.fit(task.texts, task.winners[:3])
    np.testing.assert_array_equal(model.predict_topk(task.texts)[0], labels)
    np.testing.assert_array_equal(model.predict_topk(task.texts)[1], scores)


def test_verbose_logs(pair, task, caplog):
    with caplog.at_level("INFO", logger="sklearn_xmr"):
        fit(pair, task, verbose=True, evaluation_interval=4, validation_fraction=0.1)
    text = caplog.text
    assert "level 1 of 2, step 4 of 6: loss" in text
    assert ", validation" in text
    assert "ranking" in text


@pytest.mark.parametrize("fine_tuning", ["multi", "single"])
def test_encoder_learns_nothing_from_validation_rows(pair, task, fine_tuning):
    tree = LabelTree.from_paths([(i // 3,) for i in range(12)])  # the labels of all rows would shape one
    settings = {"fine_tuning": fine_tuning, "preliminary_indexer": tree, "validation_fraction": 0.2}
    model = fit(pair, task, **settings)
    held_out = model.validation_indices_
    assert np.array_equal(held_out, np.unique(held_out))
    assert held_out.size == 20
    assert 0 <= held_out[0] and held_out[-1] < 100

    def weights(rows):
        winners = task.winners[task.train].copy()
        winners[rows] = np.roll(winners[rows], 1)
        return make(pair, **settings).fit(task.texts[task.train], winners).encoder_.arrays()

    before, same, other = model.encoder_.arrays(), weights(held_out), weights(np.arange(20))
    assert all(np.array_equal(before[name], same[name]) for name in before)
    assert not all(np.array_equal(before[name], other[name]) for name in before)


@pytest.mark.parametrize("changes", [{"fine_tuning": None}, {}])
def test_no_validation_rows(pair, task, changes):
    assert fit(pair, task, **changes).validation_indices_.size == 0


def test_fitted_attributes_are_documented(pair, task):
    model = fit(pair, task, fine_tuning=None)
    documented = {entry.name for entry in ClassDoc(type(model))["Attributes"]}
    assert documented == {name for name in vars(model) if name.endswith("_")}
    assert set(model.fit_seconds_) == {"features", "fine_tuning", "encoding", "ranking"}


def test_device(pair, task):
    assert fit(pair, task, fine_tuning=None, device="cpu").encoder_.device == torch.device("cpu")
    for device in ("abacus", "", "cpu:7", "meta", "cuda:99"):
        with pytest.raises(ValueError, match=f"device must be one that this machine has.* got '{device}'"):
            fit(pair, task, vectorizer=FrozenEstimator(None), device=device)  # before the vectorizer


@pytest.mark.parametrize("changes", [{}, {"gradient_checkpointing": True}], ids=str)
def test_bfloat16_learns_as_float32_does(pair, task, changes):
    """Each step sees the weights that the step before has left."""
    settings = {"fine_tuning": "single", "n_epochs": 15, "dropout": 0.0, **changes}
    losses = [fit(pair, task, precision=precision, **settings).history_[0]["losses"][-1]
              for precision in ("float32", "bfloat16")]  # fmt: skip
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


class RandomVectorizer(BaseEstimator):
    """Features that depend on a seed."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, texts, y=None):
        self.columns_ = check_random_state(self.random_state).permutation(26)
        return self

    def transform(self, texts):
        return np.array([np.bincount([ord(c) % 26 for c in text], minlength=26) for text in texts])[
            :, self.columns_
        ]


def test_random_state_seeds_the_vectorizer(pair, task):
    models = [fit(pair, task, fine_tuning=None, vectorizer=RandomVectorizer()) for _ in range(2)]
    assert models[0].vectorizer_.random_state is not None
    np.testing.assert_array_equal(models[0].vectorizer_.columns_, models[1].vectorizer_.columns_)


class GivenFeatures(BaseEstimator):
    """Vectorizer with a fault."""

    def __init__(self, output):
        self.output = output

    def fit(self, texts, y=None):
        return self

    def transform(self, texts):
        return self.output


@pytest.mark.parametrize(("output", "message"), [
    (np.full((100, 3), np.nan), "the vectorizer's output contains NaN"),
    (np.full((100, 3), 1e300), "the vectorizer's output contains infinity"),
    (np.ones((99, 3)), r"vectorizer must give one row per text, got 99 for 100 text\(s\)"),
    (np.ones((100, 3), dtype=complex), "Complex data not supported"),
    (sp.eye_array(100, 3, format="csr")[:50], "vectorizer must give one row per text, got 50"),
])  # fmt: skip
def test_faulty_features_are_refused(pair, task, output, message):
    with pytest.raises(ValueError, match=message):
        fit(pair, task, fine_tuning=None, vectorizer=GivenFeatures(output))


def test_features_of_half_precision(pair, task):
    features = np.random.default_rng(0).random((100, 5)).astype(np.float16)
    half, single = (
        fit(pair, task, fine_tuning=None, vectorizer=GivenFeatures(features.astype(dtype)))
        for dtype in (np.float16, np.float32)
    )
    np.testing.assert_array_equal(half.ranker_.coefs_[0].toarray(), single.ranker_.coefs_[0].toarray())


class FirstLabels(BaseEstimator):
    """The least that a ranker must have."""

    def fit(self, X, y):
        return self

    def predict_topk(self, X, k=5):
        shape = X.shape[0], k
        return np.tile(np.arange(k), (X.shape[0], 1)), np.ones(shape)


def test_ranker_without_classes(pair, task):
    model = fit(pair, task, fine_tuning=None, ranker=FirstLabels())
    assert model.classes_.tolist() == np.unique(task.winners[task.train]).tolist()
    assert model.predict_topk(["ada beats bob"], 2)[0].tolist() == [[0, 1]]


def test_parameters_of_numpy(pair, task):
    small = {"batch_size": np.uint8(16), "evaluation_interval": np.int8(3), "patience": np.uint8(2)}
    plain = {name: int(value) for name, value in small.items()}
    assert same(fit(pair, task, **small), fit(pair, task, **plain), task.texts)


@pytest.mark.parametrize("changes", [{}, {"vectorizer": "drop"}, {"ranker": XRLinearClassifier()}], ids=str)
def test_no_texts(pair, changes):
    for model in (make(pair, **changes), XMREnsembleClassifier(make(pair, **changes))):
        with pytest.raises(ValueError, match="X must hold at least one text, got none"):
            model.fit([], [])


# ---------------------------------------------------------------- interruption


@pytest.mark.parametrize(("n_saves", "random_state", "changes"), [
    *((n_saves, random_state, {}) for n_saves in (1, 2, 3, 4) for random_state in (0, None)),
    (1, 0, {"precision": "bfloat16"}), (3, 0, {"precision": "bfloat16", "gradient_checkpointing": True}),
])  # fmt: skip
def test_interrupted_fit_goes_on(pair, task, tmp_path, monkeypatch, n_saves, random_state, changes):
    settings = {"checkpoint_dir": tmp_path, "evaluation_interval": 3, "validation_fraction": 0.1,
                "random_state": random_state, **changes}  # fmt: skip
    save, seeds = Checkpoint.save, []

    def save_then_stop(self, tensors, facts):
        save(self, tensors, facts)
        seeds.append(facts["seed"])
        if len(seeds) == n_saves:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", save_then_stop)
    with pytest.raises(KeyboardInterrupt):
        fit(pair, task, **settings)
    assert len(os.listdir(tmp_path)) == 1
    resumed = fit(pair, task, **settings)
    assert len(set(seeds)) == 1
    assert len(seeds) == 4  # two looks in each level, none of them twice
    assert os.listdir(tmp_path) == []
    if random_state == 0:
        whole = fit(pair, task, **{**settings, "checkpoint_dir": None})
        assert same(whole, resumed, task.texts)
        for level in (*whole.history_, *resumed.history_):
            del level["seconds"]
        assert whole.history_ == resumed.history_


class Restless(HierarchicalKMeans):
    """Indexer that never makes the same tree twice."""

    n_fits = 0

    def fit(self, Z, y=None):
        Restless.n_fits += 1
        return super().fit(np.roll(Z.toarray(), Restless.n_fits, axis=0), y)


def test_interrupted_fit_keeps_its_tree(pair, task, tmp_path, monkeypatch):
    settings = {"preliminary_indexer": Restless(branching_factor=4, max_leaf_size=3), "random_state": 0}
    whole = fit(pair, task, **settings)
    save = Checkpoint.save

    def save_then_stop(self, tensors, facts):
        save(self, tensors, facts)
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", save_then_stop)
    Restless.n_fits = 0
    with pytest.raises(KeyboardInterrupt):
        fit(pair, task, checkpoint_dir=tmp_path, **settings)
    monkeypatch.setattr(Checkpoint, "save", save)
    resumed = fit(pair, task, checkpoint_dir=tmp_path, **settings)
    assert same(whole, resumed, task.texts) and Restless.n_fits == 1


class Unpicklable(HierarchicalKMeans):
    """Indexer that cannot be pickled."""

    def __reduce__(self):
        raise pickle.PicklingError("not this one")


def test_checkpoint_of_parameters_that_do_not_pickle(pair, task, tmp_path):
    indexer = Unpicklable(branching_factor=4, max_leaf_size=3)
    fit(pair, task, preliminary_indexer=indexer)
    with pytest.raises(ValueError, match="checkpoint_dir must be None where a parameter cannot be pickled"):
        fit(pair, task, preliminary_indexer=indexer, checkpoint_dir=tmp_path)


@pytest.mark.parametrize("changes", [
    {"learning_rate": 1e-4}, {"n_epochs": 2}, {"pooling": "cls"}, {"n_frozen_layers": 1},
], ids=str)  # fmt: skip
def test_fit_with_other_parameters_starts_anew(pair, task, tmp_path, monkeypatch, changes):
    delete = Checkpoint.delete
    monkeypatch.setattr(Checkpoint, "delete", lambda self: None)
    fit(pair, task, checkpoint_dir=tmp_path)
    files = os.listdir(tmp_path)
    monkeypatch.setattr(Checkpoint, "delete", delete)
    with pytest.warns(UserWarning, match="no checkpoint of this fit, which starts from the beginning"):
        changed = fit(pair, task, checkpoint_dir=tmp_path, **changes)
    assert same(changed, fit(pair, task, **changes), task.texts)
    with pytest.warns(UserWarning, match="no checkpoint of this fit, which starts from the beginning"):
        make(pair, checkpoint_dir=tmp_path).fit(task.texts[:99], task.winners[:99])
    assert os.listdir(tmp_path) == files


def freeze_embeddings(model):
    model.embeddings.requires_grad_(False)


def drop_more(model):
    model.embeddings.dropout.p = 0.9


def drop_more_attention(model):
    model.config.attention_probs_dropout_prob = 0.9


@pytest.mark.parametrize("change", [freeze_embeddings, drop_more, drop_more_attention])
def test_fit_of_a_model_that_trains_otherwise_starts_anew(pair, task, tmp_path, monkeypatch, change):
    delete = Checkpoint.delete
    monkeypatch.setattr(Checkpoint, "delete", lambda self: None)
    fit(pair, task, checkpoint_dir=tmp_path)
    monkeypatch.setattr(Checkpoint, "delete", delete)
    change(pair[0])
    with pytest.warns(UserWarning, match="no checkpoint of this fit, which starts from the beginning"):
        fit(pair, task, checkpoint_dir=tmp_path)


@pytest.mark.parametrize("kind", [int, np.random.RandomState])
def test_fits_with_other_random_states_share_a_folder(pair, task, tmp_path, monkeypatch, kind):
    save, saved = Checkpoint.save, []

    def save_then_stop(self, tensors, facts):
        save(self, tensors, facts)
        saved.append(facts)
        if len(saved) <= 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", save_then_stop)
    for seed in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            fit(pair, task, checkpoint_dir=tmp_path, random_state=kind(seed))
        assert len(os.listdir(tmp_path)) == seed + 1
    for seed in (0, 1):
        fit(pair, task, checkpoint_dir=tmp_path, random_state=kind(seed))
    assert [facts["number"] for facts in saved] == [0, 0, 1, 1]  # the first level is not trained again
    assert os.listdir(tmp_path) == []


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(("changes", "match"), [
    ({"fine_tuning": "double"}, "'fine_tuning' parameter"),
    ({"bootstrap": "pecos"}, "'bootstrap' parameter"),
    ({"loss": "log_loss"}, "'loss' parameter"),
    ({"negative_sampling": "none"}, "'negative_sampling' parameter"),
    ({"negative_sampling": ["tfn"]}, "negative_sampling must be one name or one per level, got 1"),
    ({"n_epochs": [1, 0]}, "n_epochs must be positive, finite numbers"),
    ({"n_epochs": [1, "a"]}, "n_epochs must be positive, finite numbers"),
    ({"n_epochs": [1, None]}, "n_epochs must be positive, finite numbers"),
    ({"n_epochs": [1, np.inf]}, "n_epochs must be positive, finite numbers"),
    ({"validation_fraction": 0.999}, "leaves none of the 100 row"),
    ({"max_length": 100}, "max_length must be at most 32"),
    ({"n_frozen_layers": 2}, "n_frozen_layers must be less than 2, the layers of this encoder, got 2"),
    ({"vectorizer": "tfidf"}, "'vectorizer' parameter"),
    ({"encoder": 3}, "'encoder' parameter"),
    ({"encoder": ("a",)}, "encoder must be a name, a folder or a pair"),
])  # fmt: skip
def test_bad_parameter(pair, task, changes, match):
    with pytest.raises(ValueError, match=match):
        fit(changes.pop("encoder", pair), task, **changes)


def test_bad_texts(pair, task):
    model = fit(pair, task, fine_tuning=None)
    y = task.winners[:2]
    with pytest.raises(TypeError, match=r"X\[1\] must be a str, got 3"):
        make(pair).fit(["ada", 3], y)
    for bad in (None, 5):
        for method in (
            lambda X: make(pair).fit(X, y),
            model.predict,
            LabelTextEmbedding(["ada"]).fit(None).transform,
        ):
            with pytest.raises(TypeError, match=f"X must be a one-dimensional sequence of str, got {bad}"):
                method(bad)
    for method in (lambda X: make(pair).fit(X, y), model.predict):
        with pytest.raises(ValueError, match=r"X\[1\] must be valid Unicode, got 'ada .*surrogates"):
            method(["é", "ada \ud800"])
    with pytest.raises(ValueError, match="X must be a one-dimensional sequence of str"):
        make(pair).fit(np.array([["ada"], ["bob"]]), y)
    with pytest.raises(ValueError, match="same number of rows, got 3 rows in X"):
        make(pair).fit(["ada"] * 3, y)
    with pytest.raises(ValueError, match="X must be a one-dimensional sequence of str"):
        model.predict("ada beats bob")
    with pytest.raises(ValueError, match="X must hold at least one text, got none"):
        model.predict_topk([])
    with pytest.raises(NotFittedError):
        make(pair).predict(["ada"])


def test_labels_without_rows_are_not_trained_on(pair, task):
    winners, columns = np.unique(task.winners, return_inverse=True)
    Y = sp.csr_array(np.eye(winners.size, dtype=int)[columns])
    used = np.arange(winners.size) * 40
    wide = sp.csr_array((Y.data, used[Y.indices], Y.indptr), shape=(Y.shape[0], 2000))
    few, many = (make(pair).fit(task.texts, labels) for labels in (Y, wide))
    assert [level["n_nodes"] for level in many.history_] == [4, 12]
    assert [level["losses"] for level in many.history_] == [level["losses"] for level in few.history_]
    found, _ = many.predict_topk(task.texts, k=1)
    np.testing.assert_array_equal(found, used[few.predict_topk(task.texts, k=1)[0]])
