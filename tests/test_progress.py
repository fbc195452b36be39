"""What a fit tells while it runs: scikit-learn's callbacks, the log; and the HTML representation."""

import logging
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from _data import random_problem
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

import sklearn_xmr
from sklearn_xmr import PIFA, HierarchicalKMeans, LabelTree, XRLinearClassifier
from sklearn_xmr.metrics import precision_at_1_scorer
from sklearn_xmr.utils import _doc_link

try:
    import sklearn.callback
except ImportError:
    HAS_CALLBACKS = False
else:
    HAS_CALLBACKS = True

needs_callbacks = pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn has callbacks since 1.9")


@pytest.fixture(scope="module")
def problem():
    return random_problem(200, 60, 40, random_state=1)


def make_classifier(**params):
    return XRLinearClassifier(indexer=HierarchicalKMeans(4, 5), random_state=0, **params)


# ---------------------------------------------------------------------- callbacks


class Record:
    """Keeps the events of every fit that it is set on."""

    max_propagation_depth = None

    def __init__(self):
        self.events = []

    def setup(self, estimator, context):
        self.events.append(("setup", context.task_name))

    def teardown(self, estimator, context):
        self.events.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context, *, X, y):
        assert X is None or X.shape[0] == y.shape[0]  # searches do not tell
        self.events.append(("begin", context.task_name))

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        self.events.append(("end", context.task_name))
        if fitted_estimator is not None:
            self.events.append(("fitted", type(fitted_estimator).__name__))

    def names(self, kind):
        return [name for event, name in self.events if event == kind]


STEPS = ["embed labels", "index labels", "train rankers"]


@needs_callbacks
@pytest.mark.parametrize("negative_sampling", ["tfn", "man", ["tfn", "tfn", "tfn+man"]])
def test_callbacks_hear_of_every_step(problem, negative_sampling):
    record = Record()
    model = make_classifier(negative_sampling=negative_sampling)
    model.set_callbacks(record).fit(*problem)
    levels = [f"level {t}" for t in range(1, model.tree_.n_levels + 1)]
    assert len(levels) == 3
    assert record.names("begin") == ["fit", *STEPS, *levels]
    assert sorted(record.names("end")) == sorted(["fit", *STEPS, *levels])
    assert record.events[-3:] == [("end", "fit"), ("fitted", "XRLinearClassifier"), ("teardown", "fit")]
    assert record.events.index(("end", levels[-1])) < record.events.index(("end", "train rankers"))


@needs_callbacks
def test_callbacks_hear_of_no_step_that_is_not_taken(problem):
    record = Record()
    XRLinearClassifier(indexer=LabelTree.flat(40)).set_callbacks(record).fit(*problem)
    assert record.names("begin") == ["fit", "train rankers", "level 1"]


@needs_callbacks
def test_callbacks_propagate_from_pipelines_and_searches(problem):
    record = Record()
    search = GridSearchCV(make_pipeline(Normalizer(), make_classifier()), {}, cv=KFold(2))
    with pytest.warns(UserWarning, match="Normalizer does not support"):
        search.set_callbacks(record).fit(*problem)
    assert record.names("begin").count("level 3") == 2 + 1


@needs_callbacks
def test_callbacks_end_with_a_fit_that_fails(problem):
    record = Record()
    model = make_classifier(negative_sampling=["tfn"]).set_callbacks(record)
    with pytest.raises(ValueError, match="negative_sampling"):
        model.fit(*problem)
    assert record.events[-1] == ("teardown", "fit")
    assert not hasattr(model, "tree_") and not hasattr(model, "_callback_fit_ctx")


@needs_callbacks
def test_a_callback_cannot_stop_a_fit_halfway(problem):
    class Stop(Record):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            super().on_fit_task_end(estimator, context, fitted_estimator=fitted_estimator)
            return True

    record = Stop()
    model = make_classifier(negative_sampling="man").set_callbacks(record).fit(*problem)
    assert len(model.chunked_weights_) == 3 and "level 3" in record.names("end")


@needs_callbacks
def test_progress_bars(problem, capsys):
    pytest.importorskip("rich")
    make_classifier().set_callbacks(sklearn.callback.ProgressBar()).fit(*problem)
    shown = capsys.readouterr().out
    assert "XRLinearClassifier - fit" in shown and "train rankers" in shown and "100%" in shown


@needs_callbacks
def test_scores_are_monitored(problem):
    monitor = sklearn.callback.ScoringMonitor(scoring={"precision": precision_at_1_scorer})
    model = make_classifier().set_callbacks(monitor).fit(*problem)
    (entry,) = monitor.get_logs(select="most_recent").data
    assert entry["precision"] == pytest.approx(model.score(*problem))


@needs_callbacks
def test_models_with_callbacks_travel(problem):
    model = make_classifier().set_callbacks(Record()).fit(*problem)
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.predict_topk(problem[0])[0], model.predict_topk(problem[0])[0])


# ---------------------------------------------------------------------- log


