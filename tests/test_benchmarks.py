"""The benchmarks run, and their ratios and tables are right. Timing decides nothing here."""

import csv
import gzip
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_xmr import HierarchicalKMeans, XRLinearClassifier
from sklearn_xmr.datasets import make_xmc_classification
from sklearn_xmr.metrics import precision_at_k

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="no benchmarks in this checkout")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Append, so that the tests run against the installed package."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])


def records_of(measure, *, ours, theirs, threads=1):
    """Records of one measure; None where a round has no run."""
    runs = [("ours", ours), ("pecos", theirs)]
    return [
        {"threads": threads, "round": number, "library": library, "result": {measure: value}}
        for library, values in runs
        for number, value in enumerate(values)
        if value is not None
    ]


# ---------------------------------------------------------------- summary


def test_ratio_is_the_median_of_ratios_within_rounds():
    summary = import_module("benchmarks.versus.summary")
    records = records_of("fit_seconds", ours=[1.0, 2.0, 4.0], theirs=[10.0, 10.0, 12.0])
    assert summary.comparison(records, 1, "pecos", "fit_seconds") == (5.0, 3.0, 10.0)
    records = records_of("fit_seconds", ours=[1.0, 2.0, 3.0], theirs=[9.0, 2.0, 4.0])
    compared = summary.comparison(records, 1, "pecos", "fit_seconds")
    assert compared == pytest.approx((4 / 3, 1.0, 9.0))  # medians 2 and 4 would give 2
    assert summary.absolute(records, 1, "pecos", "fit_seconds") == (4.0, 2.0, 9.0)


def test_rounds_without_both_do_not_count():
    summary = import_module("benchmarks.versus.summary")
    records = records_of("fit_seconds", ours=[1.0, None, 2.0], theirs=[3.0, 100.0, None])
    assert summary.comparison(records, 1, "pecos", "fit_seconds") == (3.0, 3.0, 3.0)
    assert summary.comparison(records, 2, "pecos", "fit_seconds") is None
    assert summary.comparison(records, 1, "napkinxc", "fit_seconds") is None
    records = records_of("fit_peak_mb", ours=[0.0], theirs=[3.0])
    assert summary.comparison(records, 1, "pecos", "fit_peak_mb") is None


def test_qualities_are_differences():
    summary = import_module("benchmarks.versus.summary")
    records = records_of("P@1", ours=[50.0, 52.0, 51.0], theirs=[49.0, 53.0, 51.0])
    assert summary.comparison(records, 1, "pecos", "P@1") == (0.0, -1.0, 1.0)


@pytest.mark.parametrize(
    "measure, ours, theirs, is_loss",
    [
        ("fit_seconds", 1.0, 0.9, True),
        ("fit_seconds", 1.0, 1.1, False),
        ("P@1", 50.0, 50.2, True),
        ("P@1", 50.0, 50.05, False),  # within 0.1 points
        ("P@1", 50.0, 49.0, False),
        ("load_seconds", 2.0, 1.0, False),  # printed, not compared
    ],
)
def test_losses(measure, ours, theirs, is_loss):
    summary = import_module("benchmarks.versus.summary")
    found = summary.losses(records_of(measure, ours=[ours], theirs=[theirs], threads=2))
    assert [loss[:3] for loss in found] == ([(2, "pecos", measure)] if is_loss else [])


@pytest.mark.parametrize("variant", ["ours_wide", "ours_flat"])
def test_other_settings_of_ours_are_no_losses(variant):
    summary = import_module("benchmarks.versus.summary")
    records = records_of("P@1", ours=[50.0], theirs=[51.0])
    own = [record | {"library": variant} for record in records if record["library"] == "pecos"]
    assert [loss[1] for loss in summary.losses(records + own)] == ["pecos"]


# ---------------------------------------------------------------- report


