"""One library, one run: what ``run_<library>.py`` files share.

Runs under the interpreter of the library measured, which may have an older numpy and no sklearn_xmr, so it
needs numpy and scipy alone. A run has two processes: ``fit`` trains and saves, ``predict`` loads the model
afresh and answers. Each prints one JSON object on stdout; what the library itself prints goes to stderr.
"""

import argparse
import gc
import json
import os
import sys
import time
from importlib.metadata import version

from benchmarks.measure import Timed, disk_mb, latencies, memory_mb, set_threads, settle_memory

K, BEAM_WIDTH = 10, 10
#: A batch is predicted again while that is cheap; the median counts.
BATCH_REPEATS, BATCH_SECONDS = 5, 3.0


class Library:
    """Base of the runners. Only `train`, `topk` and `topk_single` are timed as such.

    Attributes
    ----------
    distribution : str
        Name of the installed package, for its version.
    modes : tuple of str
        Ways to load the model or to ask it. Each is measured; the fastest in batch and the fastest in
        single queries count.
    notes : list of str
        Departures from the plain protocol, printed below the tables.
    """

    distribution = ""
    modes: tuple[str, ...] = ("default",)

    def __init__(self, threads, options):
        self.threads = threads
        self.options = options
        self.notes: list[str] = []

    def refuses(self, n_features, n_labels):
        """Why this library cannot take a problem of this size, or None."""

    def too_many_labels(self, n_labels):
        """Why one-vs-rest is not run on so many labels, or None."""
        max_labels = int(self.options.get("max_labels", 5000))
        if n_labels <= max_labels:
            return None
        return f"{n_labels} labels, at most {max_labels} for one-vs-rest (--ovr-max-labels)"

    def prepare(self, X, Y, folder):
        """Bring the data into the form that training starts from; timed apart."""
        return X, Y

    def train(self, *prepared):
        """Train with the recommended settings and return a model."""
        raise NotImplementedError

    def save(self, model, path):
        """Write the model to a file or folder."""
        raise NotImplementedError

    def load(self, path, mode):
        """Read it back, in the form that predicts fastest."""
        raise NotImplementedError

    def queries(self, X):
        """Input of `topk`; not timed."""
        return X

    def query(self, X, i):
        """Input of `topk_single`; not timed."""
        return X[i]

    def topk(self, model, queries):
        """Best K labels of many rows, on `threads` threads."""
        raise NotImplementedError

    def one_thread(self, model):
        """Called before single queries, for libraries that bind threads to the model."""

    def topk_single(self, model, query):
        """Best K labels of one row, on one thread."""
        return self.topk(model, query)

    def ranked(self, answer):
        """Labels of `topk`'s answer as an int array (n_rows, K), best first, -1 for none; not timed."""
        return answer


def load_split(folder, split):
    """X and Y of a data folder as float32 csr_matrix with sorted int32 indices."""
    import numpy as np
    import scipy.sparse as sp

    for name in ("X", "Y"):
        matrix = sp.csr_matrix(sp.load_npz(os.path.join(folder, f"{name}_{split}.npz")), dtype=np.float32)
        matrix.sum_duplicates()
        matrix.indices = matrix.indices.astype(np.int32, copy=False)
        matrix.indptr = matrix.indptr.astype(np.int32, copy=False)
        yield matrix


def pad_lists(lists, k=K):
    """Lists of label ids, best first, as an int array (n_rows, k)."""
    import numpy as np

    ranked = np.full((len(lists), k), -1, dtype=np.int64)
    for row, labels in zip(ranked, lists):  # noqa: B905 (zip has no strict before Python 3.10)
        row[: min(k, len(labels))] = labels[:k]
    return ranked


