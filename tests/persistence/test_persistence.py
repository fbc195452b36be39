"""Models in files: copies, memory maps, skops, formats of earlier versions, damage."""

import copy
import json
import pickle
import re
import struct
import subprocess
import sys
import zlib
from importlib import import_module
from pathlib import Path

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from _data import random_problem
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from sklearn_xmr import (
    PIFA,
    PII,
    CalibratedXMRClassifier,
    GraphSpectralEmbedding,
    HierarchicalKMeans,
    LabelSetClassifier,
    LabelTree,
    XMREnsembleClassifier,
    XRLinearClassifier,
    XRTransformerClassifier,
)
from sklearn_xmr._base import FORMAT_VERSION

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def model():
    X, Y = random_problem(300, 60, 40, random_state=1)
    return XRLinearClassifier(indexer=HierarchicalKMeans(4, 5), random_state=0).fit(X, Y), X


def assert_same_answers(a, b, X):
    for ours, theirs in zip(a.predict_topk(X, k=7), b.predict_topk(X, k=7), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def arrays_of(fitted):
    """Every array that prediction reads, by name."""
    for t, level in enumerate(fitted.chunked_weights_):
        for name, value in vars(level).items():
            if isinstance(value, np.ndarray):
                yield f"{name} of level {t}", value
    for t, ptr in enumerate(fitted.tree_.child_ptr):
        yield f"tree pointer {t}", ptr
    yield "slot_labels", fitted.tree_.slot_labels


# ---------------------------------------------------------------------- copies


@pytest.mark.parametrize(
    "copy_of",
    [copy.deepcopy, copy.copy]
    + [lambda m, p=p: pickle.loads(pickle.dumps(m, p)) for p in range(2, pickle.HIGHEST_PROTOCOL + 1)],
)
def test_copies_answer_alike(model, copy_of):
    fitted, X = model
    twin = copy_of(fitted)
    assert_same_answers(twin, fitted, X)
    assert twin.tree_ == fitted.tree_
    assert str(twin.get_params()) == str(fitted.get_params())


def test_clone_is_not_fitted_and_trains_the_same_model(model):
    fitted, X = model
    _, Y = random_problem(300, 60, 40, random_state=1)
    twin = clone(fitted)
    assert not hasattr(twin, "tree_")
    assert_same_answers(twin.fit(X, Y), fitted, X)


def test_a_deep_copy_is_independent(model):
    fitted, X = model
    twin = copy.deepcopy(fitted)
    wanted = fitted.predict_topk(X)[1]
    twin.chunked_weights_[-1].scales[:] = 0
    np.testing.assert_array_equal(fitted.predict_topk(X)[1], wanted)
    assert not np.array_equal(twin.predict_topk(X)[1], wanted)  # and predicts from its own arrays


def test_unfitted_estimators_travel_too():
    twin = pickle.loads(pickle.dumps(XRLinearClassifier(C=3.0)))
    assert twin.C == 3.0 and not hasattr(twin, "tree_")


# ---------------------------------------------------------------------- joblib and memory maps


def test_memory_map(model, tmp_path):
    fitted, X = model
    joblib.dump(fitted, tmp_path / "model.joblib")
    mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    assert_same_answers(mapped, fitted, X)
    for name, array in arrays_of(mapped):
        assert isinstance(array, np.memmap) or array.size == 0, name
        assert not array.flags.writeable, name
    assert_same_answers(pickle.loads(pickle.dumps(mapped)), fitted, X)
    joblib.dump(fitted, tmp_path / "small.joblib", compress=3)
    assert_same_answers(joblib.load(tmp_path / "small.joblib"), fitted, X)


def test_prediction_reads_the_file_and_no_copy(model, tmp_path):
    """Weights that change in the file after loading change the answers."""
    fitted, X = model
    path = tmp_path / "model.joblib"
    joblib.dump(fitted, path)
    mapped = joblib.load(path, mmap_mode="r")
    before = mapped.predict_topk(X)[1]
    for level in joblib.load(path, mmap_mode="r+").chunked_weights_:
        level.scales[:] = -level.scales
    assert not np.array_equal(mapped.predict_topk(X)[1], before)


def test_memory_map_of_levels_without_weights(tmp_path):
    X, Y = random_problem(40, 10, 6)
    fitted = XRLinearClassifier(weight_threshold=1e6, random_state=0).fit(X, Y)
    assert fitted.chunked_weights_[0].entries.size == 0
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


# ---------------------------------------------------------------------- skops


def test_skops_needs_to_trust_us_alone(model):
    skops_io = pytest.importorskip("skops.io", exc_type=ImportError)
    fitted, X = model
    stored = skops_io.dumps(fitted)
    untrusted = skops_io.get_untrusted_types(data=stored)
    assert untrusted and all(name.startswith("sklearn_xmr.") for name in untrusted)
    assert_same_answers(skops_io.loads(stored, trusted=untrusted), fitted, X)


def test_parts_travel_by_skops():
    skops_io = pytest.importorskip("skops.io", exc_type=ImportError)
    X, Y = random_problem()
    for part in (PIFA(), PII(), GraphSpectralEmbedding(3), HierarchicalKMeans(2, 5, random_state=0)):
        stored = skops_io.dumps(part.fit(X, Y))
        untrusted = skops_io.get_untrusted_types(data=stored)
        ours = [name for name in untrusted if name.startswith("sklearn_xmr.")]
        assert ours and set(untrusted) - set(ours) <= {"scipy.sparse._csr.csr_array"}
        twin = skops_io.loads(stored, trusted=untrusted)
        for name in ("embedding_", "tree_"):
            if hasattr(part, name):
                assert str(getattr(twin, name)) == str(getattr(part, name))


DECISIONS = [
    CalibratedXMRClassifier(XRLinearClassifier(random_state=0), cv=2),
    CalibratedXMRClassifier(XRLinearClassifier(random_state=0), cv=2, scope="levels", method="sigmoid"),
    LabelSetClassifier(XRLinearClassifier(random_state=0), cv=2),
]


@pytest.mark.parametrize("estimator", DECISIONS, ids=repr)
def test_what_is_around_a_classifier_travels(estimator, tmp_path):
    X, Y = random_problem(300, 60, 40, random_state=1)
    fitted = clone(estimator).fit(X, Y)
    joblib.dump(fitted, tmp_path / "model.joblib")
    mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    assert isinstance(mapped.estimator_.chunked_weights_[0].entries, np.memmap)
    twins = [mapped, copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))]
    if skops_io := _skops():
        stored = skops_io.dumps(fitted)
        untrusted = skops_io.get_untrusted_types(data=stored)
        assert all(name.startswith("sklearn_xmr.") for name in untrusted)
        twins.append(skops_io.loads(stored, trusted=untrusted))
    for twin in twins:
        assert_same_answers(twin, fitted, X)
        assert (twin.predict(X) - fitted.predict(X)).nnz == 0


