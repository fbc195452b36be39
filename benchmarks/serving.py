"""How fast does a stored model load, and how much memory do worker processes of their own hold?

    python -m benchmarks.serving DATA_FOLDER --workers 4 --threads 1
    python -m benchmarks.serving synthetic

Fits `XRLinearClassifier` with its defaults, stores it by joblib, and starts the workers, which all load the
file and rank the test rows, once for each way of loading. Private memory is what the kernel counts for one
process alone (Private_Clean and Private_Dirty of /proc/self/smaps_rollup), less what it was before loading;
shared pages, such as those of a file that others map as well, are not private. The workers wait for each
other between the steps, so all of them hold their model while the memory is read.
"""

import argparse
import csv
import json
import multiprocessing
import shlex
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.machine import describe_machine, machine_line
from benchmarks.measure import disk_mb, set_threads, settle_memory
from benchmarks.tables import markdown_table, rst_table, rst_title

#: Ways of loading: arguments of joblib.dump and of joblib.load.
LOADS = {
    "copy": ({}, {}),
    "memory map": ({}, {"mmap_mode": "r"}),
    "compressed": ({"compress": 3}, {}),
}
K = 10


def parse_arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("data", help="folder with X_train.npz and so on, or 'synthetic'")
    parser.add_argument("--workers", type=int, default=4, help="processes that serve one model")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--labels", type=int, default=20_000, help="of the synthetic problem")
    parser.add_argument("--queries", type=int, default=2_000, help="most test rows that are ranked")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"), help="folder of the results")
    return parser.parse_args(argv)


def load_data(arguments):
    """X_train, Y_train, X_test."""
    import scipy.sparse as sp

    from sklearn_xmr.datasets import make_xmc_classification

    if arguments.data == "synthetic":
        X, Y = make_xmc_classification(
            arguments.labels + arguments.queries, 10 * arguments.labels, arguments.labels, random_state=0
        )
        return X[: arguments.labels], Y[: arguments.labels], X[arguments.labels :]
    folder = Path(arguments.data)
    X, Y, X_test = (sp.load_npz(folder / f"{name}.npz") for name in ("X_train", "Y_train", "X_test"))
    return X, Y, X_test[: arguments.queries]


def private_mb():
    """Memory of this process alone; None where there is no /proc."""
    try:
        with open("/proc/self/smaps_rollup") as rollup:
            lines = [line.split() for line in rollup if line.startswith(("Private_Clean", "Private_Dirty"))]
    except OSError:
        return None
    return sum(int(line[1]) for line in lines) * 1024 / 1e6


def serve(folder, barrier, results):
    """A worker: for each way of loading, load, rank, tell."""
    import joblib
    import scipy.sparse as sp

    from sklearn_xmr import XRLinearClassifier
    from sklearn_xmr.datasets import make_xmc_classification

    queries = sp.load_npz(f"{folder}/queries.npz")
    small = make_xmc_classification(200, 50, 20, random_state=0)
    XRLinearClassifier(random_state=0).fit(*small).predict_topk(small[0])  # loads libraries
    for name, (_, options) in LOADS.items():
        settle_memory()
        before = private_mb()
        barrier.wait()
        start = time.perf_counter()
        model = joblib.load(f"{folder}/{name}.joblib", **options)
        loaded = time.perf_counter()
        model.predict_topk(queries[:1], k=K)
        first = time.perf_counter()
        labels, _ = model.predict_topk(queries, k=K)
        ranked = time.perf_counter()
        barrier.wait()  # all have their model and have used it
        settle_memory()
        after = private_mb()
        barrier.wait()
        results.put(
            {
                "load": name,
                "load_ms": 1e3 * (loaded - start),
                "first_ms": 1e3 * (first - loaded),
                "batch_us": 1e6 * (ranked - first) / queries.shape[0],
                "private_mb": None if before is None else after - before,
                "labels": int(labels.sum()),
            }
        )
        del model, labels