@pytest.fixture
def made_up_run():
    """Two libraries, two rounds, one and two threads."""
    summary = import_module("benchmarks.versus.summary")
    records = []
    for threads in (1, 2):
        for number in range(2):
            for library, factor in (("ours", 1.0), ("pecos", 2.0 + number)):
                result = dict.fromkeys(summary.COSTS, factor) | dict.fromkeys(
                    summary.QUALITIES, 50 - factor
                )
                result |= dict.fromkeys(summary.FACTS, 0.5) | {"version": "1", "python": "3", "numpy": "2"}
                records.append({"threads": threads, "round": number, "library": library, "result": result})
    names = "name n_train n_test n_features nnz_per_row n_labels labels_per_row"
    data = dict.fromkeys(names.split(), 7) | {"name": "made_up"}
    return {
        "data": data,
        "machine": {"cores": "2"},
        "command": "x",
        "remarks": ["A remark."],
        "records": records,
    }


def test_tables(made_up_run):
    report = import_module("benchmarks.versus.report")
    titles = [title for title, _, _ in report.tables(made_up_run["records"])]
    assert titles == [
        f"{threads} thread(s): {what}"
        for threads in (1, 2)
        for what in ("medians", "we compared with others")
    ]
    medians, compared = (
        {row[0]: row[1:] for row in rows} for _, _, rows in report.tables(made_up_run["records"])[:2]
    )
    assert medians["fit, s"] == ["1.00", "2.50"]
    assert medians["P@1"] == ["49.00", "47.50"]
    assert compared["fit, s"] == ["2.50 (2.00 to 3.00)"]
    assert compared["P@1"] == ["+1.50 (+1.00 to +2.00)"]


def test_files(made_up_run, tmp_path):
    report = import_module("benchmarks.versus.report")
    missing = report.write_results(made_up_run, tmp_path)
    assert json.loads((tmp_path / "versus_made_up.json").read_text()) == made_up_run
    markdown = (tmp_path / "versus_made_up.md").read_text()
    assert "A remark." in markdown
    assert "during 4 of 4" not in markdown and "during 8 of 8 runs" in markdown
    assert "Nowhere in these tables." in markdown
    tables = [block for block in markdown.split("\n\n") if block.startswith("|")]
    assert len(tables) == 4
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    page = (tmp_path / "versus_made_up.rst").read_text()
    assert page.startswith("made_up\n=======\n") and page.count(".. csv-table::") == 4
    assert ("image::" in page) == (missing is None) == (tmp_path / "versus_made_up.png").exists()
    with open(tmp_path / "versus_made_up.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    (line,) = [
        line
        for line in lines
        if (line["threads"], line["library"], line["measure"]) == ("2", "pecos", "fit_seconds")
    ]
    assert [float(line[name]) for name in ("median", "low", "high")] == [2.5, 2, 3]
    assert [float(line[f"compared_{name}"]) for name in ("median", "low", "high")] == [2.5, 2, 3]
    assert all(line["compared_median"] == "" for line in lines if line["library"] == "ours")


@pytest.mark.parametrize(
    "value, shown",
    [
        (None, "-"),
        (0, "0"),
        (123.4, "123"),
        (5150.2, "5150"),
        (12.34, "12.3"),
        (0.01234, "0.0123"),
        (1e-5, "0.0000"),
    ],
)
def test_significant(value, shown):
    assert import_module("benchmarks.versus.report").significant(value) == shown


# ---------------------------------------------------------------- versus, worker


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory):
    """A tiny problem on disk."""
    folder = tmp_path_factory.mktemp("data") / "tiny"
    folder.mkdir()
    X, Y = make_xmc_classification(400, 200, 30, random_state=0)
    for name, matrix in (("X", X), ("Y", Y)):
        sp.save_npz(folder / f"{name}_train.npz", matrix[:300])
        sp.save_npz(folder / f"{name}_test.npz", matrix[300:])
    return folder


