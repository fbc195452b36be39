"""Texts and labels that count more than others in a fit of XRTransformerClassifier."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.preprocessing import LabelBinarizer
from sklearn.svm import LinearSVC
from transformer.conftest import make

from sklearn_xmr import HierarchicalKMeans, LabelTree, XMREnsembleClassifier, _fine_tuning
from sklearn_xmr._text_targets import TextTargets
from sklearn_xmr._torch._training import LevelTraining
from sklearn_xmr._xr_linear import XRLinearClassifier
from sklearn_xmr.ranking._start_weights import solved_weights


class NotedRanker(XRLinearClassifier):
    """Notes what it is fitted with."""

    def fit(self, X, y, sample_weight=None, relevance=None):
        self.given_ = {"sample_weight": sample_weight, "relevance": relevance}
        return super().fit(X, y, sample_weight, relevance)


@pytest.fixture
def labels(task):
    """Two labels each, some of them in one node, of the training texts."""
    y = LabelBinarizer(sparse_output=True).fit_transform(task.winners[task.train])
    return sp.csr_array((y + y[:, np.r_[1:12, 0]]) > 0).astype(int)


@pytest.fixture
def relevance(labels):
    rng = np.random.default_rng(0)
    return sp.csr_array((rng.uniform(0.2, 5, labels.nnz), labels.indices, labels.indptr), labels.shape)


@pytest.fixture
def weights(task):
    return np.random.default_rng(1).uniform(0.1, 3, task.train.size)


def weights_of(model):
    return model.encoder_.arrays()


def differ(left, right):
    return any(not np.array_equal(a, right[name]) for name, a in left.items())


# ---------------------------------------------------------------- rows


def test_only_ratios_count_in_the_fine_tuning(pair, task, labels, weights):
    texts = task.texts[task.train]
    model = make(pair, ranker=NotedRanker(), validation_fraction=0.2)
    plain = clone(model).fit(texts, labels)
    for scale in (1, 8):  # a power of two rounds nothing
        ones = clone(model).fit(texts, labels, sample_weight=np.full(len(texts), scale))
        assert not differ(weights_of(plain), weights_of(ones))
        assert ones.history_[0]["validation_losses"] == plain.history_[0]["validation_losses"]
    once, often = (clone(model).fit(texts, labels, sample_weight=s * weights) for s in (1, 8))
    assert differ(weights_of(plain), weights_of(once))
    assert not differ(weights_of(once), weights_of(often))
    np.testing.assert_array_equal(often.ranker_.given_["sample_weight"], 8 * weights)


@pytest.mark.parametrize("changes", [
    {}, {"fine_tuning": "single"}, {"validation_fraction": 0.3}, {"n_epochs": 0.5},
], ids=str)  # fmt: skip
def test_rows_of_no_weight_teach_nothing(pair, task, labels, weights, changes):
    """Whatever labels they have, encoder and ranking are the same."""
    texts, none = task.texts[task.train], np.arange(100) % 4 == 0
    weights[none] = 0
    other = labels.toarray()
    other[none] = np.roll(other[none], 1, axis=0)
    left, right = (
        make(pair, **changes).fit(texts, sp.csr_array(y), sample_weight=weights) for y in (labels, other)
    )
    assert not differ(weights_of(left), weights_of(right))
    for a, b in zip(left.predict_topk(texts), right.predict_topk(texts), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.any(none[left.validation_indices_])


def test_loss_of_a_step(pair, task, labels, weights, monkeypatch):
    """The mean over the rows of a batch of weight times loss, with weights of mean 1."""
    step, found = LevelTraining._step, []

    def noted(training, number, forward):
        batch = training._batch(number)
        training.encoder.model.eval()  # nothing random
        with torch.no_grad():
            losses = training._losses(batch, forward).double().numpy()
            kept, training.row_weights = training.row_weights, torch.ones(100)
            plain = training._losses(batch, forward).double().numpy()
            training.row_weights = kept
        found.append((losses, plain * (weights / weights.mean())[batch]))
        training.encoder.model.train()
        return step(training, number, forward)

    monkeypatch.setattr(LevelTraining, "_step", noted)
    model = make(pair, dropout=0.0, validation_fraction=0.2, evaluation_interval=10**6)
    model.fit(task.texts[task.train], labels, sample_weight=weights)
    assert len(found) == 10
    for losses, expected in found:
        np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_validation_loss_is_a_weighted_mean(pair, task, labels, weights, monkeypatch):
    validate, expected = LevelTraining._validate, []

    def noted(training):
        rows = training.validation_rows
        training.encoder.model.eval()
        with torch.no_grad():
            losses = training._losses(rows, training.encoder.model).double().numpy()
        expected.append(losses.sum() / (weights / weights.mean())[rows].sum())
        validate(training)

    monkeypatch.setattr(LevelTraining, "_validate", noted)
    model = make(pair, validation_fraction=0.3).fit(task.texts[task.train], labels, sample_weight=weights)
    losses = [loss for level in model.history_ for loss in level["validation_losses"]]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_starts_and_matcher_get_the_weights(pair, task, labels, weights, monkeypatch):
    solved, matched, fit = [], [], XRLinearClassifier.fit

    def noted(problem, embeddings, row_weights, **settings):
        solved.append(row_weights)
        return solved_weights(problem, embeddings, row_weights, **settings)

    def noted_fit(self, X, y, sample_weight=None, relevance=None):
        matched.append(sample_weight)
        return fit(self, X, y, sample_weight, relevance)

    monkeypatch.setattr(_fine_tuning, "solved_weights", noted)
    monkeypatch.setattr(XRLinearClassifier, "fit", noted_fit)
    make(pair).fit(task.texts[task.train], labels, sample_weight=weights)
    shares = weights / weights.mean()
    assert len(solved) == 2
    for row_weights in (*solved, matched[0]):
        np.testing.assert_allclose(row_weights, shares)
    np.testing.assert_array_equal(matched[-1], weights)  # the ranker


# ---------------------------------------------------------------- labels


def test_relevance_takes_the_place_of_counts(pair, task, labels, relevance):
    texts, counts = task.texts[task.train], labels.astype(float)
    model = make(pair, ranker=NotedRanker(), preliminary_indexer=HierarchicalKMeans(2, 3))
    plain, ones, more = (clone(model).fit(texts, labels, relevance=r) for r in (None, counts, relevance))
    assert not differ(weights_of(plain), weights_of(ones))
    assert differ(weights_of(plain), weights_of(more))
    given = more.ranker_.given_["relevance"]
    np.testing.assert_allclose(given.toarray(), relevance.toarray(), rtol=1e-6)
    uncounted = clone(model).set_params(weighted_loss=False, bootstrap="linear")
    left, right = (clone(uncounted).fit(texts, labels, relevance=r) for r in (None, relevance))
    assert not differ(weights_of(left), weights_of(right))  # the ranker alone knows it
    assert not np.array_equal(left.predict_topk(texts)[1], right.predict_topk(texts)[1])


def test_relevance_of_classes(pair, task):
    """Columns are those of the sorted classes."""
    y = task.winners[task.train]
    classes, codes = np.unique(y, return_inverse=True)
    values = np.linspace(0.5, 2, 100)
    relevance = sp.csr_array((values, (np.arange(100), codes)), (100, classes.size))
    texts = task.texts[task.train]
    model = make(pair, fine_tuning=None).fit(texts, y, relevance=relevance)
    X = sp.hstack([model.vectorizer_.transform(texts), model.transform(texts)], format="csr")
    scores = model.predict_topk(texts)[1]
    expected, others = (clone(model.ranker_).fit(X, y, relevance=r) for r in (relevance, None))
    np.testing.assert_allclose(scores, expected.predict_topk(X)[1], rtol=1e-3)
    assert not np.allclose(scores, others.predict_topk(X)[1], rtol=1e-2)


def test_ensembles_pass_weights_on(task, labels, relevance, weights):
    X = np.random.default_rng(0).normal(size=labels.shape)
    ensemble = XMREnsembleClassifier(NotedRanker(), n_estimators=2, random_state=0)
    ensemble.fit(X, labels, sample_weight=weights, relevance=relevance)
    for member in ensemble.estimators_:
        assert member.given_["sample_weight"] is weights
        assert member.given_["relevance"] is relevance


# ---------------------------------------------------------------- together, and what is refused


def test_ensemble_as_ranker_of_weighted_texts(pair, task, labels, relevance, weights):
    model = make(pair, ranker=XMREnsembleClassifier(NotedRanker(), n_estimators=2), fine_tuning=None)
    model.fit(task.texts[task.train], labels, sample_weight=weights, relevance=relevance)
    given = model.ranker_.estimators_[1].given_
    np.testing.assert_array_equal(given["sample_weight"], weights)
    assert given["relevance"].shape == relevance.shape


def test_weights_belong_to_a_checkpoint(pair, task, labels, relevance, weights, tmp_path, monkeypatch):
    texts, run = task.texts[task.train], LevelTraining.run

    def stopped(training, look):
        def look_then_stop(training):
            look(training)
            raise KeyboardInterrupt

        run(training, look_then_stop)

    model = make(pair, checkpoint_dir=tmp_path)
    monkeypatch.setattr(LevelTraining, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        model.fit(texts, labels, sample_weight=weights)
    monkeypatch.setattr(LevelTraining, "run", run)
    with pytest.warns(UserWarning, match="other parameters"):
        model.fit(texts, labels, sample_weight=weights[::-1])
    with pytest.warns(UserWarning, match="other parameters"):
        model.fit(texts, labels, relevance=relevance)


@pytest.mark.parametrize("given, error, match", [
    ({"sample_weight": np.full(100, -1.0)}, ValueError, "Negative values"),
    ({"sample_weight": np.ones(99)}, ValueError, "sample_weight.shape"),
    ({"sample_weight": np.zeros(100)}, ValueError, "at least one"),
    ({"sample_weight": np.full(100, np.nan)}, ValueError, "NaN"),
    ({"relevance": np.ones((100, 12))}, ValueError, "relevance must be positive where y is 1"),
    ({"relevance": np.ones((3, 12))}, ValueError, "relevance must have a row per sample"),
], ids=["negative", "too few", "zeros", "NaN", "not y", "too few rows"])  # fmt: skip
def test_malformed_weights(pair, task, given, error, match):
    with pytest.raises(error, match=match):
        make(pair).fit(task.texts[task.train], task.winners[task.train], **given)


def test_rows_that_count_need_a_label(pair, task, labels):
    y = labels.toarray()
    y[:50] = 0
    with pytest.raises(ValueError, match="at least one row with a label"):
        make(pair).fit(task.texts[task.train], y, sample_weight=np.arange(100) < 50)


class Unweighted(LinearSVC):
    """A ranker whose fit takes no weights."""

    def fit(self, X, y):
        return super().fit(X, y)

    def predict_topk(self, X, k=5):
        raise NotImplementedError


@pytest.mark.parametrize("name", ["sample_weight", "relevance"])
def test_ranker_without_weights(pair, task, labels, relevance, weights, name):
    given = {"sample_weight": weights, "relevance": relevance}[name]
    with pytest.raises(TypeError, match=rf"ranker must have a fit\(X, y, {name}=\), Unweighted"):
        make(pair, ranker=Unweighted()).fit(task.texts[task.train], labels, **{name: given})


def test_sum_of_large_weights():
    y = LabelBinarizer().fit_transform([0, 1, 2, 0])
    targets = TextTargets(
        4, y, np.array([3e38, 3e38, 0, 3e38], dtype=np.float32), None, XRLinearClassifier()
    )
    np.testing.assert_array_equal(targets.row_weights, [1, 1, 0, 1])


def test_lifted_relevance_equals_sums_in_loops():
    tree = LabelTree([[0, 2], [0, 2, 5]], [3, 0, 1, 2, 3])
    values = np.random.default_rng(0).uniform(size=(3, 4)) * [[1, 0, 1, 1]]
    lifted = _fine_tuning.lift_relevance(tree, sp.csr_array(values))
    nodes = np.zeros((3, 2))
    for node in range(2):
        for slot in range(tree.child_ptr[1][node], tree.child_ptr[1][node + 1]):
            nodes[:, node] += values[:, tree.slot_labels[slot]]
    np.testing.assert_allclose(lifted[1].toarray(), nodes)
    np.testing.assert_allclose(lifted[0].toarray()[:, 0], nodes.sum(axis=1))