@pytest.mark.parametrize("verbose, level", [(0, logging.DEBUG), (1, logging.INFO), (True, logging.INFO)])
def test_every_step_is_logged(problem, caplog, verbose, level):
    with caplog.at_level(logging.DEBUG, logger="sklearn_xmr"):
        make_classifier(verbose=verbose, negative_sampling=["tfn", "tfn", "man"]).fit(*problem)
    assert {record.levelno for record in caplog.records} == {level}
    assert {record.name for record in caplog.records} == {"sklearn_xmr"}
    patterns = [
        r"\[XRLinearClassifier\] embed labels: 40 labels by 60 dimensions, \d+\.\d\d s",
        r"\[XRLinearClassifier\] index labels: LabelTree\(.*\), \d+\.\d\d s",
        r"\[XRLinearClassifier\] levels 1-2: 12 nodes, \d+ rows over all parents, \d+ passes, \d+\.\d\d s",
        r"\[XRLinearClassifier\] level 3: 40 nodes, \d+ rows over all parents, \d+ passes, \d+\.\d\d s",
    ]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == len(patterns)
    for message, pattern in zip(messages, patterns, strict=True):
        assert re.fullmatch(pattern, message)


def fit_in_a_new_process(setup, **params):
    code = (
        f"import logging\n{setup}\n"
        "import numpy as np\n"
        "from sklearn_xmr import XRLinearClassifier\n"
        f"model = XRLinearClassifier(**{params!r})\n"
        "model.fit(np.eye(4), np.eye(4, dtype=int)).fit(np.eye(4), np.eye(4, dtype=int))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_verbose_is_seen_where_logging_is_not_set_up():
    lines = fit_in_a_new_process("", verbose=1)
    assert len(lines) == 2 * 3 and all(line.startswith("[XRLinearClassifier] ") for line in lines)
    assert fit_in_a_new_process("", verbose=0) == []


def test_verbose_follows_the_set_up_of_logging():
    lines = fit_in_a_new_process("logging.basicConfig(format='ours %(message)s')", verbose=1)
    assert len(lines) == 2 * 3 and all(line.startswith("ours [XRLinear") for line in lines)
    assert fit_in_a_new_process("logging.basicConfig(level=logging.INFO)", verbose=0) == []


def test_verbose_writes_to_the_error_stream_of_the_moment():
    code = (
        "import contextlib, io, logging\n"
        "import numpy as np\n"
        "from sklearn_xmr import XRLinearClassifier\n"
        "model, n_lines = XRLinearClassifier(verbose=1), []\n"
        "def lines_of_a_fit():\n"
        "    with contextlib.redirect_stderr(io.StringIO()) as stream:\n"
        "        model.fit(np.eye(4), np.eye(4, dtype=int))\n"
        "    text = stream.getvalue()\n"
        "    stream.close()\n"
        "    return len(text.splitlines())\n"
        "print(lines_of_a_fit(), lines_of_a_fit())\n"
        "logging.basicConfig(level=logging.INFO)  # on the true error stream\n"
        "print(lines_of_a_fit())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "3", "0"]
    assert len(done.stderr.splitlines()) == 3


# ---------------------------------------------------------------------- representation


@pytest.fixture
def published(monkeypatch):
    monkeypatch.setenv("XMR_DOC_URL", "https://docs.example.org/xmr/")


@pytest.mark.parametrize(
    "estimator, name",
    [
        (XRLinearClassifier(), "XRLinearClassifier"),
        (HierarchicalKMeans(), "HierarchicalKMeans"),
        (PIFA(), "PIFA"),
    ],
)
def test_documentation_links(published, estimator, name):
    link = f"https://docs.example.org/xmr/api/generated/sklearn_xmr.{name}.html"
    assert estimator._get_doc_link() == link
    assert link in estimator._repr_html_()
    assert link in make_pipeline(clone(estimator))._repr_html_()


def test_links_need_an_address(monkeypatch):
    monkeypatch.delenv("XMR_DOC_URL", raising=False)
    monkeypatch.setattr(_doc_link, "_published_url", lambda: "")
    assert XRLinearClassifier()._get_doc_link() == ""
    assert "api/generated" not in XRLinearClassifier()._repr_html_()


def test_the_address_is_a_project_url(monkeypatch):
    class Metadata(dict):
        def get_all(self, name, default):
            assert name == "Project-URL"
            return ["Source, https://code.example.org", "Documentation, https://docs.example.org"]

    monkeypatch.setattr(_doc_link, "metadata", lambda name: Metadata())
    assert _doc_link._published_url.__wrapped__() == "https://docs.example.org"


def test_every_estimator_has_links():
    for name in sklearn_xmr.__all__:
        value = getattr(sklearn_xmr, name)
        if isinstance(value, type) and hasattr(value, "get_params"):
            assert issubclass(value, _doc_link.DocLinkMixin), name


def test_showing_a_fitted_model_makes_no_copies(problem, monkeypatch):
    model = make_classifier().fit(*problem)
    monkeypatch.setattr(type(model.chunked_weights_[0]), "to_csc", None)
    assert "chunked_weights_" in model._repr_html_() or not HAS_CALLBACKS  # attributes are shown since 1.9
    assert repr(model.coefs_) == "<3 csc_array of shapes (60, 4), (60, 8), (60, 40)>"
    assert repr(model.chunked_weights_[0]).startswith(
        "ChunkedWeights(n_features=60, n_parents=1, n_children=4"
    )


def test_coefs_are_a_sequence(problem):
    model = make_classifier().fit(*problem)
    assert len(model.coefs_) == 3 and len(model.coefs_[1:]) == 2
    for coef, level in zip(model.coefs_, model.chunked_weights_, strict=True):
        assert isinstance(coef, sp.csc_array) and (coef != level.to_csc()).nnz == 0
    assert (model.coefs_[-1] != list(model.coefs_)[2]).nnz == 0
    with pytest.raises(IndexError):
        model.coefs_[3]
