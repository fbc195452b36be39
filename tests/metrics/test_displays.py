"""Displays of metrics hold what the metrics say, and draw it."""

import builtins

import numpy as np
import pytest
from _data import random_problem
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from sklearn_xmr import CalibratedXMRClassifier, XRLinearClassifier
from sklearn_xmr.datasets import make_xmc_classification
from sklearn_xmr.metrics import (
    LabelFrequencyDisplay,
    PrecisionAtKDisplay,
    ReliabilityDisplay,
    calibration_curve_at_k,
    expected_calibration_error,
    precision_at_k,
    precision_recall_by_frequency,
    topk,
)
from sklearn_xmr.utils._optional import import_optional


@pytest.fixture(scope="module")
def fitted():
    X, Y = random_problem(150, 40, 12)
    model = make_pipeline(MaxAbsScaler(), XRLinearClassifier(loss="log_loss", random_state=0)).fit(X, Y)
    return model, X, Y


@pytest.fixture
def plt():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def test_precision_at_k(fitted, plt):
    model, X, Y = fitted
    display = PrecisionAtKDisplay.from_estimator(model, X, Y, k=[1, 3, 20])
    ranking = model[-1].predict_topk(model[:-1].transform(X), k=12)
    wanted = [precision_at_k(Y, ranking, k=k) for k in (1, 3, 20)]
    np.testing.assert_allclose(display.precision, wanted)
    np.testing.assert_allclose(display.line_.get_ydata(), wanted)
    assert display.line_.get_label() == "XRLinearClassifier"
    weights = np.arange(150.0)
    other = PrecisionAtKDisplay.from_predictions(
        Y, ranking, k=[1], sample_weight=weights, name="mine", ax=display.ax_, color="r"
    )
    assert other.precision[0] == precision_at_k(Y, ranking, k=1, sample_weight=weights)
    assert other.figure_ is display.figure_ and other.line_.get_color() == "r"
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == [
        "XRLinearClassifier",
        "mine",
    ]
    with pytest.raises(ValueError, match="k must hold at least one integer"):
        PrecisionAtKDisplay.from_predictions(Y, ranking, k=[])


def test_precision_on_axes_of_any_scale(fitted, plt):
    model, X, Y = fitted
    for draw_first in (lambda ax: ax.set_xscale("log"), lambda ax: ax.set_xticks([1, 3])):
        _, ax = plt.subplots()
        draw_first(ax)
        locator = type(ax.xaxis.get_major_locator())
        display = PrecisionAtKDisplay.from_estimator(model, X, Y, k=(k for k in (1, 3)), ax=ax)
        assert display.k.tolist() == [1, 3]
        assert type(ax.xaxis.get_major_locator()) is locator
    with pytest.raises(TypeError, match="k must be an array-like of integers, got 3"):
        PrecisionAtKDisplay.from_estimator(model, X, Y, k=3)


def test_label_frequency(fitted, plt):
    model, X, Y = fitted
    display = LabelFrequencyDisplay.from_estimator(model, X, Y, y_train=Y, k=2, edges=[20, 21, 30])
    wanted = precision_recall_by_frequency(
        Y, model.decision_function(X), y_train=Y, k=2, edges=[20, 21, 30]
    )
    heights = [bar.get_height() for bar in display.recall_bars_]
    np.testing.assert_allclose(heights, wanted.recall)
    np.testing.assert_allclose([bar.get_height() for bar in display.precision_bars_], wanted.precision)
    assert display.bin_names() == ["0-20", "21", "22-30", "> 30"]
    assert display.ax_.get_title() == "XRLinearClassifier"
    _, ax = plt.subplots()
    assert display.plot(ax, name="other").ax_ is ax and ax.get_title() == "other"