def measure_fit(library, data_folder, model_path):
    """Train, save, and tell what that took."""
    import scipy.sparse as sp

    X, Y = load_split(data_folder, "train")
    refusal = library.refuses(X.shape[1], Y.shape[1])
    if refusal:
        return {"skipped": refusal}
    scratch = os.path.dirname(model_path)
    # A first small fit loads libraries and starts threads, which is not what is measured.
    corner = sp.random(300, 50, 0.2, "csr", "float32", 0), sp.random(300, 20, 0.1, "csr", "float32", 1)
    corner[1].data[:] = 1
    library.train(*library.prepare(*corner, scratch))
    library.notes.clear()
    with Timed() as preparing:
        prepared = library.prepare(X, Y, scratch)
    with Timed() as fitting:
        model = library.train(*prepared)
    start = time.perf_counter()
    library.save(model, model_path)
    return {
        "prepare_seconds": preparing.seconds,
        "fit_seconds": fitting.seconds,
        "fit_cpu_seconds": fitting.cpu_seconds,
        "fit_peak_mb": fitting.peak_mb,
        "fit_others_cores": fitting.others_cores,
        "save_seconds": time.perf_counter() - start,
        "model_disk_mb": disk_mb(model_path),
        "notes": library.notes,
    }


def measure_predict(library, data_folder, model_path, n_single, labels_path):
    """Load, answer in batch and one by one, and tell what that took; the answers go to a file."""
    import numpy as np

    X, _ = load_split(data_folder, "test")
    queries = library.queries(X)
    singles = [library.query(X, i) for i in range(min(n_single, X.shape[0]))]
    modes = {}
    for mode in library.modes:
        settle_memory()
        before, start = memory_mb(), time.perf_counter()
        model = library.load(model_path, mode)
        load_seconds = time.perf_counter() - start
        settle_memory()
        after = memory_mb()
        library.topk(model, queries[:64])
        runs = []
        while len(runs) < BATCH_REPEATS and sum(run.seconds for run in runs) < BATCH_SECONDS:
            with Timed() as run:
                answer = library.topk(model, queries)
            runs.append(run)
        library.one_thread(model)
        each = np.array(latencies(lambda query, model=model: library.topk_single(model, query), singles))
        modes[mode] = {
            "load_seconds": load_seconds,
            "model_memory_mb": None if before is None else after - before,
            "batch_seconds": float(np.median([run.seconds for run in runs])),
            "batch_cpu_seconds": float(np.median([run.cpu_seconds for run in runs])),
            "batch_others_cores": max(run.others_cores or 0.0 for run in runs),
            "single_mean_us": float(each.mean() * 1e6),
            "single_p50_us": float(np.percentile(each, 50) * 1e6),
            "single_p99_us": float(np.percentile(each, 99) * 1e6),
            "n_single": each.size,
        }
        best = min(modes, key=lambda name: modes[name]["batch_seconds"])
        if best == mode:
            np.save(labels_path, np.asarray(library.ranked(answer), dtype=np.int64))
        del model
        gc.collect()
    best_single = min(modes, key=lambda name: modes[name]["single_p50_us"])
    single = {key: value for key, value in modes[best_single].items() if "single" in key}
    return {**modes[best], **single, "batch_mode": best, "single_mode": best_single, "modes": modes}


def main(make_library):
    """Entry point of a ``run_<library>.py``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("step", choices=("fit", "predict"))
    parser.add_argument("data_folder")
    parser.add_argument("model_path", help="a file or folder in a scratch folder of its own")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--single", type=int, default=1000, help="rows that are queried one by one")
    parser.add_argument("--labels", default="labels.npy", help="predict writes the ranked labels here")
    parser.add_argument("--option", action="append", default=[], help="name=value, for the library")
    arguments = parser.parse_args()
    set_threads(arguments.threads)
    stdout = os.dup(1)
    os.dup2(2, 1)  # compiled libraries print, too

    library = make_library(arguments.threads, dict(option.split("=", 1) for option in arguments.option))
    if arguments.step == "fit":
        result = measure_fit(library, arguments.data_folder, arguments.model_path)
    else:
        result = measure_predict(
            library, arguments.data_folder, arguments.model_path, arguments.single, arguments.labels
        )
    result["version"] = version(library.distribution)
    result["python"] = sys.version.split()[0]
    result["numpy"] = version("numpy")
    with os.fdopen(stdout, "w") as out:
        out.write(json.dumps(result) + "\n")
