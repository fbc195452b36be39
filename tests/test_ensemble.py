"""XMREnsembleClassifier: votes against plain loops, seeds, containers and threads."""

import os
import pickle
from threading import Barrier

import numpy as np
import pytest
import scipy.sparse as sp
from _data import random_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import cpu_count, parallel_config
from reference.votes import average
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from threadpoolctl import threadpool_info, threadpool_limits

from sklearn_xmr import HierarchicalKMeans, OverlappingIndexer, XMREnsembleClassifier, XRLinearClassifier
from sklearn_xmr.metrics import make_topk_scorer, precision_at_k
from sklearn_xmr.utils._votes import VOTINGS, count_votes


@pytest.fixture(scope="module")
def problem():
    return random_problem(80, 40, 24, random_state=3)


def tree_classifier(**parameters):
    return XRLinearClassifier(indexer=HierarchicalKMeans(max_leaf_size=4), beam_width=3, **parameters)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from(VOTINGS), st.integers(1, 3), st.integers(1, 5))
def test_votes_equal_the_reference(seed, voting, n_rankers, n_candidates):
    rng = np.random.default_rng(seed)
    n_labels = 6
    rankings = []
    for _ in range(n_rankers):
        labels = np.array([rng.permutation(n_labels)[:n_candidates] for _ in range(4)])
        scores = -np.sort(-rng.uniform(0.01, 1, size=labels.shape), axis=1)
        padding = np.arange(n_candidates) >= rng.integers(0, n_candidates + 1, size=(4, 1))
        rankings.append((np.where(padding, -1, labels), np.where(padding, -np.inf, scores)))
    votes = count_votes(rankings, n_labels, voting)
    assert votes.dtype == np.float32 and votes.shape == (4, n_labels)
    for i in range(4):
        wanted = average(
            [list(zip(labels[i], scores[i], strict=True)) for labels, scores in rankings], voting
        )
        row = votes[[i]]
        assert dict(zip(row.indices.tolist(), row.data.tolist(), strict=True)) == pytest.approx(
            wanted, rel=1e-5
        )


def test_mean_by_hand():
    first = (np.array([[2, 0]]), np.array([[0.8, 0.4]]))
    second = (np.array([[0, -1]]), np.array([[0.6, -np.inf]]))
    np.testing.assert_allclose(count_votes([first, second], 3, "mean").toarray(), [[0.5, 0, 0.4]])
    np.testing.assert_allclose(count_votes([first, second], 3, "rank").toarray(), [[0.75, 0, 0.5]])


@pytest.mark.parametrize("voting", VOTINGS)
def test_ranking_is_that_of_the_votes(problem, voting):
    X, Y = problem
    ensemble = XMREnsembleClassifier(tree_classifier(), voting=voting, n_candidates=6, random_state=0)
    labels, votes = ensemble.fit(X, Y).predict_topk(X, k=4)
    lists = [member.predict_topk(X, k=6) for member in ensemble.estimators_]
    for i in range(X.shape[0]):
        wanted = average([list(zip(found[i], scores[i], strict=True)) for found, scores in lists], voting)
        best = sorted(wanted.values(), reverse=True)[:4]
        np.testing.assert_allclose(votes[i][: len(best)], best, rtol=1e-5)
        assert len(set(labels[i].tolist())) == 4
        for label, vote in zip(labels[i].tolist(), votes[i], strict=True):
            assert vote == pytest.approx(wanted[label], rel=1e-5)
    assert votes.max() <= 1 and votes.min() > 0


def test_more_labels_than_candidates(problem):
    X, Y = problem
    ensemble = XMREnsembleClassifier(tree_classifier(), n_candidates=2, random_state=0).fit(X, Y)
    labels, votes = ensemble.predict_topk(X, k=30, beam_width=100)
    assert np.all(np.sort(labels[:, :24], axis=1) == np.arange(24))
    assert np.all(labels[:, 24:] == -1) and np.all(votes[:, 24:] == -np.inf)


def test_a_mask_is_passed_on(problem):
    X, Y = problem
    ensemble = XMREnsembleClassifier(tree_classifier(), random_state=0).fit(X, Y)
    labels, _ = ensemble.predict_topk(X, k=2, labels=[3, 5])
    assert set(labels.ravel().tolist()) == {3, 5}


def test_every_clone_has_seeds_of_its_own(problem):
    X, Y = problem
    base = tree_classifier(random_state=7).set_params(indexer__random_state=7)
    ensemble = XMREnsembleClassifier(base, n_estimators=4, random_state=0).fit(X, Y)
    seeds = {(member.random_state, member.indexer.random_state) for member in ensemble.estimators_}
    assert len(seeds) == 4
    assert len({member.tree_ for member in ensemble.estimators_}) > 1
    again = clone(ensemble).fit(X, Y)
    np.testing.assert_array_equal(again.predict_topk(X)[1], ensemble.predict_topk(X)[1])


