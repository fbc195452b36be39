"""How fit and queries grow as labels and rows double together, on synthetic data."""

import argparse
import csv
import json
import shlex
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import median

from benchmarks.machine import ROOT, describe_machine, machine_line
from benchmarks.measure import Timed, disk_mb, latencies, set_threads
from benchmarks.tables import markdown_table, rst_table, rst_title

#: Measure, heading, digits. All are medians over processes that ran this size alone.
COLUMNS = {
    "n_labels": ("labels = rows", 0),
    "fit_seconds": ("fit, s", 2),
    "fit_cpu_seconds": ("fit, CPU s", 2),
    "fit_peak_mb": ("fit, peak MB above the input", 0),
    "input_mb": ("input, MB", 0),
    "model_disk_mb": ("model on disk, MB", 1),
    "batch_us": ("batch, µs a row", 1),
    "single_p50_us": ("one row, p50, µs", 0),
    "P@1": ("P@1", 2),
}
GROWING = ("fit_seconds", "fit_cpu_seconds", "fit_peak_mb", "model_disk_mb", "batch_us", "single_p50_us")


def parse_arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--start", type=int, default=20_000, help="labels and rows of the smallest problem")
    parser.add_argument("--max-labels", type=int, default=160_000, help="of the largest one")
    parser.add_argument("--features", type=int, default=200_000, help="the same for all sizes")
    parser.add_argument("--labels-per-row", type=float, default=3.0)
    parser.add_argument("--nnz-per-row", type=float, default=40.0)
    parser.add_argument("--queries", type=int, default=5_000, help="test rows, the same for all sizes")
    parser.add_argument(
        "--repeat", type=int, default=3, help="rounds over all sizes, of which the median counts"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"), help="folder of the results")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)  # the child process of one size
    return parser.parse_args(argv)


def measure(n_labels, arguments):
    """Make a problem, fit and query it."""
    import joblib

    from sklearn_xmr import XRLinearClassifier
    from sklearn_xmr.datasets import make_xmc_classification
    from sklearn_xmr.metrics import precision_at_k

    X, Y = make_xmc_classification(
        n_labels + arguments.queries,
        arguments.features,
        n_labels,
        labels_per_sample=arguments.labels_per_row,
        features_per_sample=arguments.nnz_per_row,
        random_state=0,
    )
    X_test, Y_test, X, Y = X[n_labels:], Y[n_labels:], X[:n_labels], Y[:n_labels]
    small = make_xmc_classification(200, 50, 20, random_state=0)
    XRLinearClassifier(random_state=0).fit(*small)  # loads libraries and starts threads
    with Timed() as fitting:
        model = XRLinearClassifier(random_state=0).fit(X, Y)
    runs = []
    for _ in range(4):  # the first one warms up
        with Timed() as run:
            ranked = model.predict_topk(X_test, k=10)
        runs.append(run.seconds)
    rows = [X_test[[i]] for i in range(min(1000, arguments.queries))]
    single = latencies(lambda row: model.predict_topk(row, k=10), rows)
    with tempfile.TemporaryDirectory() as folder:
        joblib.dump(model, f"{folder}/model")
        model_disk_mb = disk_mb(f"{folder}/model")
    arrays = [array for matrix in (X, Y) for array in (matrix.data, matrix.indices, matrix.indptr)]
    return {
        "n_labels": n_labels,
        "fit_seconds": fitting.seconds,
        "fit_cpu_seconds": fitting.cpu_seconds,
        "fit_peak_mb": fitting.peak_mb,
        "fit_others_cores": fitting.others_cores or 0.0,
        "input_mb": sum(array.nbytes for array in arrays) / 1e6,
        "model_disk_mb": model_disk_mb,
        "batch_us": median(runs[1:]) / arguments.queries * 1e6,
        "single_p50_us": median(single) * 1e6,
        "P@1": 100 * precision_at_k(Y_test, ranked, k=1),
    }


def medians(runs):
    """What runs of one size say together; None where one has no figure."""
    values = {key: [run[key] for run in runs] for key in runs[0]}
    return {key: None if None in found else median(found) for key, found in values.items()}


def growth(results, key):
    """Factor from each size to the next one; None where there is nothing to divide."""
    values = [result[key] for result in results]
    return [after / before if before and after is not None else None for before, after in pairwise(values)]


def to_lines(results):
    """Header, a line for each size, with the growth since the last one in brackets."""
    factors = {key: [None, *growth(results, key)] for key in GROWING}
    lines = [[heading for heading, _ in COLUMNS.values()]]
    for i, result in enumerate(results):
        cells = []
        for key, (_, digits) in COLUMNS.items():
            cell = "-" if result[key] is None else f"{result[key]:.{digits}f}"
            factor = factors.get(key, [None] * len(results))[i]
            cells.append(cell if factor is None else f"{cell} (x{factor:.2f})")
        lines.append(cells)
    return lines


def write_results(results, command, machine, out):
    """growth.json, .csv, .md, .rst and, with matplotlib, .png."""
    out.mkdir(parents=True, exist_ok=True)
    run = {"command": command, "machine": machine, "results": results}
    (out / "growth.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    with open(out / "growth.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(results[0]))
        writer.writeheader()
        writer.writerows(results)
    facts = [f"Machine: {machine_line(machine)}.", f"Command: ``{command}``."]
    facts.append("In brackets: the factor by which doubling multiplied the figure above it.")
    header, *rows = to_lines(results)
    markdown = "\n\n".join(["# Growth", *facts, markdown_table(header, rows)]).replace("``", "`") + "\n"
    (out / "growth.md").write_text(markdown, encoding="utf-8")
    page = [rst_title("Growth", "="), *facts, rst_table(header, rows)]
    if write_plot(results, out / "growth.png"):
        page.append(
            ".. image:: growth.png\n   :alt: Fit, memory and query time against the number of labels"
        )
    (out / "growth.rst").write_text("\n\n".join(page) + "\n", encoding="utf-8")
    return markdown


def write_plot(results, path):
    """Each growing measure against size, relative to the smallest; False without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    sizes = [result["n_labels"] for result in results]
    for key in GROWING:
        if results[0][key] and None not in [result[key] for result in results]:
            axes.plot(
                sizes, [result[key] / results[0][key] for result in results], "o-", label=COLUMNS[key][0]
            )
    axes.plot(sizes, [size / sizes[0] for size in sizes], "k:", label="proportional")
    axes.set(xscale="log", yscale="log", xlabel=COLUMNS["n_labels"][0], ylabel="relative to the smallest")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=150)
    return True


def main(argv=None):
    """Measure every size, in a process of its own each time."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = parse_arguments(argv)
    if arguments.only:
        set_threads(arguments.threads)
        print(json.dumps(measure(arguments.only, arguments)))
        return
    runs, n_labels = {}, arguments.start
    while n_labels <= arguments.max_labels:
        runs[n_labels] = []
        n_labels *= 2
    # sizes take turns, so that a busy moment of the machine meets all of them
    for _ in range(arguments.repeat):
        for n_labels, found in runs.items():
            child = [sys.executable, "-m", "benchmarks.growth", *argv, "--only", str(n_labels)]
            done = subprocess.run(child, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True)
            found.append(json.loads(done.stdout))
            print(done.stdout.strip(), file=sys.stderr)
    results = [medians(found) for found in runs.values()]
    settings = {name: value for name, value in vars(arguments).items() if name not in ("out", "only")}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    command = shlex.join(["python", "-m", "benchmarks.growth", *words])
    print(write_results(results, command, describe_machine(), arguments.out))


if __name__ == "__main__":
    main()
