"""Models in threads, in worker processes, after a fork and under Ctrl-C."""

import os
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest

from sklearn_xmr import HierarchicalKMeans, XRLinearClassifier
from sklearn_xmr.utils._openmp_helpers import openmp_enabled
from sklearn_xmr.utils._threads import effective_n_threads


@pytest.fixture(scope="module")
def model(problem):
    X, Y = problem
    return XRLinearClassifier(indexer=HierarchicalKMeans(4, 5), random_state=0).fit(X, Y), X


def assert_same_answers(a, b):
    for ours, theirs in zip(a, b, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_several_threads_share_a_model(model):
    fitted, X = model
    wanted = fitted.predict_topk(X, k=7)
    with ThreadPoolExecutor(8) as pool:
        for answer in pool.map(lambda _: fitted.predict_topk(X, k=7), range(40)):
            assert_same_answers(answer, wanted)


def test_several_threads_fit_and_predict_at_once(problem, model):
    """Fits and predictions of several models, at the same time, are those of one after the other."""
    X, Y = problem
    widths = [1, 2, 4, 8] * 3
    wanted = {width: model[0].predict_topk(X, k=7, beam_width=width) for width in widths}

    def work(width):
        fitted = XRLinearClassifier(indexer=HierarchicalKMeans(4, 5), beam_width=width, random_state=0).fit(
            X, Y
        )
        return fitted.predict_topk(X, k=7), model[0].predict_topk(X, k=7, beam_width=width)

    with ThreadPoolExecutor(4) as pool:
        for width, (own, shared) in zip(widths, pool.map(work, widths), strict=True):
            assert_same_answers(own, wanted[width])
            assert_same_answers(shared, wanted[width])


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="needs free-threaded Python")
def test_the_kernels_leave_the_lock_off():
    code = (
        "import sys, numpy, scipy.sparse, sklearn.utils\n"
        "before = sys._is_gil_enabled()\n"
        "from sklearn_xmr import XRLinearClassifier, HierarchicalKMeans\n"
        "print(sys._is_gil_enabled() == before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "True\n"


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
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(arguments, check=True, capture_output=True, text=True, env=environment)
    assert done.stdout == "0 True\n"


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


def check_interrupt(setup, endless, afterwards):
    """Ctrl-C ends `endless`, which would compute for minutes; `afterwards` runs in the same process."""
    code = (
        "import signal, threading, time, numpy as np, scipy.sparse as sp\n"
        "from sklearn_xmr import HierarchicalKMeans, LabelTree, XRLinearClassifier\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it\n"
        "rng = np.random.default_rng(0)\n"
        "sent = []\n"
        "def interrupt():\n"
        "    time.sleep(1.0)\n"
        "    sent.append(time.process_time())\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        f"{setup}\n"
        "threading.Thread(target=interrupt).start()\n"
        "try:\n"
        f"    {endless}\n"
        "except KeyboardInterrupt:\n"
        "    assert time.process_time() - sent[0] < 60 and not hasattr(model, 'tree_')\n"
        f"    {afterwards}\n"
        "else:\n"
        "    raise AssertionError('fit was not interrupted')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


def test_interrupt_during_a_long_fit():
    check_interrupt(
        "X = rng.random((20000, 100), dtype=np.float32)\n"
        "Y = sp.csr_array(rng.random((20000, 400)) < 0.3)\n"
        "model = XRLinearClassifier(indexer=LabelTree.flat(400), tol=1e-9, max_iter=100000)",
        "model.fit(X, Y)",
        "small = XRLinearClassifier(random_state=0).fit(X[:200], Y[:200, :5]); "
        "assert small.predict_topk(X[:3], k=1)[0].min() >= 0",
    )


def test_interrupt_while_labels_are_clustered():
    check_interrupt(
        "Z = rng.random((50000, 100), dtype=np.float32)\n"
        "model = HierarchicalKMeans(max_leaf_size=20, tol=0, max_iter=10**6, n_init=1000)",
        "model.fit(Z)",
        "assert HierarchicalKMeans(max_leaf_size=20).fit(Z[:100]).tree_.n_nodes == (1, 8, 100)",
    )


def test_an_interrupted_fit_leaves_those_of_other_threads_alone():
    """Ctrl-C ends the fit of the main thread; another thread fits on, and its models are whole."""
    code = (
        "import signal, threading, numpy as np, scipy.sparse as sp\n"
        "from sklearn_xmr import LabelTree, XRLinearClassifier\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it\n"
        "rng = np.random.default_rng(0)\n"
        "X = rng.random((20000, 100), dtype=np.float32)\n"
        "Y = sp.csr_array(rng.random((20000, 400)) < 0.3)\n"
        "endless = XRLinearClassifier(indexer=LabelTree.flat(400), tol=1e-9, max_iter=100000)\n"
        "def small_fit():\n"
        "    fitted = XRLinearClassifier(indexer=LabelTree.flat(20)).fit(X[:200], Y[:200, :20])\n"
        "    return fitted.predict_topk(X[:50], k=5)[1]\n"
        "wanted, done, outcomes = small_fit(), threading.Event(), []\n"
        "def fit_again_and_again():\n"
        "    while not done.is_set():\n"
        "        outcomes.append(np.array_equal(small_fit(), wanted))\n"
        "        if len(outcomes) == 5:\n"
        "            signal.raise_signal(signal.SIGINT)\n"
        "other = threading.Thread(target=fit_again_and_again)\n"
        "other.start()\n"
        "try:\n"
        "    endless.fit(X, Y)\n"
        "except KeyboardInterrupt:\n"
        "    done.set()\n"
        "other.join()\n"
        "assert done.is_set() and len(outcomes) >= 5 and all(outcomes), outcomes\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
