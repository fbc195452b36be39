"""Explanations against the search and the weights."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from _data import random_problem
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from sklearn_xmr import HierarchicalKMeans, LabelTree, XRLinearClassifier
from sklearn_xmr.inspection import explain_prediction

TRANSFORMS = ["sigmoid", "l1_hinge", "l3_hinge", "identity", ["l3_hinge", "sigmoid", "identity"]]


def overlapping_tree():
    membership = np.zeros((12, 4))
    membership[np.arange(12), np.arange(12) % 4] = 1
    membership[:6, 3] = 1
    inner = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    return LabelTree.from_assignments([np.ones((2, 1)), inner, membership])


@pytest.fixture(scope="module", params=["plain", "overlap"])
def fitted(request):
    X, Y = random_problem(200, 40, 12)
    indexer = HierarchicalKMeans(2, 3) if request.param == "plain" else overlapping_tree()
    return XRLinearClassifier(indexer=indexer, beam_width=2, random_state=0).fit(X, Y), X


@pytest.mark.parametrize("slope", [1.0, 2.5])
@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
def test_scores_and_ranks_are_those_of_the_search(fitted, transform, slope):
    model, X = fitted
    model.set_params(score_transform=transform, score_slope=slope)
    assert model.tree_.n_levels == 3
    n_lost = 0
    for i in range(5):
        labels, scores = model.predict_topk(X[[i]], k=12)
        reached = labels[0, labels[0] >= 0].tolist()
        for label in range(12):
            found = explain_prediction(model, X[[i]], label)
            assert found.label == label and found.beam_width == 2
            assert len(found.paths) == len(model.tree_.path(label))
            if label in reached:
                assert found.rank == reached.index(label) + 1
                assert found.score == pytest.approx(scores[0, reached.index(label)], rel=1e-4)
                assert found.lost_at_level is None and found.lost_at_rank is None
            else:
                n_lost += 1
                assert found.rank is None
                lost = next(step for step in found.paths[0] if not step.kept)
                assert (lost.level, lost.rank) == (found.lost_at_level, found.lost_at_rank)
                assert lost.rank > 2 and lost.level < 3
    assert n_lost > 0
    model.set_params(score_transform="auto", score_slope=1.0)


def test_steps(fitted):
    model, X = fitted
    row = X[[3]]
    for label in range(12):
        for path, nodes in zip(
            sorted(explain_prediction(model, row, label).paths, key=lambda path: path[-1].node),
            model.tree_.path(label),
            strict=True,
        ):
            assert [step.node for step in path[:-1]] == list(nodes)
            assert [step.level for step in path] == [1, 2, 3]
            product = 1.0
            for step in path:
                assert step.intercept + step.contributions.sum() == pytest.approx(step.margin, abs=1e-12)
                column = model.coefs_[step.level - 1][:, [step.node]].toarray().ravel()
                wanted = row.toarray().ravel().astype(float) * column
                given = np.zeros(column.size)
                given[step.features] = step.contributions
                np.testing.assert_allclose(given, wanted, atol=1e-12)
                assert np.all(np.diff(np.abs(step.contributions)) <= 0)
                assert step.feature_names == [f"feature {j}" for j in step.features]
                assert step.factor == pytest.approx(math.exp(-(max(0, 1 - step.margin) ** 3)))
                product *= step.factor
                assert step.path_score == pytest.approx(product)
            assert model.tree_.slot_labels[path[-1].node] == label


def test_wide_beam_keeps_everything(fitted):
    model, X = fitted
    for label in range(12):
        found = explain_prediction(model, X[[0]], label, beam_width=100)
        assert all(step.kept for path in found.paths for step in path)
        assert found.paths[0][0].n_candidates == model.tree_.n_nodes[1]
        assert found.score == pytest.approx(model.decision_function(X[[0]])[0, label], rel=1e-4) or (
            found.beam_width > model.beam_width
        )
        labels, scores = model.predict_topk(X[[0]], k=12, beam_width=100)
        assert labels[0, found.rank - 1] == label
        assert found.score == pytest.approx(scores[0, found.rank - 1], rel=1e-4)


def test_nodes_below_a_lost_one_have_no_rank(fitted):
    model, X = fitted
    lost = next(
        found
        for label in range(12)
        if (found := explain_prediction(model, X[[0]], label, beam_width=1)).lost_at_level == 1
    )
    first, second, third = lost.paths[0]
    assert first.rank == 2 and not first.kept
    assert second.rank is third.rank is None and not second.kept and not third.kept
    assert "not reached: rank 2 at level 1, beam width 1" in repr(lost)


def test_printed_table():
    tree = LabelTree.from_paths([("a",), ("b",)])
    model = XRLinearClassifier(indexer=tree, random_state=0).fit(np.eye(2), ["pie", "car"])
    found = model.explain([[0.0, 1.0]], 0, feature_names=["apple", "wheel"])
    assert found.label_name == "car"  # classes_ are sorted
    lines = repr(found).splitlines()
    assert lines[0].startswith("car: score ") and lines[0].endswith("rank 1")
    assert lines[1].split() == ["level", "node", "margin", "factor", "path", "rank", "beam"]
    assert "wheel +" in lines[3] and "apple" not in repr(found)
    assert repr(found.paths[0][0]).startswith("NodeExplanation(level=1, node=0, margin=0.")
    named = explain_prediction(model, [[0.0, 1.0]], 0, label_names=["auto", "tart"])
    assert named.label_name == "auto"


def test_many_features_are_summed_up():
    X = np.random.default_rng(0).normal(size=(30, 20))
    Y = (X[:, :4] > 0).astype(int)
    model = XRLinearClassifier(weight_threshold=0, random_state=0).fit(X, Y)
    assert "14 more" in repr(model.explain(X[:1], 0))


def test_column_names_of_fit():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(np.eye(3), columns=["x", "y", "z"])
    model = XRLinearClassifier(random_state=0).fit(X, [0, 1, 2])
    assert model.explain(X[:1], 0).paths[0][-1].feature_names == ["x"]


def test_label_without_positives():
    Y = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]])
    tree = LabelTree.from_paths([("a",), ("a",), ("b",)])
    model = XRLinearClassifier(indexer=tree, random_state=0).fit(np.repeat(np.eye(2), 2, axis=0), Y)
    found = model.explain([[1.0, 0.0]], 2)
    assert (found.score, found.rank, found.lost_at_level, found.lost_at_rank) == (0.0, None, 1, None)
    assert found.paths[0][0].margin == -math.inf
    assert "its node of level 1 had no positive row" in repr(found)


def test_pipeline_is_taken_apart():
    X, Y = random_problem()
    pipeline = make_pipeline(MaxAbsScaler(), XRLinearClassifier(random_state=0)).fit(X, Y)
    with pytest.raises(TypeError, match=r"got Pipeline. Of a Pipeline, pass its last step, pipe\[-1\]"):
        explain_prediction(pipeline, X[[0]], 0)
    found = explain_prediction(pipeline[-1], pipeline[:-1].transform(X[[0]]), 0)
    labels, scores = pipeline[-1].predict_topk(pipeline[:-1].transform(X[[0]]), k=12)
    assert found.score == pytest.approx(scores[0, labels[0] == 0][0], rel=1e-4)


def test_unsorted_row(fitted):
    model, X = fitted
    row = sp.csr_array(X[[0]])
    twisted = sp.csr_array((row.data[::-1], row.indices[::-1], row.indptr), shape=row.shape)
    assert repr(model.explain(twisted, 3)) == repr(model.explain(row, 3))


@pytest.mark.parametrize("writeable", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_row_stays_as_it_is(fitted, dtype, writeable):
    model, _ = fitted
    data, indices = np.array([1, 2, 3, 4], dtype), np.array([7, 3, 7, 5], np.int32)
    row = sp.csr_array((data, indices, np.array([0, 4], np.int32)), shape=(1, 40))
    before = [array.copy() for array in (row.data, row.indices, row.indptr)]
    for array in (row.data, row.indices, row.indptr):
        array.flags.writeable = writeable
    first = repr(model.explain(row, 3))
    assert all(map(np.array_equal, (row.data, row.indices, row.indptr), before))
    assert repr(model.explain(row, 3)) == first


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"label": 12}, ValueError, r"label must be in \[0, 12\), got 12"),
        ({"label": -1}, ValueError, r"label must be in \[0, 12\), got -1"),
        ({"label": 1.5}, TypeError, "label must be an integer, an index into classes_, got 1.5"),
        ({"X": np.zeros((2, 40))}, ValueError, "X must be a single row, got 2"),
        ({"X": np.zeros((1, 3))}, ValueError, "features"),
        ({"beam_width": 0}, ValueError, "beam_width must be at least 1"),
        ({"feature_names": ["a"]}, ValueError, "feature_names must hold 40 names, got 1"),
        ({"label_names": ["a"]}, ValueError, "label_names must hold 12 names, got 1"),
        ({"classifier": XRLinearClassifier()}, TypeError, "must be a fitted XRLinearClassifier"),
    ],
)
def test_bad_input(fitted, change, error, match):
    model, X = fitted
    with pytest.raises(error, match=match):
        explain_prediction(**{"classifier": model, "X": X[[0]], "label": 0, **change})
