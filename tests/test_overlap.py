"""XRLinearClassifier with overlapping leaves, and with beams from models of other folds."""

import numpy as np
import pytest
import scipy.sparse as sp
from _data import random_problem
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sklearn_xmr import HierarchicalKMeans, LabelTree, OverlappingIndexer, XRLinearClassifier
from sklearn_xmr._level_trainer import LevelTrainer, make_folds
from sklearn_xmr.metrics import make_topk_scorer, precision_at_k


def overlapping(**parameters):
    base = HierarchicalKMeans(branching_factor=2, max_leaf_size=4)
    return OverlappingIndexer(base, **{"max_leaf_size": None, "max_parents": 3, **parameters})


def classifier(**parameters):
    return XRLinearClassifier(indexer=overlapping(), random_state=0).set_params(**parameters)


@pytest.fixture(scope="module")
def problem():
    return random_problem(120, 40, 24, random_state=3)


@pytest.mark.parametrize("positives", ["split", "all"])
@pytest.mark.parametrize("negative_sampling", ["tfn", "man", "tfn+man"])
@pytest.mark.parametrize("cv", [None, 3])
def test_no_label_twice(problem, positives, negative_sampling, cv):
    X, Y = problem
    model = classifier(
        indexer__positives=positives, indexer__cv=cv, negative_cv=cv, negative_sampling=negative_sampling
    ).fit(X, Y)
    assert model.tree_.has_overlap
    assert np.bincount(model.tree_.slot_labels).max() <= 3
    for k, beam_width in ((3, 1), (10, 2), (24, 100), (50, 100)):
        labels, scores = model.predict_topk(X, k=k, beam_width=beam_width)
        for row, row_scores in zip(labels, scores, strict=True):
            found = row[row >= 0]
            assert np.unique(found).size == found.size
            assert np.all(np.diff(row_scores[: found.size]) <= 0)
    labels, _ = model.predict_topk(X, k=24, beam_width=100)
    assert np.all(np.sort(labels, axis=1) == np.arange(24))
    assert model.decision_function(X).shape == Y.shape


def test_a_label_scores_as_its_best_copy(problem):
    X, Y = problem
    model = classifier(score_transform="l3_hinge", weight_dtype="float32").fit(X, Y)
    tree = model.tree_
    log_path = np.zeros((X.shape[0], 1))
    for t, (coef, intercept) in enumerate(zip(model.coefs_, model.intercepts_, strict=True), start=1):
        with np.errstate(invalid="ignore"):
            margins = X @ coef.toarray() + intercept
        log_path = log_path[:, tree.parent_of(t)] - np.maximum(0, 1 - margins) ** 3
    best = np.full(Y.shape, -np.inf)
    np.maximum.at(best.T, tree.slot_labels, log_path.T)
    labels, scores = model.predict_topk(X, k=5, beam_width=100)
    wanted = np.exp(np.take_along_axis(best, labels, axis=1))
    np.testing.assert_allclose(scores, wanted, rtol=1e-3, atol=1e-30)


def test_a_tree_refined_by_hand_gives_the_same_tree(problem):
    X, Y = problem
    model = classifier(indexer__cv=None).fit(X, Y)
    seed = int(np.random.RandomState(0).randint(np.iinfo(np.int32).max))
    base = HierarchicalKMeans(branching_factor=2, max_leaf_size=4, random_state=seed)
    plain = XRLinearClassifier(indexer=base, random_state=0).fit(X, Y)
    beam = plain._search.__class__(plain.tree_, plain.chunked_weights_[:-1]).topk(
        X, 3, 3, [(2, 3)] * (plain.tree_.n_levels - 1)
    )[0]
    matched = np.zeros((X.shape[0], plain.tree_.n_nodes[-2]), dtype=int)
    matched[np.repeat(np.arange(X.shape[0]), 3)[beam.ravel() >= 0], beam[beam >= 0]] = 1
    by_hand = overlapping().set_params(base_indexer=plain.tree_).fit(np.eye(24)).refine(Y, matched)
    assert model.tree_ == by_hand.tree_


