"""Beam width and label tree: measured, described and drawn."""

import numpy as np
import pytest
import scipy.sparse as sp
from _data import random_problem

from sklearn_xmr import HierarchicalKMeans, LabelTree, XRLinearClassifier
from sklearn_xmr.inspection import BeamWidthDisplay, LabelTreeDisplay, beam_width_curve, describe_tree
from sklearn_xmr.metrics import precision_at_k


@pytest.fixture(scope="module")
def fitted():
    X, Y = random_problem(200, 40, 30)
    return XRLinearClassifier(indexer=HierarchicalKMeans(4, 4), random_state=0).fit(X, Y), X, Y


@pytest.fixture
def plt():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def test_beam_width_curve(fitted):
    model, X, Y = fitted
    curve = beam_width_curve(model, X, Y, beam_widths=[1, 8], k=3, n_repeats=1)
    assert curve.beam_width.tolist() == [1, 8]
    wanted = [precision_at_k(Y, model.predict_topk(X, 3, beam_width=width), k=3) for width in (1, 8)]
    assert curve.precision.tolist() == wanted and wanted[0] < wanted[1]
    assert np.all(curve.seconds_per_row > 0)


@pytest.mark.parametrize("container", [sp.coo_array, sp.bsr_array, sp.csc_matrix, np.asarray])
def test_beam_width_curve_of_any_matrix(fitted, container):
    model, X, Y = fitted
    X_other = X.toarray() if container is np.asarray else container(X)
    curve = beam_width_curve(model, X_other, Y, beam_widths=[1], n_repeats=1)
    assert curve.precision[0] == precision_at_k(Y, model.predict_topk(X, beam_width=1))


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"beam_widths": []}, ValueError, "beam_widths must hold at least one integer"),
        ({"beam_widths": 3}, TypeError, "beam_widths must be an array-like of integers, got 3"),
        ({"beam_widths": [0]}, ValueError, "beam_widths must be at least 1"),
        ({"k": 0}, ValueError, "k must be at least 1"),
        ({"n_repeats": 0}, ValueError, "n_repeats must be at least 1"),
        ({"y": np.eye(3)}, ValueError, "X and y must have the same number of rows"),
        ({"classifier": object()}, TypeError, "must be a fitted XRLinearClassifier, got object"),
    ],
)
def test_bad_input(fitted, change, error, match):
    model, X, Y = fitted
    with pytest.raises(error, match=match):
        beam_width_curve(**{"classifier": model, "X": X, "y": Y, **change})


def test_beam_width_display(fitted, plt):
    model, X, Y = fitted
    display = BeamWidthDisplay.from_estimator(model, X, Y, beam_widths=[1, 2, 4], k=1, n_repeats=1)
    np.testing.assert_array_equal(display.line_.get_ydata(), display.curve.precision)
    np.testing.assert_allclose(display.line_.get_xdata(), 1e6 * display.curve.seconds_per_row)
    assert [text.get_text() for text in display.texts_] == ["1", "2", "4"]
    assert display.figure_ is display.ax_.figure
    assert display.line_.get_label() == "XRLinearClassifier"
    _, ax = plt.subplots()
    again = display.plot(ax, x="beam_width", name="mine", color="r")
    assert again is display and display.ax_ is ax and not display.texts_
    assert display.line_.get_xdata().tolist() == [1, 2, 4]
    assert display.line_.get_color() == "r" and display.line_.get_label() == "mine"
    with pytest.raises(ValueError, match="x must be 'time' or 'beam_width', got 'memory'"):
        display.plot(x="memory")


def test_label_tree_display(fitted, plt):
    model = fitted[0]
    display = LabelTreeDisplay.from_estimator(model, max_depth=1, name="tree", color="g")
    nodes = display.description.nodes
    assert repr(display.description) == repr(describe_tree(model, max_depth=1, max_children=8, n_labels=3,
                                                           n_features=3))  # fmt: skip
    assert len(display.nodes_.get_offsets()) == len(display.texts_) == len(nodes) == 5
    assert len(display.lines_) == 4
    assert display.ax_.get_title() == "tree"
    sizes = display.nodes_.get_sizes()
    assert sizes[0] == sizes.max() and display.nodes_.get_facecolor()[0].tolist()[:2] == [0, 0.5]
    assert nodes[1].features[0] in display.texts_[1].get_text()
    assert "more below" in display.texts_[1].get_text()
    _, ax = plt.subplots()
    bare = LabelTreeDisplay.from_estimator(model.tree_, ax=ax)
    assert bare.ax_ is ax
    assert bare.texts_[0].get_text().startswith(f"30 labels: label {model.tree_.slot_labels[0]}, ")
    assert display.plot().texts_[0].get_text() == "30 labels"


def test_names_are_no_formulas(plt):
    tree = LabelTree.from_paths([("a",), ("a",), ("b",)])
    display = LabelTreeDisplay.from_estimator(
        tree, label_names=["US$ loans", "A$ loans", "tax_$ and cost_$"]
    )
    display.figure_.canvas.draw()
    assert "US$ loans" in display.texts_[1].get_text() and not display.texts_[1].get_parse_math()
