"""From fast to accurate: recipes of ours and of other libraries, on one data set each.

    python -m benchmarks.recipes DATA_FOLDER [DATA_FOLDER ...] [--python pecos=PATH] [--python omikuji=PATH]

Prints a table for each data folder: test rows, beams of 10 nodes where the recipe does not say more. Times
are seconds of a single run; CPU seconds matter, wall seconds depend on what else the machine does. `query`
is the CPU time for all test rows at once, `MB` the model on disk. `--holdout` measures on a fifth of the
training rows instead of the test rows (ours alone): by that recipes are chosen. `--only` names a few.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.machine import describe_machine, machine_line
from benchmarks.measure import Timed, disk_mb, set_threads
from benchmarks.tables import markdown_table, rst_table
from benchmarks.versus.libraries import WorkerError, interpreter_of, run_worker, why_unavailable

HEADER = ["recipe", "fit CPU", "fit", "MB", "query", "P@1", "P@3", "P@5", "PSP@1", "PSP@5"]
#: One-vs-rest without a tree only up to this many labels.
FLAT_MAX_LABELS = 5000

#: Library, runner options and title of what others publish.
PEERS = {
    "libpecos, defaults": ("pecos", "recipe=default"),
    "libpecos, relevance l1, Cp=4, threshold 1e-3": ("pecos", "recipe=relevance"),
    "libpecos, tfn+man": ("pecos", "recipe=tfn+man"),
    "omikuji, Parabel-like, 3 trees": ("omikuji3", "shape=parabel"),
    "omikuji, Bonsai-like, 3 trees": ("omikuji3", "shape=bonsai"),
}


def recipes(n_labels):
    """Name and a function that makes the classifier."""
    from sklearn_xmr import (
        HierarchicalKMeans,
        LabelTree,
        OverlappingIndexer,
        XMREnsembleClassifier,
        XRLinearClassifier,
    )

    def single(**parameters):
        return lambda: XRLinearClassifier(random_state=0, **parameters)

    def trees(n, **parameters):
        base = XRLinearClassifier(**parameters)
        return lambda: XMREnsembleClassifier(base, n_estimators=n, random_state=0)

    overlap = {"indexer": OverlappingIndexer()}
    strong = {"propensity_power": 1.5, "C": 0.25, "weight_threshold": 0.03}
    wide = {"indexer": OverlappingIndexer(HierarchicalKMeans(branching_factor=256))}
    fine = {
        "indexer": OverlappingIndexer(
            HierarchicalKMeans(512, 100),
            max_parents=3,
            max_leaf_size=2.0,
            n_rounds=5,
            positives="all",
            beam_width=10,
        ),
        "C": 0.7,
        "weight_threshold": 0.03,
    }
    transforms = ("l1_hinge", "l2_hinge", "l4_hinge", "sigmoid")
    powers = (0.5, 1, 1.5, 2)
    made = {
        "defaults": single(),
        "branching_factor=256": single(indexer=HierarchicalKMeans(branching_factor=256)),
        "beam_width=30": single(beam_width=30),
        "threshold=0.03": single(weight_threshold=0.03),
        **{f"score_transform={name}": single(score_transform=name) for name in transforms},
        "relevance_norm=l1, positive_weight=4": single(relevance_norm="l1", positive_weight=4),
        "tfn+man": single(negative_sampling="tfn+man"),
        **{f"power={power:g}": single(propensity_power=power) for power in powers},
        "C=0.5": single(C=0.5),
        "C=0.25": single(C=0.25),
        "overlap": single(**overlap),
        "overlap, power=1": single(**overlap, propensity_power=1),
        "overlap, power=1.5": single(**overlap, propensity_power=1.5),
        "overlap, power=1, C=0.5": single(**overlap, propensity_power=1, C=0.5),
        "overlap, power=1.5, C=0.25, threshold=0.03": single(**overlap, **strong),
        "overlap, branching=256": single(**wide),
        "overlap, branching=256, power=1": single(**wide, propensity_power=1),
        "overlap, branching=256, power=1.5": single(**wide, propensity_power=1.5),
        **{
            f"thorough overlap, power={power}, C=0.7, threshold=0.03": single(
                **fine, propensity_power=power
            )
            for power in (0.75, 1.5)
        },
        "3 trees": trees(3),
        "3 trees, overlap": trees(3, **overlap),
        "3 trees, overlap, power=1": trees(3, **overlap, propensity_power=1),
        "3 trees, overlap, branching=256, power=1": trees(3, **wide, propensity_power=1),
        "3 trees, overlap, power=2": trees(3, **overlap, propensity_power=2),
        "3 trees, overlap, power=1.5, C=0.25, threshold=0.03": trees(3, **overlap, **strong),
        "3 trees, overlap, power=2, C=0.25, threshold=0.03": trees(
            3, **overlap, **{**strong, "propensity_power": 2}
        ),
    }
    if n_labels <= FLAT_MAX_LABELS:
        flat = LabelTree.flat(n_labels)
        made["flat"] = single(indexer=flat)
        made["flat, power=1"] = single(indexer=flat, propensity_power=1)
        made["flat, power=2, threshold=0.03"] = single(
            indexer=flat, propensity_power=2, weight_threshold=0.03
        )
    return made


def quality(Y_test, ranked, Y):
    """Metrics of a table row, in percent."""
    from sklearn_xmr import metrics

    propensities = metrics.jain_propensity(Y)
    scored = metrics.propensity_scored_precision_at_k
    return {
        **{f"P@{k}": 100 * metrics.precision_at_k(Y_test, ranked, k=k) for k in (1, 3, 5)},
        **{f"PSP@{k}": 100 * scored(Y_test, ranked, k=k, propensities=propensities) for k in (1, 5)},
    }


def measure(make, X, X_test, Y, Y_test, scratch):
    """Figures of one of our recipes."""
    import joblib

    with Timed() as fitting:
        model = make().fit(X, Y)
    model.predict_topk(X_test[:64], k=10)
    with Timed() as asking:
        ranked = model.predict_topk(X_test, k=10)
    path = Path(scratch) / "model.joblib"
    joblib.dump(model, path)
    return {
        "fit CPU": fitting.cpu_seconds,
        "fit": fitting.seconds,
        "MB": disk_mb(path),
        "query": asking.cpu_seconds,
        **quality(Y_test, ranked, Y),
    }


def measure_peer(name, option, python, folder, Y_test, Y, scratch, threads):
    """Figures of a recipe of another library, which runs in processes of its own."""
    import numpy as np

    model, labels = Path(scratch) / "model", Path(scratch) / "labels.npy"
    options = ["--option", option, "--labels", str(labels), "--single", "1"]
    folder = folder.resolve()
    fit = run_worker(name, python, "fit", folder, model, threads=threads, arguments=options)
    answer = run_worker(name, python, "predict", folder, model, threads=threads, arguments=options)
    ranked = np.load(labels)
    scores = np.where(ranked >= 0, -np.arange(ranked.shape[1], dtype=float), -np.inf)
    return {
        "fit CPU": fit["fit_cpu_seconds"],
        "fit": fit["fit_seconds"],
        "MB": fit["model_disk_mb"],
        "query": answer["batch_cpu_seconds"],
        **quality(Y_test, (ranked, scores), Y),
    }


def to_line(name, result):
    """Cells of the table."""
    return [name, *(f"{result[key]:.2f}" for key in HEADER[1:])]


def run(folder, *, holdout=False, only=None, pythons=None, threads=1, say=print):
    """Lines of the table of a data folder; `say` gets each as soon as it is there."""
    from benchmarks.data import load

    X, X_test, Y, Y_test = load(folder, holdout)
    lines = []

    def add(name, result):
        lines.append(to_line(name, result))
        say(" | ".join(lines[-1]))

    ours, peers = recipes(Y.shape[1]), {} if holdout else PEERS
    unknown = set(only or ()) - set(ours) - set(peers)
    if unknown:
        raise SystemExit(f"no such recipe here: {sorted(unknown)}; there are {[*ours, *peers]}")
    for name, make in ours.items():
        if only is None or name in only:
            with tempfile.TemporaryDirectory() as scratch:
                add(name, measure(make, X, X_test, Y, Y_test, scratch))
    for title, (name, option) in peers.items():
        if only is not None and title not in only:
            continue
        python = interpreter_of(name, pythons or {})
        problem = why_unavailable(name, python)
        if problem is None:
            try:
                with tempfile.TemporaryDirectory() as scratch:
                    add(
                        title,
                        measure_peer(name, option, python, folder, Y_test, Y, scratch, threads),
                    )
                continue
            except WorkerError as error:
                problem = str(error)
        say(f"{title}: left out, {problem}")
    return lines


def main(argv=None):
    """Print a table for each data folder."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recipes", description=__doc__.splitlines()[0]
    )
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--python", action="append", default=[], metavar="LIBRARY=PATH")
    parser.add_argument("--only", action="append", metavar="RECIPE")
    parser.add_argument("--holdout", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rst", action="store_true", help="tables in reStructuredText")
    arguments = parser.parse_args(argv)
    set_threads(arguments.threads)
    pythons = dict(pair.split("=", 1) for pair in arguments.python)
    print(machine_line(describe_machine()), flush=True)
    table = rst_table if arguments.rst else markdown_table
    for folder in arguments.data:
        lines = run(
            folder, holdout=arguments.holdout, only=arguments.only, pythons=pythons,
            threads=arguments.threads, say=lambda line: print(line, flush=True),
        )  # fmt: skip
        print(f"\n{folder.name}\n\n{table(HEADER, lines)}", flush=True)


if __name__ == "__main__":
    main()