def test_rounds(problem):
    X, Y = problem
    trees = [classifier(indexer__n_rounds=n).fit(X, Y).tree_ for n in (1, 2)]
    assert trees[0] != trees[1]


def test_the_users_indexer_is_not_touched(problem):
    X, Y = problem
    indexer = overlapping()
    XRLinearClassifier(indexer=indexer, random_state=0).fit(X, Y)
    assert not hasattr(indexer, "tree_")


def test_frozen_indexer_keeps_its_tree(problem):
    X, Y = problem
    indexer = overlapping(random_state=0).fit(np.eye(24))
    model = XRLinearClassifier(indexer=FrozenEstimator(indexer), random_state=0).fit(X, Y)
    assert model.tree_ is indexer.tree_
    assert not indexer.tree_.has_overlap


def test_flat_tree_stays_flat(problem):
    X, Y = problem
    model = XRLinearClassifier(indexer=OverlappingIndexer(), random_state=0).fit(X, Y)
    assert model.tree_ == LabelTree.flat(24)


def test_pipeline_and_grid_search(problem):
    X, Y = problem
    search = GridSearchCV(
        make_pipeline(Normalizer(), classifier()),
        {
            "xrlinearclassifier__indexer__max_parents": [1, 2],
            "xrlinearclassifier__indexer__base_indexer__max_leaf_size": [3, 6],
            "xrlinearclassifier__negative_cv": [None, 2],
        },
        scoring=make_topk_scorer(precision_at_k, k=1),
        cv=2,
    ).fit(X, Y)
    assert len(set(search.cv_results_["mean_test_score"])) > 1


def test_weights_stand_for_repeated_rows_where_rows_are_matched_in_sample(problem):
    X, Y = problem
    weights = np.random.default_rng(0).integers(0, 3, size=X.shape[0])
    model = classifier(indexer__cv=None, tol=1e-8, max_iter=5000)
    weighted = clone(model).fit(X, Y, sample_weight=weights)
    repeated = clone(model).fit(
        X[np.repeat(np.arange(120), weights)], Y[np.repeat(np.arange(120), weights)]
    )
    assert weighted.tree_ == repeated.tree_


class Fails(OverlappingIndexer):
    def refine(self, Y, matched, sample_weight=None):
        raise ValueError("no better tree")


def test_failed_fit_changes_nothing(problem):
    X, Y = problem
    model = classifier().fit(X, Y)
    before, answers = vars(model).copy(), model.predict_topk(X)
    with pytest.raises(ValueError, match="no better tree"):
        model.set_params(indexer=Fails(HierarchicalKMeans(max_leaf_size=4))).fit(X[:, :30], Y)
    after = vars(model)
    assert all(after[name] is value for name, value in before.items() if name != "indexer")
    np.testing.assert_array_equal(model.predict_topk(X)[0], answers[0])