def test_versus_with_ours_alone(data_folder, tmp_path):
    command = [
        sys.executable,
        "-m",
        "benchmarks.versus",
        str(data_folder),
        "--threads",
        "1",
        "--repeat",
        "1",
    ]
    command += ["--libraries", "ours,napkinxc", "--python", "napkinxc=/no/such/python"]
    command += ["--single", "20", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "napkinXC is left out: its interpreter does not start" in done.stderr
    run = json.loads((tmp_path / "versus_tiny.json").read_text())
    assert str(data_folder) not in json.dumps(run)  # pages are published
    assert (run["data"]["n_train"], run["data"]["n_test"], run["data"]["n_labels"]) == (300, 100, 30)
    (record,) = run["records"]
    result = record["result"]
    for measure in ("fit_seconds", "batch_seconds", "single_p50_us", "model_disk_mb"):
        assert result[measure] > 0
    assert result["single_p50_us"] <= result["single_p99_us"] and result["n_single"] == 20
    assert 50 < result["P@1"] <= 100
    markdown = (tmp_path / "versus_tiny.md").read_text()
    assert markdown == done.stdout.rstrip("\n") + "\n"
    assert f"| P@1 | {result['P@1']:.2f} |" in markdown


def test_worker_measures_what_a_library_answers(data_folder, tmp_path, monkeypatch):
    """A library that knows some answers: modes, order of steps, and the file of labels."""
    worker = import_module("benchmarks.versus.worker")
    calls = []

    class Clock(worker.Timed):
        seconds = property(
            lambda clock: 2.0 if calls[-1].startswith("slow") else 1.0, lambda clock, value: None
        )

    monkeypatch.setattr(worker, "Timed", Clock)

    class Known(worker.Library):
        modes = ("slow", "fast", "slow again")

        def prepare(self, X, Y, folder):
            calls.append("prepare")
            return X, Y

        def train(self, X, Y):
            calls.append("train")
            self.notes.append("trained")
            return Y.shape[1]

        def save(self, model, path):
            path.write_text(str(model))

        def load(self, path, mode):
            calls.append(mode)
            return mode, int(path.read_text())

        def topk(self, model, queries):
            return np.full((queries.shape[0], worker.K), 7 if model[0] == "fast" else 8)

    model_path, labels_path = tmp_path / "model", tmp_path / "labels.npy"
    fitted = worker.measure_fit(Known(1, {}), data_folder, model_path)
    assert calls == ["prepare", "train"] * 2  # a small fit first
    assert fitted["notes"] == ["trained"] and model_path.read_text() == "30"
    answered = worker.measure_predict(Known(1, {}), data_folder, model_path, 5, labels_path)
    assert answered["batch_mode"] == "fast" and answered["batch_seconds"] == 1.0
    assert list(answered["modes"]) == list(Known.modes)
    labels = np.load(labels_path)
    assert labels.shape == (100, 10) and (labels == 7).all()


def test_worker_passes_refusals_on(data_folder, tmp_path):
    run_sklearn = import_module("benchmarks.versus.run_sklearn")
    worker = import_module("benchmarks.versus.worker")
    library = run_sklearn.OneVsRest(1, {"max_labels": "29"})
    assert "at most 29" in worker.measure_fit(library, data_folder, tmp_path / "model")["skipped"]


def test_one_vs_rest_runner(data_folder, tmp_path):
    """The one peer that is always installed; its labels are scored like ours."""
    run_sklearn = import_module("benchmarks.versus.run_sklearn")
    worker = import_module("benchmarks.versus.worker")
    paths = str(tmp_path / "model"), str(tmp_path / "labels.npy")
    worker.measure_fit(run_sklearn.OneVsRest(1, {}), data_folder, paths[0])
    worker.measure_predict(run_sklearn.OneVsRest(1, {}), data_folder, paths[0], 2, paths[1])
    labels = np.load(paths[1])
    Y_test = sp.csr_array(sp.load_npz(data_folder / "Y_test.npz"))
    assert precision_at_k(Y_test, (labels, np.zeros(labels.shape)), k=1) > 0.5


def test_pad_lists():
    worker = import_module("benchmarks.versus.worker")
    assert worker.pad_lists([[3, 1], [], [4, 5, 6, 7]], k=3).tolist() == [
        [3, 1, -1],
        [-1, -1, -1],
        [4, 5, 6],
    ]


# ---------------------------------------------------------------- measuring, growth, suite


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux only")
def test_peak_counts_from_the_start_of_the_block():
    measure = import_module("benchmarks.measure")
    held = np.ones(30_000_000 // 8)
    with measure.Timed() as timed:
        np.ones(60_000_000 // 8)
    assert 55 < timed.peak_mb < 90
    with measure.Timed() as timed:
        held.sum()
    assert timed.peak_mb < 20  # neither what is held nor the peak before


def test_growth(tmp_path):
    growth = import_module("benchmarks.growth")
    sizes = [
        "--start",
        "100",
        "--max-labels",
        "200",
        "--features",
        "300",
        "--queries",
        "50",
        "--repeat",
        "2",
    ]
    growth.main([*sizes, "--threads", "1", "--out", str(tmp_path)])
    results = json.loads((tmp_path / "growth.json").read_text())["results"]
    assert [result["n_labels"] for result in results] == [100, 200]
    factor = results[1]["fit_seconds"] / results[0]["fit_seconds"]
    assert growth.growth(results, "fit_seconds") == [factor]
    assert f"(x{factor:.2f})" in (tmp_path / "growth.md").read_text()
    with open(tmp_path / "growth.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    runs = [{"a": 5, "b": None}, {"a": 1, "b": 2}, {"a": 3, "b": 4}]
    assert growth.medians(runs) == {"a": 3, "b": None}
    assert growth.growth([{"a": 0}, {"a": 1}, {"a": 3}, {"a": None}], "a") == [None, 3.0, None]


def test_suite_runs():
    suite = import_module("benchmarks.run_suite")
    names = [name for name, _, _ in suite.benchmarks()]
    assert len(names) == len(set(names))
    assert {"Fit.time_fit", "Fit.peakmem_fit", "Predict.track_precision_at_5", "Solver.time_solve"} <= set(
        names
    )
    for name, benchmark, method in suite.benchmarks():
        values = [40 if value == 1_000 else value for value in suite.combinations(benchmark)[0]]
        value, unit = suite.run(benchmark, method, values, seconds=0)
        assert unit and (value is None or value >= 0), name


def test_suite_combinations():
    suite = import_module("benchmarks.run_suite")
    steps = import_module("benchmarks.suite.steps")
    assert suite.combinations(steps.LabelEmbedding) == [(1_000,), (8_000,)]
    assert len(suite.combinations(steps.BeamSearch)) == 6


def test_asv_configuration():
    configuration = json.loads((ROOT / "benchmarks" / "asv.conf.json").read_text())
    assert (ROOT / "benchmarks" / configuration["benchmark_dir"] / "estimator.py").exists()
    assert (ROOT / "benchmarks" / configuration["repo"] / "pyproject.toml").exists()


# ---------------------------------------------------------------- calibration


def test_calibration_prints_both_tables(tmp_path, capsys):
    X, Y = make_xmc_classification(300, 60, 20, random_state=0)
    for i, part in enumerate(("train", "dev", "test")):
        sp.save_npz(tmp_path / f"X_{part}.npz", sp.csr_matrix(X[100 * i : 100 * (i + 1)]))
        sp.save_npz(tmp_path / f"Y_{part}.npz", sp.csr_matrix(Y[100 * i : 100 * (i + 1)]))
    import_module("benchmarks.calibration").main([str(tmp_path), "--loss", "hinge"])
    rows = [line.strip() for line in capsys.readouterr().out.splitlines() if '"hinge"' in line]
    names = [row.split('","')[1] for row in rows]
    assert names == [
        "none", "path, sigmoid", "path, isotonic", "levels, sigmoid", "levels, isotonic",
        "top_k", "global_threshold", "label_thresholds", "expected_f1",
    ]  # fmt: skip
    errors = [float(row.split('","')[2]) for row in rows[:5]]
    assert min(errors[1:]) < errors[0] < 1


# ---------------------------------------------------------------- overlap


def test_overlap_table():
    overlap = import_module("benchmarks.overlap")
    X, Y = make_xmc_classification(260, 60, 30, random_state=0)
    names = ["one leaf a label", "max_parents=2", "man, negative_cv=3"]
    assert set(names) <= set(overlap.variants())
    results = overlap.measure(X[:200], X[200:], Y[:200], Y[200:], repeat=1, names=names)
    assert list(results) == names
    ranked = XRLinearClassifier(random_state=0).fit(X[:200], Y[:200]).predict_topk(X[200:], k=10)
    assert results[names[0]]["P@3"] == pytest.approx(100 * precision_at_k(Y[200:], ranked, k=3))
    lines = overlap.to_lines(results)
    assert [line[0] for line in lines] == names
    assert all(len(line) == len(overlap.HEADER) for line in lines)
    factor = results[names[1]]["fit"] / results[names[0]]["fit"]
    assert lines[0][-2].endswith(" s") and lines[1][-2] == f"x{factor:.2f}"


def test_holdout_rows_come_from_the_training_rows(data_folder):
    data = import_module("benchmarks.data")
    X, Y = (sp.csr_array(sp.load_npz(data_folder / f"{part}_train.npz")) for part in "XY")
    X_train, X_test, Y_train, Y_test = data.load(data_folder, holdout=True)
    assert X_test.shape[0] == X.shape[0] // 5
    assert X_train.shape[0] + X_test.shape[0] == X.shape[0]
    assert X_train.sum() + X_test.sum() == pytest.approx(X.sum(), rel=1e-4)
    assert Y_train.nnz + Y_test.nnz == Y.nnz
    assert data.load(data_folder)[0].shape == X.shape


def test_texts_are_of_the_rows_of_the_matrices(tmp_path):
    data = import_module("benchmarks.data")
    for part, n_rows in (("train", 20), ("test", 3)):
        with gzip.open(tmp_path / f"{part}.txt.gz", "wt", encoding="utf-8") as file:
            file.writelines(f"{part} {row}\n" for row in range(n_rows))
        for name in "XY":
            sp.save_npz(tmp_path / f"{name}_{part}.npz", sp.csr_array(np.arange(1.0, n_rows + 1)[:, None]))
    X_train, X_test, *_ = data.load(tmp_path, holdout=True)
    texts = [f"train {row}" for row in range(20)]
    train, test = ([texts[int(row) - 1] for row in X.toarray()[:, 0]] for X in (X_train, X_test))
    assert data.load_texts(tmp_path, holdout=True) == [train, test]
    assert len(test) == 4 and sorted(train + test) == sorted(texts)
    assert data.load_texts(tmp_path) == (texts, ["test 0", "test 1", "test 2"])


def test_variation_of_information():
    polysemy = import_module("benchmarks.polysemy")
    split = np.array([0, 0, 1, 1])
    assert polysemy.variation_of_information(split, split) == 0
    assert polysemy.variation_of_information(split, 1 - split) == 0
    assert polysemy.variation_of_information(split, np.array([0, 1, 0, 1])) == pytest.approx(2 * np.log(2))
    assert polysemy.variation_of_information(split, np.zeros(4, dtype=int)) == pytest.approx(np.log(2))


def test_merged_pairs():
    polysemy = import_module("benchmarks.polysemy")
    Y = sp.csr_array(np.random.default_rng(0).integers(0, 2, size=(50, 6)).astype(np.float32))
    merged, pairs = polysemy.merge_pairs(Y, 2, min_rows=5)
    assert np.unique(pairs).size == 4
    dense, after = Y.toarray(), merged.toarray()
    for first, second in pairs:
        np.testing.assert_array_equal(after[:, first], np.maximum(dense[:, first], dense[:, second]))
        assert not after[:, second].any()
    untouched = np.setdiff1d(np.arange(6), pairs)
    np.testing.assert_array_equal(after[:, untouched], dense[:, untouched])
    with pytest.raises(ValueError, match="at least 2 labels of 60 rows, got 0"):
        polysemy.merge_pairs(Y, 2, min_rows=60)


def test_copies_tell_two_meanings_apart():
    """The split of a merged label's rows by copies is closer to the truth than chance."""
    polysemy = import_module("benchmarks.polysemy")
    X, Y = make_xmc_classification(1500, 300, 60, labels_per_sample=2, random_state=0)
    found = polysemy.measure(
        X, Y, n_pairs=10, min_rows=20, base_indexer=HierarchicalKMeans(max_leaf_size=8),
        max_leaf_size=None, beam_width=1,
    )  # fmt: skip
    assert found["with copies"] >= 5
    assert found["VI"] < 0.95 * found["VI, random"]
    assert found["better than random"] > 0.5 * found["with copies"]


# ---------------------------------------------------------------- recipes


def test_recipes_table(data_folder):
    recipes = import_module("benchmarks.recipes")
    X, Y = (sp.csr_array(sp.load_npz(data_folder / f"{part}_train.npz")) for part in "XY")
    X_test, Y_test = (sp.csr_array(sp.load_npz(data_folder / f"{part}_test.npz")) for part in "XY")
    names = ["defaults", "power=2", "3 trees", "flat"]
    said = []
    lines = recipes.run(data_folder, only=names, say=said.append)
    assert [line[0] for line in lines] == names
    assert len(said) == len(names)
    assert all(len(line) == len(recipes.HEADER) for line in lines)
    ranked = XRLinearClassifier(random_state=0).fit(X, Y).predict_topk(X_test, k=10)
    assert lines[0][recipes.HEADER.index("P@3")] == f"{100 * precision_at_k(Y_test, ranked, k=3):.2f}"
    assert "flat" not in recipes.recipes(recipes.FLAT_MAX_LABELS + 1)
    held_out = recipes.run(data_folder, only=["defaults"], holdout=True, say=said.append)
    assert held_out[0][5:] != lines[0][5:]


def test_recipes_refuse_unknown_names(data_folder):
    recipes = import_module("benchmarks.recipes")
    with pytest.raises(SystemExit, match=r"no such recipe here: \['no tree'\]; there are \['defaults'"):
        recipes.run(data_folder, only=["defaults", "no tree"])


def test_recipes_leave_out_what_is_not_installed(data_folder, monkeypatch):
    recipes = import_module("benchmarks.recipes")
    monkeypatch.setattr(recipes, "why_unavailable", lambda name, python: "not there")
    said = []
    assert recipes.run(data_folder, only=["libpecos, tfn+man"], say=said.append) == []
    assert said == ["libpecos, tfn+man: left out, not there"]


# ---------------------------------------------------------------- names of labels


def test_name_rows_carry_their_label():
    data = import_module("benchmarks.data")
    X, Y = sp.csr_array([[1.0, 0.0], [0.5, 0.5]]), sp.csr_array([[0, 1, 0], [1, 1, 0]])
    X_names = sp.csr_array([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    X_all, Y_all = data.add_name_rows(X, Y, X_names)
    np.testing.assert_array_equal(X_all.toarray(), np.vstack([X.toarray(), X_names.toarray()]))
    np.testing.assert_array_equal(Y_all.toarray(), np.vstack([Y.toarray(), np.eye(3)]))


def test_label_names_table(tmp_path):
    """Words that say nothing in the training texts are learnt from the names."""
    rng = np.random.default_rng(0)
    Y = np.eye(20, dtype=np.int64)[rng.integers(0, 20, 240)]
    words = [f"word{label}" for label in range(20)]
    for part, rows in (("train", range(160)), ("test", range(160, 240))):
        with gzip.open(tmp_path / f"{part}.txt.gz", "wt", encoding="utf-8") as file:
            for row in rows:
                known = rng.choice(words) if part == "train" else words[Y[row].argmax()]
                file.write(f"common {known}\n")
        sp.save_npz(tmp_path / f"Y_{part}.npz", sp.csr_matrix(Y[rows]))
    (tmp_path / "labels.txt").write_text("\n".join(words), encoding="utf-8")
    label_names = import_module("benchmarks.label_names")
    said = []
    lines = label_names.run(tmp_path, say=said.append)
    assert [tuple(line[:2]) for line in lines] == [
        (name, names) for name in label_names.RECIPES for names in ("no", "yes")
    ]
    assert len(said) == len(lines) and all(len(line) == len(label_names.HEADER) for line in lines)
    without, with_names = (float(line[label_names.HEADER.index("P@1")]) for line in lines[:2])
    assert with_names > 2 * without > 0
