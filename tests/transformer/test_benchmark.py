"""The benchmark of encoders runs, on a toy."""

import gzip
import re
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import LabelBinarizer

from sklearn_xmr._text_base import PRELIMINARY_BRANCHING_FACTOR, PRELIMINARY_MAX_LEAF_SIZE

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="no benchmarks in this checkout")


def write_task(task, folder):
    vectorizer = TfidfVectorizer(dtype=np.float32).fit(task.texts)
    Y = LabelBinarizer(sparse_output=True).fit_transform(task.winners)
    for part, rows in (("train", task.train), ("test", task.test)):
        with gzip.open(folder / f"{part}.txt.gz", "wt", encoding="utf-8") as file:
            file.writelines(text + "\n" for text in task.texts[rows])
        sp.save_npz(folder / f"X_{part}.npz", vectorizer.transform(task.texts[rows]))
        sp.save_npz(folder / f"Y_{part}.npz", Y[rows])


def test_prints_a_table(folder, task, tmp_path, monkeypatch, capsys):
    write_task(task, tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])
    settings = '{"n_epochs": 40, "learning_rate": 3e-3, "batch_size": 16}'
    grid = '{"C": [1e-6, 1], "trees": [2]}'
    arguments = [str(tmp_path), "--encoder", str(folder), "--threads", "1", "--max-length", "16",
                 "--precision", "float32", "--rows", "95", "--ranker", "{}",
                 "--ranker", '{"trees": 2, "C": 2}', "--weights", "0.5",
                 "--runs", "linear", "frozen", "one", "single", "multi", "--single", settings,
                 "--multi", '{"validation_fraction": 0.1}', "--grid", grid]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["transformer", *arguments])
    import_module("benchmarks.transformer").main()
    output = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("one text: ") for line in output) == 1
    lines = [line.split(" | ") for line in output if line.startswith("| ")]
    names = [(line[0].removeprefix("| "), line[1]) for line in lines[2:]]
    features = ["tf-idf"]
    for encoder in ("frozen", "single", "multi"):
        features += [f"{encoder} embeddings", f"tf-idf + 0.5 {encoder}"]
    rankers = ["default", "trees=2, C=2"]
    best = [names.pop(), names.pop()]
    assert names == [
        ("tf-idf", "linear defaults"), *((name, ranker) for name in features for ranker in rankers),
    ]  # fmt: skip
    assert [name for name, _ in best] == ["tf-idf + 0.5 multi", "tf-idf"]
    assert all(re.fullmatch(r"best on 10 texts \(\d+ CPU s\): C=1, trees=2", ranker) for _, ranker in best)
    precisions = dict(zip(names, [float(line[2]) for line in lines[2:-2]], strict=True))
    for ranker in rankers:
        assert precisions["tf-idf", ranker] < 50
        assert precisions["tf-idf + 0.5 single", ranker] > 90
    assert sum("encoding included" in line for line in output) == 2


def test_average_of_encoders(folder, task, tmp_path, monkeypatch, capsys):
    write_task(task, tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])
    flat = '{"n_epochs": 2, "batch_size": 16, "max_leaf_size": 99}'
    two_levels = '{"n_epochs": [1, 2], "batch_size": 16, "branching_factor": 4, "max_leaf_size": 3}'
    arguments = [str(tmp_path), "--encoder", str(folder), "--threads", "2", "--max-length", "16",
                 "--precision", "float32", "--weights", "0.5", "--runs", "multi", "--seeds", "2",
                 "--multi", flat, "--multi", two_levels]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["transformer", *arguments])
    import_module("benchmarks.transformer").main()
    output = capsys.readouterr().out.splitlines()
    lines = [line.split(" | ") for line in output if line.startswith("| ")]
    names = [line[0].removeprefix("| ") for line in lines[2:]]
    assert names == [
        name for i in range(1, 5) for name in (f"multi {i} embeddings", f"tf-idf + 0.5 multi {i}")
    ] + ["tf-idf + 0.5 multi, mean of 4"]  # fmt: skip
    assert lines[3][2:5] != lines[5][2:5]  # other seeds
    levels = [re.findall(r"(\d+) nodes", line) for line in output if re.match(r"multi \d: ", line)]
    assert levels == 2 * [["12"]] + 2 * [["4", "12"]]


def test_holdout_needs_no_test_rows(folder, task, tmp_path, monkeypatch, capsys):
    write_task(task, tmp_path)
    for path in tmp_path.glob("*test*"):
        path.unlink()
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])
    arguments = [str(tmp_path), "--encoder", str(folder), "--max-length", "16", "--precision", "float32",
                 "--weights", "0.5", "--runs", "linear", "frozen", "--holdout"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["transformer", *arguments])
    main = import_module("benchmarks.transformer").main
    main()
    assert "| tf-idf + 0.5 frozen | default |" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["transformer", *arguments, "--label-names"])
    with pytest.raises(SystemExit):
        main()
    assert "--label-names does not go with --holdout" in capsys.readouterr().err


def test_label_names_become_training_texts(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])
    fit_vectorizer = import_module("benchmarks.data").fit_vectorizer
    add_label_names = import_module("benchmarks.transformer").add_label_names
    texts = ["red house", "blue house", "red boat"]
    vectorizer, X = fit_vectorizer(texts)
    Y = sp.csr_array(np.array([[1, 0], [0, 1], [1, 0]]))
    data = {"texts_train": texts, "X_train": X, "Y_train": Y}
    add_label_names(data, ["red things", "blue things"])
    assert data["texts_train"] == [*texts, "red things", "blue things"]
    np.testing.assert_array_equal(
        data["X_train"].toarray()[3:], vectorizer.transform(["red", "blue"]).toarray()
    )
    np.testing.assert_array_equal(data["Y_train"].toarray()[3:], np.eye(2))
    with pytest.raises(ValueError, match="X_train is not the tf-idf of the training texts"):
        add_label_names({**data, "texts_train": texts, "X_train": 2 * X}, ["red", "blue"])


def test_branching_factor_shapes_the_preliminary_tree(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])
    benchmark = import_module("benchmarks.transformer")
    made = []

    class Recorded:
        history_, fit_seconds_ = (), {"fine_tuning": 1.0}

        def __init__(self, **parameters):
            made.append(parameters)

        def fit(self, texts, Y):
            return self

    monkeypatch.setattr(benchmark, "XRTransformerClassifier", Recorded)
    data = dict.fromkeys(("texts_train", "X_train", "X_test", "Y_train"))
    benchmark.fit_encoder(data, branching_factor=4, n_epochs=2)
    benchmark.fit_encoder(data)
    trees = [parameters.pop("preliminary_indexer") for parameters in made]
    assert [tree.branching_factor for tree in trees] == [4, PRELIMINARY_BRANCHING_FACTOR]
    assert {tree.max_leaf_size for tree in trees} == {PRELIMINARY_MAX_LEAF_SIZE}
    assert made[0]["n_epochs"] == 2 and "branching_factor" not in made[0]