def _skops():
    try:
        import skops.io
    except ImportError:
        return None
    return skops.io


# ---------------------------------------------------------------------- formats


@pytest.mark.parametrize("mmap_mode", [None, "r"])
@pytest.mark.parametrize("number", range(1, FORMAT_VERSION + 1))
def test_stored_models_are_read(number, mmap_mode):
    """The files stay as the version of their time wrote them, see make_model.py."""
    loaded = joblib.load(HERE / f"format_{number}.joblib", mmap_mode=mmap_mode)
    answers = np.load(HERE / f"format_{number}_answers.npz")
    labels, scores = loaded.predict_topk(answers["X"], k=4)
    np.testing.assert_array_equal(labels, answers["labels"])
    np.testing.assert_allclose(scores, answers["scores"], rtol=1e-6)
    np.testing.assert_allclose(loaded.decision_function(answers["X"]), answers["decision"], atol=1e-6)
    assert loaded.tree_.n_nodes == (1, 2, 4, 9)
    loaded.fit(answers["X"], np.eye(30, dtype=int))  # every parameter of today is there


def test_newer_format_is_refused(model):
    state = model[0].__getstate__()
    assert state["_format_version"] == FORMAT_VERSION
    newer = {**state, "_format_version": FORMAT_VERSION + 1, "_library_version": "99.1"}
    message = (
        f"format {FORMAT_VERSION + 1}, written by sklearn-xmr 99.1; .* reads up to format {FORMAT_VERSION}"
    )
    with pytest.raises(ValueError, match=message):
        XRLinearClassifier().__setstate__(newer)