def test_reliability(fitted, plt):
    model, X, Y = fitted
    display = ReliabilityDisplay.from_estimator(model, X, Y, k=3, n_bins=4)
    proba = model.predict_proba(X)
    curve = calibration_curve_at_k(Y, proba, k=3, n_bins=4)
    np.testing.assert_allclose(display.line_.get_xydata(), np.c_[curve.prob_pred, curve.prob_true])
    ece = expected_calibration_error(Y, proba, k=3, n_bins=4)
    assert display.ece == pytest.approx(ece)
    assert display.line_.get_label() == f"XRLinearClassifier (ECE = {ece:.3f})"
    ReliabilityDisplay.from_predictions(Y, proba, ax=display.ax_)
    labels = display.ax_.get_legend_handles_labels()[1]
    assert len(labels) == 3 and labels.count("Perfectly calibrated") == 1
    hinge = XRLinearClassifier(random_state=0).fit(X, Y)
    with pytest.raises(TypeError, match=r"must have predict_proba.*CalibratedXMRClassifier"):
        ReliabilityDisplay.from_estimator(hinge, X, Y)


def test_reliability_of_a_list_of_probabilities(fitted, plt):
    _, X, Y = fitted
    Y = Y.toarray().astype(int)
    forest = RandomForestClassifier(5, random_state=0).fit(X, Y)
    proba = np.stack([of_label[:, 1] for of_label in forest.predict_proba(X)], axis=1)
    display = ReliabilityDisplay.from_estimator(forest, X, Y)
    assert display.ece == pytest.approx(expected_calibration_error(Y, proba))


def test_without_matplotlib(monkeypatch):
    original = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr("sklearn_xmr.utils._optional.import_module", refuse)
    with pytest.raises(
        ImportError, match="matplotlib is needed for this: python -m pip install matplotlib"
    ):
        PrecisionAtKDisplay(k=[1], precision=[0.5]).plot()


def test_import_optional():
    assert import_optional("json.decoder").JSONDecoder
    with pytest.raises(ImportError, match="nowhere is needed for this: python -m pip install nowhere"):
        import_optional("nowhere.to.be.found")


def test_reliability_is_that_of_the_labels_answered(plt):
    X, Y = make_xmc_classification(500, 100, 30, random_state=0)
    classifier = XRLinearClassifier(random_state=0).fit(X[:200], Y[:200])
    model = CalibratedXMRClassifier(FrozenEstimator(classifier), n_candidates=10).fit(
        X[200:350], Y[200:350]
    )
    X, Y = X[350:], Y[350:]
    assert np.any(topk(model.predict_proba(X), 3)[0] != model.predict_topk(X, 3)[0])  # equal probabilities
    for k in (1, 3):
        display = ReliabilityDisplay.from_estimator(model, X, Y, k=k)
        assert display.ece == expected_calibration_error(Y, model.predict_topk(X, k), k=k)
    wide = ReliabilityDisplay.from_estimator(model, X, Y, k=20)  # more than there are probabilities of
    assert wide.curve.counts.sum() == 10 * X.shape[0]
    dense = CalibratedXMRClassifier(FrozenEstimator(classifier)).fit(X, Y.toarray().astype(int))
    wanted = expected_calibration_error(Y, dense.predict_topk(X, 4), k=4)
    assert ReliabilityDisplay.from_estimator(dense, X, Y, k=4).ece == wanted


def test_bars_in_another_style(fitted, plt):
    model, X, Y = fitted
    display = LabelFrequencyDisplay.from_estimator(
        model, X, Y, y_train=Y, edges=[20, 25], width=0.2, label="mine"
    )
    left, right = display.precision_bars_[0], display.recall_bars_[0]
    assert left.get_width() == pytest.approx(0.2) and left.get_x() + 0.2 == pytest.approx(right.get_x())
    assert display.recall_bars_.get_label() == "mine"


def test_reliability_of_a_generator(plt):
    texts = [f"word{row % 7} word{row % 5}" for row in range(80)]
    Y = np.eye(7, dtype=int)[np.arange(80) % 7]
    model = make_pipeline(TfidfVectorizer(), XRLinearClassifier(loss="log_loss", random_state=0)).fit(
        texts, Y
    )
    displays = [ReliabilityDisplay.from_estimator(model, X, Y, k=2) for X in (texts, iter(texts))]
    assert displays[0].ece == displays[1].ece