def measure(model, folder, n_workers):
    """Store the model in each way, start the workers, collect what they tell."""
    import joblib

    for name, (options, _) in LOADS.items():
        joblib.dump(model, f"{folder}/{name}.joblib", **options)
    context = multiprocessing.get_context("spawn")  # forked workers would share what the parent holds
    barrier, results = context.Barrier(n_workers), context.SimpleQueue()
    workers = [context.Process(target=serve, args=(folder, barrier, results)) for _ in range(n_workers)]
    for worker in workers:
        worker.start()
    told = [results.get() for _ in range(n_workers * len(LOADS))]
    for worker in workers:
        worker.join()
    if len({result.pop("labels") for result in told}) != 1:
        raise RuntimeError("The workers do not agree.")
    return [
        {
            "load": name,
            "file_mb": disk_mb(f"{folder}/{name}.joblib"),
            "workers": [result for result in told if result["load"] == name],
        }
        for name in LOADS
    ]


def to_lines(results):
    """A line for each way of loading, of medians over the workers and their sum."""
    lines = []
    for result in results:
        workers = result["workers"]

        def middle(key, digits, workers=workers):
            values = [worker[key] for worker in workers]
            return "-" if None in values else f"{median(values):.{digits}f}"

        private = [worker["private_mb"] for worker in workers]
        lines.append(
            [
                result["load"],
                f"{result['file_mb']:.1f}",
                middle("load_ms", 1),
                middle("first_ms", 1),
                middle("batch_us", 0),
                middle("private_mb", 1),
                "-" if None in private else f"{sum(private):.1f}",
            ]
        )
    return lines


HEADER = [
    "joblib.load",
    "file, MB",
    "load, ms",
    "first row, ms",
    "batch, us/row",
    "private, MB a worker",
    "private, MB of all",
]


def main(argv=None):
    """Fit once, then measure each way of loading."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = parse_arguments(argv)
    set_threads(arguments.threads)
    import scipy.sparse as sp

    from sklearn_xmr import XRLinearClassifier

    X, Y, X_test = load_data(arguments)
    model = XRLinearClassifier(random_state=0).fit(X, Y)
    with tempfile.TemporaryDirectory() as folder:
        sp.save_npz(f"{folder}/queries.npz", sp.csr_matrix(X_test))
        results = measure(model, folder, arguments.workers)
    name = Path(arguments.data).name
    settings = {key: value for key, value in vars(arguments).items() if key not in ("data", "out")}
    if name != "synthetic":
        del settings["labels"]
    words = [name, *(f"--{key}={value}" for key, value in settings.items())]
    run = {
        "command": shlex.join(["python", "-m", "benchmarks.serving", *words]),
        "machine": describe_machine(),
        "data": {"name": name, "n_train": X.shape[0], "n_features": X.shape[1], "n_labels": Y.shape[1]},
        "results": results,
    }
    write_results(run, arguments.out)


def write_results(run, out):
    """serving_<data>.json, .csv, .md and .rst; prints the table."""
    out.mkdir(parents=True, exist_ok=True)
    data = run["data"]
    path = out / f"serving_{data['name']}.json"
    path.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    facts = [
        f"Machine: {machine_line(run['machine'])}.",
        f"Command: ``{run['command']}``.",
        f"{data['n_train']} rows, {data['n_features']} features, {data['n_labels']} labels.",
    ]
    lines = to_lines(run["results"])
    title = f"Serving {data['name']}"
    markdown = "\n\n".join([f"# {title}", *facts, markdown_table(HEADER, lines)]).replace("``", "`") + "\n"
    path.with_suffix(".md").write_text(markdown, encoding="utf-8")
    with open(path.with_suffix(".csv"), "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *lines])
    page = "\n\n".join([rst_title(title, "="), *facts, rst_table(HEADER, lines)]) + "\n"
    path.with_suffix(".rst").write_text(page, encoding="utf-8")
    print(markdown)


if __name__ == "__main__":
    main()