def test_parameters_that_came_later_have_their_defaults(model):
    fitted, X = model
    state = fitted.__getstate__()
    del state["threshold"], state["verbose"]
    twin = XRLinearClassifier.__new__(XRLinearClassifier)  # as pickle makes it
    twin.__setstate__(state)
    assert twin.threshold == 0.5 and twin.verbose == 0
    assert_same_answers(twin, fitted, X)


@pytest.mark.parametrize(
    ("wrapper", "default"),
    [(XMREnsembleClassifier, 20), (CalibratedXMRClassifier, 20), (LabelSetClassifier, 50)],
)
def test_wrappers_have_such_defaults_too(wrapper, default):
    old = wrapper(XRLinearClassifier(), n_candidates=7)
    del old.n_candidates
    assert pickle.loads(pickle.dumps(old)).n_candidates == default


def test_text_classifiers_have_such_defaults_too():
    old = XRTransformerClassifier("folder", batch_size=7)
    del old.batch_size
    assert pickle.loads(pickle.dumps(old)).batch_size == XRTransformerClassifier("folder").batch_size


# ---------------------------------------------------------------------- damage


#: What joblib, pickle and zlib raise, depending on where the file ends.
REFUSALS = (
    EOFError, OSError, ValueError, KeyError, IndexError, pickle.UnpicklingError, struct.error, zlib.error,
)  # fmt: skip


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("mmap_mode", [None, "r"])
@pytest.mark.parametrize("compress", [0, 3])
@pytest.mark.filterwarnings("ignore:.*mmap_mode:UserWarning")
def test_truncated_files_are_refused(model, tmp_path, kept, mmap_mode, compress):
    path = tmp_path / "model.joblib"
    joblib.dump(model[0], path, compress=compress)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(REFUSALS):
        joblib.load(path, mmap_mode=mmap_mode)


def test_compressed_files_have_a_checksum(model, tmp_path):
    path = tmp_path / "model.joblib"
    joblib.dump(model[0], path, compress=3)
    content = path.read_bytes()
    for position in np.linspace(0, len(content) - 1, 40).astype(int):
        path.write_bytes(content[:position] + bytes([content[position] ^ 16]) + content[position + 1 :])
        with pytest.raises(REFUSALS):
            joblib.load(path)


def damaged(change):
    """A change of one array of the last level, as a function of a model's state."""

    def damage(state):
        level = state["chunked_weights_"][-1]
        for name, value in change(level).items():
            setattr(level, name, value)

    return damage


def out_of_range(name):
    return damaged(lambda level: {name: getattr(level, name) * 2})


def falling(name):
    def change(level):
        ptr = getattr(level, name).copy()
        ptr[1] = ptr[-1] + 1
        return {name: ptr}

    return damaged(change)


DAMAGES = {
    **{f"{name} out of range": (out_of_range(name), name) for name in ("entry_ptr", "word_ptr")},
    **{f"{name} falls": (falling(name), name) for name in ("child_ptr", "entry_ptr")},
    "entries cut": (damaged(lambda level: {"entries": level.entries[:-1]}), "entry_ptr"),
    "entries missing": (lambda state: delattr(state["chunked_weights_"][-1], "entries"), "entries missing"),
    "unknown array": (damaged(lambda level: {"row_ptr": level.words}), "row_ptr missing or unknown"),
    "intercepts cut": (damaged(lambda level: {"intercepts": level.intercepts[:-1]}), "child_ptr"),
    "scales cut": (damaged(lambda level: {"scales": level.scales[:0]}), "scales"),
    "float64 values": (damaged(lambda level: {"value_dtype": "float64"}), "value_dtype"),
    "signed entries": (damaged(lambda level: {"entries": level.entries.astype(np.int8)}), "entries"),
    "words too wide": (damaged(lambda level: {"word_shift": level.word_shift + 1}), "word_ptr .* features"),
    "no such width": (damaged(lambda level: {"word_shift": level.word_shift * 0 + 4}), "from 5 to 16"),
    "int64 words": (damaged(lambda level: {"words": level.words.astype(np.int64)}), "words"),
    "a level is missing": (lambda state: state["chunked_weights_"].pop(), "do not belong together"),
    "levels change places": (lambda state: state["chunked_weights_"].reverse(), "do not belong together"),
    "classes are missing": (
        lambda state: state.update(classes_=state["classes_"][:-1]),
        "do not belong together",
    ),
    "other features": (lambda state: state.update(n_features_in_=61), "do not belong together"),
    "another tree": (lambda state: state.update(tree_=LabelTree.flat(40)), "do not belong together"),
}