def test_sequence_of_estimators(problem):
    X, Y = problem
    members = (
        tree_classifier(random_state=5),
        XRLinearClassifier(indexer=OverlappingIndexer(HierarchicalKMeans(max_leaf_size=4))),
    )
    ensemble = XMREnsembleClassifier(members, random_state=0).fit(X, Y)
    assert len(ensemble.estimators_) == 2
    assert ensemble.estimators_[0].random_state == 5
    assert ensemble.estimators_[1].random_state is not None
    assert not hasattr(members[0], "tree_")
    alone = clone(members[0]).fit(X, Y)
    np.testing.assert_array_equal(ensemble.estimators_[0].predict_topk(X)[0], alone.predict_topk(X)[0])


@pytest.mark.parametrize("voting", VOTINGS)
def test_threads_change_nothing(problem, voting):
    X, Y = problem
    one = XMREnsembleClassifier(tree_classifier(), voting=voting, random_state=0).fit(X, Y)
    two = XMREnsembleClassifier(tree_classifier(), voting=voting, n_jobs=2, random_state=0).fit(X, Y)
    for a, b in zip(one.predict_topk(X), two.predict_topk(X), strict=True):
        np.testing.assert_array_equal(a, b)


def test_threads_leave_the_limits_of_the_process():
    n_threads = max(1, cpu_count() // 2)
    both_are_limited = Barrier(2)

    def inside():
        both_are_limited.wait()
        return {library["num_threads"] for library in threadpool_info()}

    with threadpool_limits(n_threads + 1):
        before = threadpool_info()
        for _ in range(20):
            ensemble = XMREnsembleClassifier(n_jobs=2)
            found = ensemble._in_parallel([inside, inside], hints={"require": "sharedmem"})
            assert found == [{n_threads}] * 2
            assert threadpool_info() == before


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_processes_where_joblib_is_told_so(problem, backend):
    class LocatedClassifier(XRLinearClassifier):  # here it is sent by value: processes cannot import tests
        def fit(self, X, y):
            self.fitted_in_ = os.getpid()
            return super().fit(X, y)

        def predict_topk(self, X, k=5):
            self.asked_in_ = os.getpid()
            return super().predict_topk(X, k)

    X, Y = problem
    alone = XMREnsembleClassifier(tree_classifier(), n_estimators=2, random_state=0).fit(X, Y)
    located = LocatedClassifier(indexer=HierarchicalKMeans(max_leaf_size=4), beam_width=3)
    with parallel_config(backend=backend, n_jobs=2):
        ensemble = XMREnsembleClassifier(located, n_estimators=2, random_state=0).fit(X, Y)
        labels, votes = ensemble.predict_topk(X)
    in_own_process = {member.fitted_in_ == os.getpid() for member in ensemble.estimators_}
    assert in_own_process == {backend == "threading"}
    assert {member.asked_in_ for member in ensemble.estimators_} == {os.getpid()}
    np.testing.assert_array_equal(labels, alone.predict_topk(X)[0])
    np.testing.assert_array_equal(votes, alone.predict_topk(X)[1])


def test_containers(problem):
    X, Y = problem
    sparse = XMREnsembleClassifier(tree_classifier(), random_state=0).fit(X, Y)
    dense = XMREnsembleClassifier(tree_classifier(), random_state=0).fit(X.toarray(), Y.toarray())
    votes = sparse.decision_function(X)
    assert sp.issparse(votes) and votes.format == "csr"
    np.testing.assert_allclose(votes.toarray() - np.float32(0.5), dense.decision_function(X.toarray()))
    predicted = sparse.predict(X)
    assert sp.issparse(predicted)
    np.testing.assert_array_equal(predicted.toarray(), dense.predict(X.toarray()))
    np.testing.assert_array_equal(predicted.toarray(), votes.toarray() > 0.5)
    assert sparse.score(X, Y) == pytest.approx(precision_at_k(Y, sparse.predict_topk(X, k=1), k=1))


def test_one_dimensional_classes():
    X, Y = random_problem(60, 30, 4, random_state=1)
    y = np.array(["a", "b", "c", "d"])[np.asarray(Y.argmax(axis=1)).ravel()]
    ensemble = XMREnsembleClassifier(random_state=0).fit(X, y)
    assert ensemble.classes_.tolist() == ["a", "b", "c", "d"]
    assert ensemble.score(X, y) == np.mean(ensemble.predict(X) == y)
    assert ensemble.decision_function(X).shape == (60, 4)


def test_grid_search_and_pipeline(problem):
    X, Y = problem
    pipeline = make_pipeline(Normalizer(), XMREnsembleClassifier(tree_classifier(), random_state=0))
    search = GridSearchCV(
        pipeline,
        {
            "xmrensembleclassifier__n_estimators": [1, 2],
            "xmrensembleclassifier__estimator__indexer__max_leaf_size": [4, 8],
        },
        scoring=make_topk_scorer(precision_at_k, k=3),
        cv=2,
    ).fit(X, Y)
    assert len(set(search.cv_results_["mean_test_score"])) > 1


class Texts(ClassifierMixin, BaseEstimator):
    """A ranker of raw texts: their number of letters is the label."""

    def fit(self, X, y):
        self.classes_ = np.arange(y.shape[1])
        return self

    def predict_topk(self, X, k=5):
        labels = np.full((len(X), k), -1, dtype=np.int32)
        labels[:, 0] = [len(text) for text in X]
        return labels, np.where(labels >= 0, 1.0, -np.inf)


@pytest.mark.parametrize("form", [list, iter])
def test_any_ranker_of_any_input(form):
    ensemble = XMREnsembleClassifier([Texts(), Texts()]).fit(form(["a", "bb"]), np.eye(3, dtype=int)[1:])
    labels, votes = ensemble.predict_topk(form(["bb", "a"]), k=2)
    assert labels.tolist() == [[2, -1], [1, -1]]
    assert votes[:, 0].tolist() == [1, 1]
    assert not hasattr(ensemble, "n_features_in_")


def test_pickle(problem):
    X, Y = problem
    ensemble = XMREnsembleClassifier(tree_classifier(), random_state=0).fit(X, Y)
    copy = pickle.loads(pickle.dumps(ensemble))
    np.testing.assert_array_equal(copy.predict_topk(X)[0], ensemble.predict_topk(X)[0])


def test_failed_fit_changes_nothing(problem):
    X, Y = problem
    ensemble = XMREnsembleClassifier(tree_classifier(), random_state=0).fit(X, Y)
    before = vars(ensemble).copy()
    with pytest.raises(ValueError, match="rows"):
        ensemble.fit(X[:, :20], Y[:50])
    assert all(vars(ensemble)[name] is value for name, value in before.items())


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"estimator": []}, ValueError, "at least one classifier, got an empty sequence"),
        ({"estimator": [Normalizer()]}, TypeError, r"fit and predict_topk, got Normalizer\(\)"),
        ({"estimator": Normalizer()}, ValueError, "'estimator' parameter"),
        ({"n_estimators": 0}, ValueError, "n_estimators"),
        ({"voting": "loudest"}, ValueError, "voting"),
        ({"n_candidates": 0}, ValueError, "n_candidates"),
    ],
)
def test_bad_parameters(problem, parameters, error, message):
    with pytest.raises(error, match=message):
        XMREnsembleClassifier(**parameters).fit(*problem)


