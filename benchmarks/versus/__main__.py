"""Run us and the other libraries on a data folder, in turns, and write the tables."""

import argparse
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from benchmarks.machine import describe_machine
from benchmarks.versus.libraries import (
    LIBRARIES,
    OURS,
    WorkerError,
    interpreter_of,
    run_worker,
    why_unavailable,
)
from benchmarks.versus.report import to_markdown, write_results
from sklearn_xmr.metrics import (
    jain_propensity,
    ndcg_at_k,
    precision_at_k,
    propensity_scored_precision_at_k,
)


def parse_arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versus", description=__doc__)
    parser.add_argument(
        "data_folder", type=Path, help="holds X_train.npz X_test.npz Y_train.npz Y_test.npz"
    )
    parser.add_argument("--threads", default="1,2", help="numbers of threads, separated by commas")
    parser.add_argument("--repeat", type=int, default=5, help="rounds")
    parser.add_argument("--libraries", default=",".join(LIBRARIES), help=f"some of {','.join(LIBRARIES)}")
    parser.add_argument(
        "--python", action="append", default=[], metavar="LIBRARY=PATH",
        help="interpreter of a library; else XMR_BENCH_PYTHON_<LIBRARY>, else this one",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"), help="folder of the results")
    parser.add_argument("--single", type=int, default=1000, help="test rows that are queried one by one")
    parser.add_argument("--propensity", default="0.55,1.5", help="A,B of the propensity model")
    parser.add_argument("--ovr-max-labels", type=int, default=5000, help="no one-vs-rest above this")
    parser.add_argument("--timeout", type=float, default=7200, help="seconds for a step of a library")
    arguments = parser.parse_args(argv)
    arguments.threads = [int(number) for number in arguments.threads.split(",")]
    arguments.libraries = arguments.libraries.split(",")
    unknown = sorted(set(arguments.libraries) - set(LIBRARIES))
    if unknown:
        parser.error(f"unknown libraries {unknown}, there are {list(LIBRARIES)}")
    if not all("=" in override for override in arguments.python):
        parser.error(f"--python takes LIBRARY=PATH, got {arguments.python}")
    arguments.python = dict(override.split("=", 1) for override in arguments.python)
    return arguments


class Truth:
    """Labels of a data folder, against which all libraries are scored in the same way."""

    def __init__(self, folder, a, b):
        self.y_test = sp.csr_array(sp.load_npz(folder / "Y_test.npz"))
        y_train = sp.csr_array(sp.load_npz(folder / "Y_train.npz"))
        X_train = sp.load_npz(folder / "X_train.npz")
        self.propensities = jain_propensity(y_train, a=a, b=b)
        self.description = {
            "name": folder.resolve().name,
            "n_train": y_train.shape[0],
            "n_test": self.y_test.shape[0],
            "n_features": X_train.shape[1],
            "n_labels": y_train.shape[1],
            "nnz_per_row": X_train.nnz / X_train.shape[0],
            "labels_per_row": y_train.nnz / y_train.shape[0],
        }

    def qualities(self, labels):
        """Qualities in percent of ranked labels (n_test, 10)."""
        ranked = labels, np.zeros(labels.shape)
        found = {f"P@{k}": precision_at_k(self.y_test, ranked, k=k) for k in (1, 3, 5)}
        found["nDCG@5"] = ndcg_at_k(self.y_test, ranked, k=5)
        for k in (1, 5):
            found[f"PSP@{k}"] = propensity_scored_precision_at_k(
                self.y_test, ranked, propensities=self.propensities, k=k
            )
        return {name: 100 * value for name, value in found.items()}


def run_library(name, arguments, threads, truth):
    """Both steps of a library, in processes of their own."""
    python = interpreter_of(name, arguments.python)
    scratch = Path(tempfile.mkdtemp(prefix="xmr_bench_"))
    common = {"threads": threads, "timeout": arguments.timeout}
    folder, model_path, labels_path = (
        arguments.data_folder.resolve(),
        scratch / "model",
        scratch / "labels.npy",
    )
    fit_arguments = ["--option", f"max_labels={arguments.ovr_max_labels}"]
    predict_arguments = ["--single", str(arguments.single), "--labels", str(labels_path)]
    try:
        result = run_worker(name, python, "fit", folder, model_path, arguments=fit_arguments, **common)
        if "skipped" in result:
            raise WorkerError(result["skipped"])
        result |= run_worker(
            name, python, "predict", folder, model_path, arguments=predict_arguments, **common
        )
        result |= truth.qualities(np.load(labels_path))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    result["others_cores"] = max(result["fit_others_cores"] or 0.0, result["batch_others_cores"])
    return result


def shown_command(arguments, folder_name):
    """The command that repeats a run, without the paths of this machine."""
    words = ["python", "-m", "benchmarks.versus", f"DATA/{folder_name}"]
    words += ["--threads", ",".join(map(str, arguments.threads)), "--repeat", str(arguments.repeat)]
    words += ["--libraries", ",".join(arguments.libraries), "--single", str(arguments.single)]
    words += ["--propensity", arguments.propensity, "--ovr-max-labels", str(arguments.ovr_max_labels)]
    return shlex.join(words)


def progress_line(record):
    """What a run said, in short."""
    result = record["result"]
    title = LIBRARIES[record["library"]].title
    return (
        f"{record['threads']} thread(s), round {record['round'] + 1}: {title}: fit "
        f"{result['fit_seconds']:.2f} s, batch {result['batch_seconds']:.3f} s, "
        f"one row {result['single_p50_us']:.0f} µs, P@1 {result['P@1']:.2f}"
    )


def main(argv=None):
    """Run everything; 1 if we ourselves have no result."""
    arguments = parse_arguments(argv)
    truth = Truth(arguments.data_folder, *map(float, arguments.propensity.split(",")))
    run = {
        "data": truth.description,
        "machine": describe_machine(),
        "command": shown_command(arguments, truth.description["name"]),
        "remarks": [],
        "records": [],
    }

    def remark(line):
        if line not in run["remarks"]:
            run["remarks"].append(line)
            print(line, file=sys.stderr)

    libraries = []
    for name in arguments.libraries:
        reason = why_unavailable(name, interpreter_of(name, arguments.python))
        if reason is None:
            libraries.append(name)
        else:
            remark(f"{LIBRARIES[name].title} is left out: {reason}.")
    missing = None
    for threads in arguments.threads:
        for number in range(arguments.repeat):
            for name in list(libraries):
                try:
                    result = run_library(name, arguments, threads, truth)
                except WorkerError as error:
                    libraries.remove(name)
                    remark(f"{LIBRARIES[name].title} is left out: {error}.")
                    continue
                for note in result.pop("notes"):
                    remark(f"{note}.")
                record = {"threads": threads, "round": number, "library": name, "result": result}
                run["records"].append(record)
                print(progress_line(record), file=sys.stderr)
            if run["records"]:  # after each round, so that a long run can be cut short
                missing = write_results(run, arguments.out)
    if OURS not in {record["library"] for record in run["records"]}:
        return 1
    if missing:
        print(missing, file=sys.stderr)
    print(to_markdown(run))
    return 0


if __name__ == "__main__":
    sys.exit(main())
