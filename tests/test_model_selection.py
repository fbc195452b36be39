"""Composition with scikit-learn: pipelines, searches, cross-validation, persistence between processes."""

import copy
import os
import pickle
import subprocess
import sys
import threading

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from _data import random_problem
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_validate,
    train_test_split,
)
from sklearn.pipeline import FeatureUnion, make_pipeline

from sklearn_xmr import HierarchicalKMeans, XRLinearClassifier
from sklearn_xmr._base import FORMAT_VERSION
from sklearn_xmr.metrics import make_topk_scorer, precision_at_k
from sklearn_xmr.utils._openmp_helpers import openmp_enabled
from sklearn_xmr.utils._threads import effective_n_threads


@pytest.fixture(scope="module")
def texts():
    """Texts whose words give their labels away, and a sparse Y."""
    rng = np.random.default_rng(0)
    vocabulary = [f"word{i}" for i in range(60)]
    rows = [sorted(rng.choice(30, size=2, replace=False)) for _ in range(240)]
    corpus = [
        " ".join([vocabulary[a], vocabulary[b], vocabulary[30 + a], *rng.choice(vocabulary, size=3)])
        for a, b in rows
    ]
    Y = sp.lil_array((240, 30))
    for i, labels in enumerate(rows):
        Y[i, labels] = 1
    return corpus, sp.csr_array(Y)


@pytest.mark.parametrize("container", [sp.csr_array, sp.csr_matrix])
def test_grid_search_over_a_text_pipeline(texts, container):
    corpus, Y = texts
    Y = container(Y)
    pipeline = make_pipeline(
        TfidfVectorizer(), XRLinearClassifier(indexer=HierarchicalKMeans(), random_state=0)
    )
    grid = {
        "xrlinearclassifier__indexer__max_leaf_size": [5, 15],
        "xrlinearclassifier__C": [0.001, 1.0],
    }
    search = GridSearchCV(pipeline, grid, scoring=make_topk_scorer(precision_at_k, k=1), n_jobs=2, cv=3)
    search.fit(corpus, Y)
    assert search.best_params_["xrlinearclassifier__C"] == 1.0
    assert search.best_score_ > 0.8
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    best = search.best_estimator_
    labels, _ = best[-1].predict_topk(best[:-1].transform(corpus), k=2)
    assert precision_at_k(Y, (labels, np.ones(labels.shape)), k=1) > 0.9
    assert search.predict(corpus).shape == Y.shape


def test_searching_prediction_parameters_acts(texts):
    corpus, Y = texts
    X = TfidfVectorizer().fit_transform(corpus)
    model = XRLinearClassifier(indexer=HierarchicalKMeans(8, 4), random_state=0)
    search = RandomizedSearchCV(
        model, {"beam_width": [1, 8], "score_transform": ["l3_hinge", "sigmoid"]}, n_iter=4, random_state=0,
        scoring=make_topk_scorer(precision_at_k, k=2), cv=2,
    ).fit(X, Y)  # fmt: skip
    by_width = dict(
        zip(map(str, search.cv_results_["params"]), search.cv_results_["mean_test_score"], strict=True)
    )
    assert len(set(by_width.values())) > 1


def test_cross_validation_with_sparse_y(texts):
    corpus, Y = texts
    X = TfidfVectorizer().fit_transform(corpus)
    model = XRLinearClassifier(random_state=0)
    X_train, X_test, Y_train, Y_test = train_test_split(X, Y, random_state=0)
    assert model.fit(X_train, Y_train).score(X_test, Y_test) > 0.7
    predicted = cross_val_predict(model, X, Y, cv=3)
    assert predicted.shape == Y.shape
    with sklearn.config_context(skip_parameter_validation=True):  # scikit-learn refuses sparse y there
        result = cross_validate(model, X, Y, cv=3)
    assert result["test_score"].min() > 0.7
    dense = cross_validate(model, X, Y.toarray(), cv=3)
    np.testing.assert_allclose(dense["test_score"], result["test_score"])


