"""Labels in one to six leaves, and ways to choose negatives: accuracy, fit and query time.

    python -m benchmarks.overlap DATA_FOLDER [DATA_FOLDER ...] [--repeat 3] [--threads 1] [--holdout]

All variants search with the same beam width. Times are CPU seconds, medians over rounds in which every
variant takes its turn, so what else the machine does meanwhile matters little. `--holdout` measures
on a fifth of the training rows instead of the test rows: what parameters are chosen by.
"""

import argparse
from pathlib import Path
from statistics import median

from benchmarks.machine import describe_machine, machine_line
from benchmarks.measure import Timed, set_threads
from benchmarks.tables import rst_table

HEADER = ["variant", "P@1", "P@3", "P@5", "R@10", "PSP@5", "copies a label", "fit", "query"]


def variants():
    """Name and parameters of each model; the first one is what the others are compared with."""
    from sklearn_xmr import OverlappingIndexer

    paper = OverlappingIndexer(max_leaf_size=None, beam_width=10, cv=None, positives="all")
    return {
        "one leaf a label": {},
        **{f"max_parents={n}": {"indexer": OverlappingIndexer(max_parents=n)} for n in range(1, 7)},
        **{
            f"max_parents={n}, max_leaf_size=2.0": {
                "indexer": OverlappingIndexer(max_parents=n, max_leaf_size=2.0)
            }
            for n in (2, 4, 6)
        },
        "as in the paper": {"indexer": paper},
        "man": {"negative_sampling": "man"},
        "man, negative_cv=3": {"negative_sampling": "man", "negative_cv": 3},
        "tfn+man": {"negative_sampling": "tfn+man"},
        "tfn+man, negative_cv=3": {"negative_sampling": "tfn+man", "negative_cv": 3},
    }


def measure(X, X_test, Y, Y_test, *, repeat=3, names=None):
    """A dict of figures for each variant."""
    from sklearn_xmr import XRLinearClassifier, metrics

    chosen = {name: value for name, value in variants().items() if names is None or name in names}
    fits, queries, models = ({name: [] for name in chosen} for _ in range(3))
    for _ in range(repeat):
        for name, parameters in chosen.items():
            with Timed() as timed:
                model = XRLinearClassifier(random_state=0, **parameters).fit(X, Y)
            fits[name].append(timed.cpu_seconds)
            models[name] = model
    for turn in range(3 * repeat + 1):
        for name, model in models.items():
            with Timed() as timed:
                model.predict_topk(X_test, k=10)
            if turn:  # the first one warms up
                queries[name].append(timed.cpu_seconds)
    propensities = metrics.jain_propensity(Y)
    results = {}
    for name, model in models.items():
        ranked = model.predict_topk(X_test, k=10)
        results[name] = {
            **{f"P@{k}": 100 * metrics.precision_at_k(Y_test, ranked, k=k) for k in (1, 3, 5)},
            "R@10": 100 * metrics.recall_at_k(Y_test, ranked, k=10),
            "PSP@5": 100
            * metrics.propensity_scored_precision_at_k(Y_test, ranked, k=5, propensities=propensities),
            "copies a label": model.tree_.slot_labels.size / model.tree_.n_labels,
            "fit": median(fits[name]),
            "query": median(queries[name]),
        }
    return results


def to_lines(results):
    """Cells of the table: seconds of the first variant, factors of the others."""
    first, lines = next(iter(results.values())), []
    for name, result in results.items():
        cells = [name, *(f"{result[key]:.2f}" for key in HEADER[1:7])]
        for key in ("fit", "query"):
            factor = result[key] / first[key]
            cells.append(f"{result[key]:.2f} s" if result is first else f"x{factor:.2f}")
        lines.append(cells)
    return lines


def main(argv=None):
    """Print a table for each data folder."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overlap", description=__doc__.splitlines()[0]
    )
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--holdout", action="store_true")
    arguments = parser.parse_args(argv)
    set_threads(arguments.threads)
    print(machine_line(describe_machine()), flush=True)
    from benchmarks.data import load

    for folder in arguments.data:
        results = measure(*load(folder, arguments.holdout), repeat=arguments.repeat)
        print(f"\n{folder.name}\n\n{rst_table(HEADER, to_lines(results))}", flush=True)


if __name__ == "__main__":
    main()