class Halves(BaseEstimator):
    """An indexer of one's own that learns from the matcher; it records what it was given."""

    n_rounds, beam_width, cv, positives = 1, 1, 2, "all"
    seen: list = []  # noqa: RUF012

    def fit(self, Z, y=None):
        n_labels = Z.shape[0]
        self.tree_ = LabelTree([[0, 2], [0, n_labels // 2, n_labels]], np.arange(n_labels))
        return self

    def refine(self, Y, matched, sample_weight=None):
        self.seen.append((Y, matched, sample_weight))
        return self


def test_an_indexer_of_ones_own_can_refine(problem):
    X, Y = problem
    Halves.seen.clear()
    model = XRLinearClassifier(indexer=Halves(), random_state=0).fit(X, Y, sample_weight=np.ones(120))
    ((Y_seen, matched, weight),) = Halves.seen
    assert model.tree_.n_nodes == (1, 2, 24)
    np.testing.assert_array_equal(Y_seen.toarray(), Y.toarray())
    assert matched.shape == (120, 2)
    np.testing.assert_array_equal(matched.sum(axis=1), 1)
    assert weight.shape == (120,)


# ------------------------------------------------------------------ fold models


@pytest.mark.parametrize("cv", [2, 5])
def test_folds_hold_each_row_once(cv):
    folds = make_folds(cv, 11, seed=0)
    assert len(folds) == cv
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(11))
    for train, test in folds:
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(11))


def test_no_more_folds_than_rows():
    assert len(make_folds(5, 3, seed=0)) == 3
    assert make_folds(5, 1, seed=0) == make_folds(None, 10, seed=0) == []


class Nearest:
    """Stands in for the solver: records on which rows each level was trained."""

    def __init__(self):
        self.trained_on = []

    def __call__(self, X, problems, sample_weight):
        from sklearn_xmr.ranking._chunked_weights import ChunkedWeights

        self.trained_on.append((X.toarray(), sample_weight))
        weights = []
        for problem in problems:
            assert problem.positives.shape[0] == problem.rows.shape[0] == X.shape[0]
            coef = sp.csc_array(X.T @ problem.positives)
            weights.append(
                ChunkedWeights.from_csc(coef, np.zeros(coef.shape[1], np.float32), problem.child_ptr)
            )
        return weights, 1, 0


def test_a_row_is_matched_by_models_that_have_not_seen_it():
    """Every row has a feature of its own, so a model that has not seen the row knows nothing about it."""
    from sklearn_xmr.ranking._linear_ranker import LevelProblem

    X = sp.csr_array(np.eye(12, dtype=np.float32))
    Y = sp.csr_array(np.eye(12, dtype=np.float32)[:, [11, *range(11)]])
    tree = LabelTree([[0, 12], range(13)], np.arange(12))
    patterns = tree.propagate(Y)
    own_leaf = patterns[1].indices
    for cv in (None, 3):
        solver = Nearest()
        folds = make_folds(cv, 12, seed=0)
        trainer = LevelTrainer(solver, X, tree, [(3, 1)] * 2, np.arange(1.0, 13), folds)
        trainer.add(LevelProblem(tree.child_ptr[0], patterns[1], patterns[0]))
        beam = trainer.match(1)[:, 0]
        if cv is None:
            np.testing.assert_array_equal(beam, own_leaf)
            assert len(solver.trained_on) == 1
        else:
            np.testing.assert_array_equal(beam, 0)  # all scores are equal
            for (train, _), (X_seen, weight) in zip(folds, solver.trained_on, strict=True):
                np.testing.assert_array_equal(X_seen, X.toarray()[train])
                np.testing.assert_array_equal(weight, train + 1.0)
        trainer.match(1)
        assert len(solver.trained_on) == (cv or 1)  # nothing is trained twice
        weights, _, _ = trainer.finish()
        assert len(weights) == 1


def test_negative_cv_acts_on_man_alone(problem):
    X, Y = problem
    base = HierarchicalKMeans(branching_factor=2, max_leaf_size=4)

    def coefficients(**parameters):
        model = XRLinearClassifier(indexer=base, beam_width=1, random_state=0, **parameters).fit(X, Y)
        return sp.hstack(model.coefs_).toarray()

    np.testing.assert_array_equal(coefficients(negative_cv=3), coefficients())
    man = coefficients(negative_sampling="man")
    assert np.any(coefficients(negative_sampling="man", negative_cv=3) != man)


def test_negative_cv_out_of_range(problem):
    with pytest.raises(ValueError, match="negative_cv"):
        XRLinearClassifier(negative_cv=1).fit(*problem)


def test_folds_without_positives():
    X, _ = random_problem(12, 20, 4)
    Y = np.zeros((12, 4), dtype=int)
    Y[0, 0] = Y[1, 1] = 1  # one fold model has seen no label but one, another row none at all
    tree = LabelTree([[0, 2], [0, 2, 4]], np.arange(4))
    model = XRLinearClassifier(indexer=tree, negative_sampling="man", negative_cv=12, random_state=0)
    assert model.fit(X, Y).predict_topk(X, k=4)[0].shape == (12, 4)
    Y[1, 1] = 0
    assert model.fit(X, Y).predict_topk(X, k=1)[0].max() == 0
