"""What the names of the labels bring, as one more training row for each label.

    python -m benchmarks.label_names DATA_FOLDER [DATA_FOLDER ...] [--threads 1] [--rst]

A data folder holds ``Y_train.npz``, ``Y_test.npz``, ``labels.txt`` with a name a line, and texts as for
``benchmarks.transformer``; the features are tf-idf of those, for texts and names alike. Prints a table for
each folder, some recipes of ``benchmarks.recipes`` without and with the names: test rows, beams of 10
nodes, CPU seconds of a single fit.
"""

import argparse
from pathlib import Path

from benchmarks.machine import describe_machine, machine_line
from benchmarks.measure import Timed, set_threads
from benchmarks.recipes import quality, recipes
from benchmarks.tables import markdown_table, rst_table

HEADER = ["recipe", "names", "fit CPU", "P@1", "P@3", "P@5", "PSP@1", "PSP@5"]
RECIPES = ("defaults", "power=1", "overlap, power=1", "overlap, power=1.5, C=0.25, threshold=0.03")


def run(folder, say=print):
    """Lines of the table of a data folder; `say` gets each as soon as it is there."""
    import scipy.sparse as sp

    from benchmarks.data import add_name_rows, fit_vectorizer, load_texts, read_label_names

    Y, Y_test = (sp.csr_array(sp.load_npz(folder / f"Y_{part}.npz")) for part in ("train", "test"))
    texts, texts_test = load_texts(folder)
    vectorizer, X = fit_vectorizer(texts)
    X_test, X_names = map(vectorizer.transform, (texts_test, read_label_names(folder)))
    made, lines = recipes(Y.shape[1]), []
    for name in RECIPES:
        for names, rows in (("no", (X, Y)), ("yes", add_name_rows(X, Y, X_names))):
            with Timed() as timed:
                model = made[name]().fit(*rows)
            result = quality(Y_test, model.predict_topk(X_test, k=10), Y)
            figures = {"fit CPU": timed.cpu_seconds, **result}
            lines.append([name, names, *(f"{figures[key]:.2f}" for key in HEADER[2:])])
            say(" | ".join(lines[-1]))
    return lines


def main(argv=None):
    """Print a table for each data folder."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.label_names", description=__doc__.splitlines()[0]
    )
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rst", action="store_true", help="tables in reStructuredText")
    arguments = parser.parse_args(argv)
    set_threads(arguments.threads)
    print(machine_line(describe_machine()), flush=True)
    table = rst_table if arguments.rst else markdown_table
    for folder in arguments.data:
        lines = run(folder, say=lambda line: print(line, flush=True))
        print(f"\n{folder.name}\n\n{table(HEADER, lines)}", flush=True)


if __name__ == "__main__":
    main()