@pytest.fixture(scope="module")
def listed():
    """A model of many rare features: its chunks list them, where those of `model` have bitmaps."""
    X, Y = random_problem(300, 100_000, 40, density=0.0001, random_state=1)
    fitted = XRLinearClassifier(indexer=HierarchicalKMeans(4, 5), random_state=0).fit(X, Y)
    assert fitted.chunked_weights_[-1].word_shift.min() > 5
    return fitted


def load_damaged(fitted, damage):
    state = copy.deepcopy(fitted).__getstate__()
    damage(state)
    # levels are checked when they are unpickled, the model when its parts are there
    XRLinearClassifier().__setstate__(pickle.loads(pickle.dumps(state)))


@pytest.mark.parametrize("damage, message", DAMAGES.values(), ids=DAMAGES)
def test_damaged_models_are_refused(listed, damage, message):
    load_damaged(listed, lambda state: None)
    with pytest.raises(ValueError, match=f"damaged.*{message}"):
        load_damaged(listed, damage)


@pytest.mark.parametrize(
    "damage",
    [
        out_of_range("word_ptr"),
        damaged(lambda level: {"words": level.words[:-1]}),
        damaged(lambda level: {"n_features": level.n_features + 1000}),
    ],
)
def test_damaged_bitmaps_are_refused(model, damage):
    with pytest.raises(ValueError, match="damaged: word_ptr"):
        load_damaged(model[0], damage)


def test_damaged_trees_are_refused():
    tree = LabelTree([[0, 2], [0, 2, 5]], [4, 0, 1, 2, 3])
    for name, value in {
        "child_ptr": (tree.child_ptr[0], tree.child_ptr[1][:-1]),
        "slot_labels": np.array([4, 0, 1, 2, 9], dtype=np.int32),
        "n_labels": 6,
    }.items():
        with pytest.raises(ValueError, match=r"child_ptr|slot_labels"):
            LabelTree.__new__(LabelTree).__setstate__({**vars(tree), name: value})


def test_frozen_indexers_travel():
    indexer = FrozenEstimator(HierarchicalKMeans(2, 5, random_state=0).fit(np.eye(40)))
    twin = pickle.loads(pickle.dumps(XRLinearClassifier(indexer=indexer)))
    assert twin.indexer.tree_ == indexer.tree_


# ---------------------------------------------------------------------- benchmark


def test_serving_benchmark(tmp_path, monkeypatch):
    root = HERE.parents[1]
    if not (root / "benchmarks").is_dir():
        pytest.skip("no benchmarks in this checkout")
    monkeypatch.setattr(sys, "path", [*sys.path, str(root)])
    serving = import_module("benchmarks.serving")
    serving.main(
        ["synthetic", "--labels", "300", "--queries", "50", "--workers", "2", "--out", str(tmp_path)]
    )
    run = json.loads((tmp_path / "serving_synthetic.json").read_text())
    assert [result["load"] for result in run["results"]] == list(serving.LOADS)
    for result in run["results"]:
        assert len(result["workers"]) == 2
        assert all(worker["load_ms"] > 0 for worker in result["workers"])
    page = (tmp_path / "serving_synthetic.rst").read_text()
    assert re.search(r"Machine: .*processor", page) and ".. csv-table::" in page