def test_feature_union_in_front(texts):
    corpus, Y = texts
    union = FeatureUnion(
        [("words", TfidfVectorizer()), ("topics", make_pipeline(TfidfVectorizer(), TruncatedSVD(5)))]
    )
    pipeline = make_pipeline(union, XRLinearClassifier(random_state=0)).fit(corpus, Y)
    assert pipeline.score(corpus, Y) > 0.9


def test_pandas_output_configuration(texts):
    corpus, Y = texts
    X = TfidfVectorizer().fit_transform(corpus)
    wanted = XRLinearClassifier(indexer=HierarchicalKMeans(8, 4), random_state=0).fit(X, Y)
    with sklearn.config_context(transform_output="pandas"):
        model = clone(wanted).fit(X, Y)
    assert model.tree_ == wanted.tree_


# ---------------------------------------------------------------------- persistence


@pytest.fixture(scope="module")
def model():
    X, Y = random_problem(300, 60, 40, random_state=1)
    return XRLinearClassifier(indexer=HierarchicalKMeans(4, 5), random_state=0).fit(X, Y), X


def assert_same_answers(a, b, X):
    for ours, theirs in zip(a.predict_topk(X, k=7), b.predict_topk(X, k=7), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("copy_of", [copy.deepcopy, copy.copy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_answer_alike(model, copy_of):
    fitted, X = model
    twin = copy_of(fitted)
    assert_same_answers(twin, fitted, X)
    assert twin.tree_ == fitted.tree_


def test_memory_map(model, tmp_path):
    fitted, X = model
    joblib.dump(fitted, tmp_path / "model.joblib")
    mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    for level in mapped.chunked_weights_:
        assert isinstance(level.values, np.memmap) and not level.values.flags.writeable
    assert_same_answers(mapped, fitted, X)
    assert_same_answers(pickle.loads(pickle.dumps(mapped)), fitted, X)
    joblib.dump(fitted, tmp_path / "small.joblib", compress=3)
    assert_same_answers(joblib.load(tmp_path / "small.joblib"), fitted, X)


def test_memory_map_of_levels_without_weights(tmp_path):
    X, Y = random_problem(40, 10, 6)
    fitted = XRLinearClassifier(weight_threshold=1e6, random_state=0).fit(X, Y)
    assert fitted.chunked_weights_[0].values.size == 0
    joblib.dump(fitted, tmp_path / "model.joblib")
    assert_same_answers(joblib.load(tmp_path / "model.joblib", mmap_mode="r"), fitted, X)


def test_another_process_reads_the_map(model, tmp_path):
    fitted, X = model
    joblib.dump(fitted, tmp_path / "model.joblib")
    sp.save_npz(tmp_path / "X.npz", sp.csr_matrix(X))
    code = (
        "import joblib, numpy, scipy.sparse as sp, sys\n"
        "model = joblib.load(sys.argv[1] + '/model.joblib', mmap_mode='r')\n"
        "labels, scores = model.predict_topk(sp.load_npz(sys.argv[1] + '/X.npz'), k=7)\n"
        "numpy.savez(sys.argv[1] + '/answer.npz', labels=labels, scores=scores)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    answer = np.load(tmp_path / "answer.npz")
    labels, scores = fitted.predict_topk(X, k=7)
    np.testing.assert_array_equal(answer["labels"], labels)
    np.testing.assert_array_equal(answer["scores"], scores)


def test_newer_format_is_refused(model):
    state = model[0].__getstate__()
    assert state["_format_version"] == FORMAT_VERSION
    with pytest.raises(
        ValueError, match=f"format {FORMAT_VERSION + 1}, .* reads up to format {FORMAT_VERSION}"
    ):
        XRLinearClassifier().__setstate__({**state, "_format_version": FORMAT_VERSION + 1})


def test_unfitted_estimators_travel_too():
    twin = pickle.loads(pickle.dumps(XRLinearClassifier(C=3.0)))
    assert twin.C == 3.0 and not hasattr(twin, "tree_")


# ---------------------------------------------------------------------- threads and processes


def test_several_threads_share_a_model(model):
    fitted, X = model
    wanted = fitted.predict_topk(X, k=7)
    answers = [None] * 8

    def work(i):
        for _ in range(5):
            answers[i] = fitted.predict_topk(X, k=7)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for answer in answers:
        np.testing.assert_array_equal(answer[0], wanted[0])
        np.testing.assert_array_equal(answer[1], wanted[1])


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
@pytest.mark.skipif(not openmp_enabled() or effective_n_threads() < 2, reason="needs two threads")
def test_a_single_row_starts_no_threads(model, tmp_path):
    fitted, X = model
    joblib.dump((fitted, X), tmp_path / "model.joblib")
    code = (
        "import joblib, os, sys\n"
        "model, X = joblib.load(sys.argv[1])\n"
        "def new_threads(rows):\n"
        "    before = len(os.listdir('/proc/self/task'))\n"
        "    model.predict_topk(rows)\n"
        "    return len(os.listdir('/proc/self/task')) - before\n"
        "print(new_threads(X[[0]]), new_threads(X) > 0)\n"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "model.joblib")]
    assert subprocess.run(arguments, check=True, capture_output=True, text=True).stdout == "0 True\n"


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_joblib_workers(model, backend):
    fitted, X = model
    with joblib.parallel_config(backend=backend, n_jobs=2):
        parts = joblib.Parallel()(
            joblib.delayed(fitted.predict_topk)(X[i : i + 100], 7) for i in range(0, 300, 100)
        )
    np.testing.assert_array_equal(
        np.vstack([labels for labels, _ in parts]), fitted.predict_topk(X, k=7)[0]
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_after_fit():
    """A forked child predicts and trains although its parent used the OpenMP pool."""
    code = (
        "import os, sys, numpy as np\n"
        "from sklearn_xmr import XRLinearClassifier\n"
        "rng = np.random.default_rng(0)\n"
        "X, Y = rng.uniform(size=(200, 20)), (rng.uniform(size=(200, 9)) < .3).astype(int)\n"
        "model = XRLinearClassifier(random_state=0).fit(X, Y)\n"
        "wanted = model.predict_topk(X)[1]\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    again = XRLinearClassifier(random_state=0).fit(X, Y).predict_topk(X)[1]\n"
        "    same = np.array_equal(wanted, again) and np.array_equal(wanted, model.predict_topk(X)[1])\n"
        "    os._exit(0 if same else 3)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


def test_interrupt_during_a_long_fit():
    """Ctrl-C ends a fit within seconds of the signal and leaves the process usable."""
    code = (
        "import os, signal, threading, time, numpy as np, scipy.sparse as sp\n"
        "from sklearn_xmr import LabelTree, XRLinearClassifier\n"
        "rng = np.random.default_rng(0)\n"
        "X = sp.random_array((20000, 2000), density=0.05, rng=rng, format='csr', dtype=np.float32)\n"
        "Y = sp.random_array((20000, 400), density=0.3, rng=rng, format='csr')\n"
        "Y.data[:] = 1\n"
        "model = XRLinearClassifier(indexer=LabelTree.flat(400), tol=1e-9, max_iter=100000)\n"
        "sent = []\n"
        "def interrupt():\n"
        "    time.sleep(1.0)\n"
        "    sent.append(time.monotonic())\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Thread(target=interrupt).start()\n"
        "try:\n"
        "    model.fit(X, Y)\n"
        "except KeyboardInterrupt:\n"
        "    assert time.monotonic() - sent[0] < 20 and not hasattr(model, 'tree_')\n"
        "    small = XRLinearClassifier(random_state=0).fit(X[:200], Y[:200, :5])\n"
        "    assert small.predict_topk(X[:3], k=1)[0].min() >= 0\n"
        "else:\n"
        "    raise AssertionError('fit was not interrupted')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