@pytest.mark.parametrize("parameters, error, message", [
    ({"voting": "ranks"}, ValueError, "voting must be one of .*, got 'ranks'"),
    ({"n_candidates": 0}, ValueError, "n_candidates must be at least 1, got 0"),
    ({"n_candidates": None}, TypeError, "n_candidates must be an integer, got None"),
], ids=str)  # fmt: skip
def test_bad_parameters_set_after_fit(problem, parameters, error, message):
    X, Y = problem
    ensemble = XMREnsembleClassifier(tree_classifier(), n_estimators=2).fit(X, Y).set_params(**parameters)
    with pytest.raises(error, match=message):
        ensemble.predict_topk(X)


def test_bad_k(problem):
    X, Y = problem
    ensemble = XMREnsembleClassifier(tree_classifier(), random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match="k must be"):
        ensemble.predict_topk(X, k=0)
    with pytest.raises(ValueError, match="y must have 24 columns"):
        ensemble.score(X, Y[:, :5])


def test_members_must_know_the_classes(problem):
    X, Y = problem
    classes = np.array(list("abc"))[Y.indices[Y.indptr[:-1]] % 3]
    fewer = XRLinearClassifier(random_state=0).fit(X[classes != "a"], classes[classes != "a"])
    whole = XRLinearClassifier(random_state=0).fit(X, classes)
    message = r"classes of y, which are \['a', 'b', 'c'\]; estimator 1 knows \['b', 'c'\]"
    with pytest.raises(ValueError, match=message):
        XMREnsembleClassifier([FrozenEstimator(whole), FrozenEstimator(fewer)]).fit(X, classes)
    wide = XRLinearClassifier(random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match=r"estimator 0 knows \[0, 1, 2"):
        XMREnsembleClassifier([FrozenEstimator(wide)]).fit(X, Y[:, :3])
    ensemble = XMREnsembleClassifier([FrozenEstimator(whole)]).fit(X, classes)
    assert ensemble.score(X, classes) == whole.score(X, classes)


@pytest.mark.parametrize("score", [-0.5, 1.5, np.nan])
def test_mean_needs_scores_between_0_and_1(score):
    ranking = (np.array([[2, 0]]), np.array([[score, 0.4]]))
    with pytest.raises(ValueError, match=r"voting='mean' needs scores between 0 and 1, .* gave"):
        count_votes([ranking], 3, "mean")
    assert count_votes([ranking], 3, "rank")[0, 2] == 1
