"""What a text encoder adds to tf-idf, and what it costs.

    python -m benchmarks.transformer DATA_FOLDER --encoder PATH [--runs linear frozen one single multi] ...

DATA_FOLDER holds ``train.txt.gz`` and ``test.txt.gz`` (or ``train.head.txt.gz`` and ``test.head.txt.gz``),
one text a line, with ``X_train.npz`` and ``X_test.npz`` (tf-idf), ``Y_train.npz`` and ``Y_test.npz``;
``--label-names`` reads ``labels.txt`` as well.
Prints a Markdown table.
"""

import argparse
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import ParameterGrid
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from benchmarks.data import (
    MATRICES,
    add_name_rows,
    fit_vectorizer,
    load,
    load_texts,
    read_label_names,
)
from benchmarks.machine import describe_machine, machine_line
from benchmarks.measure import latencies
from benchmarks.tables import markdown_table
from sklearn_xmr import (
    HierarchicalKMeans,
    XMREnsembleClassifier,
    XRLinearClassifier,
    XRTransformerClassifier,
)
from sklearn_xmr._text_base import (
    PRELIMINARY_BRANCHING_FACTOR,
    PRELIMINARY_MAX_LEAF_SIZE,
    default_ranker,
)
from sklearn_xmr.metrics import precision_at_k, topk
from sklearn_xmr.utils._features import join_features
from sklearn_xmr.utils._votes import count_votes

#: Labels that a ranker gives to an average: those of `XMREnsembleClassifier`.
N_CANDIDATES = 20
HEADER = ["Features", "Ranker", "P@1", "P@3", "P@5", "Fine-tuning s", "Encoding s", "Ranker s", "Test s"]


class KeptFeatures(BaseEstimator):
    """Ranker that only keeps what it is given: features and embeddings of the training texts."""

    def fit(self, X, y):
        """Keep X."""
        self.X_, self.classes_ = X, np.arange(y.shape[1])
        return self

    def predict_topk(self, X, k=5):
        """Rank nothing, as this is no ranker."""
        raise NotImplementedError


class ReadyFeatures(BaseEstimator):
    """Vectorizer that hands out given features: the same tf-idf for every model.

    Parameters
    ----------
    X_train, X_test : csr_array
    """

    def __init__(self, X_train, X_test):
        self.X_train, self.X_test = X_train, X_test

    def fit_transform(self, texts, y=None):
        """Features of the training texts."""
        return self.X_train

    def fit(self, texts, y=None):
        """Do nothing."""
        return self

    def transform(self, texts):
        """Features of the test texts."""
        return self.X_test

    def __sklearn_clone__(self):
        return self


def add_label_names(data, names):
    """Each label's name becomes one more training text, with that label.

    Needs the whole texts: the words behind the columns of X are found by fitting the vectorizer anew.
    """
    vectorizer, X = fit_vectorizer(data["texts_train"])
    if abs(X - data["X_train"]).max() > 1e-6:
        raise ValueError("X_train is not the tf-idf of the training texts.")
    data["texts_train"] = data["texts_train"] + names
    data["X_train"], data["Y_train"] = add_name_rows(X, data["Y_train"], vectorizer.transform(names))


def precisions(Y, ranking):
    """P@1, P@3, P@5 in percent."""
    return [f"{100 * precision_at_k(Y, ranking, k=k):.2f}" for k in (1, 3, 5)]


def make_ranker(parameters):
    """The default ranker of texts with other parameters; the average of several, if ``trees`` says so."""
    parameters = {"trees": 1, **parameters}
    n_trees = parameters.pop("trees")
    ranker = default_ranker().set_params(**parameters)
    return ranker if n_trees == 1 else XMREnsembleClassifier(ranker, n_estimators=n_trees)


def name_of(parameters):
    """What the table calls such a ranker."""
    return ", ".join(f"{name}={value}" for name, value in parameters.items()) or "default"


def run_linear(name, X_train, X_test, data, rankers, fine_tuning="-", encoding="-", encoding_test=0.0):
    """The table rows of some rankers on given features."""
    for ranker_name, ranker in rankers.items():
        start = time.perf_counter()
        model = clone(ranker).set_params(random_state=0).fit(X_train, data["Y_train"])
        fitted = time.perf_counter()
        ranking = model.predict_topk(X_test, k=5)
        seconds = [f"{fitted - start:.1f}", f"{time.perf_counter() - fitted + encoding_test:.1f}"]
        yield [name, ranker_name, *precisions(data["Y_test"], ranking), fine_tuning, encoding, *seconds]


def encode(model, data):
    """Embeddings of training and test texts, and the seconds of a table row that tell of the encoder."""
    embeddings = normalize(model.ranker_.X_[:, data["X_train"].shape[1] :].toarray())
    start = time.perf_counter()
    embeddings_test = model.transform(data["texts_test"])
    encoding_test = time.perf_counter() - start
    seconds = model.fit_seconds_
    return (embeddings, embeddings_test), {
        "fine_tuning": f"{seconds['fine_tuning']:.1f}" if model.history_ else "-",
        "encoding": f"{seconds['encoding']:.1f}",
        "encoding_test": encoding_test,
    }


def run_encoder(name, embeddings, times, data, rankers, weights, held_out=None, grid=None):
    """The rows of an encoder: alone, and beside tf-idf in some weights.

    With a grid, and texts held out from the encoder, also the best ranker of the grid, with tf-idf and with
    both.
    """
    yield from run_linear(f"{name} embeddings", *embeddings, data, rankers, **times)
    joined = {f"tf-idf + {weight:g} {name}": join_both(data, embeddings, weight) for weight in weights}
    for title, features in joined.items():
        yield from run_linear(title, *features, data, rankers, **times)
    if grid is not None and held_out.size:
        tf_idf = {"tf-idf": [data["X_train"], data["X_test"]]}
        yield from run_best(tf_idf, data, grid, held_out)
        yield from run_best(joined, data, grid, held_out, **times)


def join_both(data, embeddings, weight):
    """Features of training and test texts."""
    return [
        join_features(data[f"X_{part}"], rows, weight)
        for part, rows in zip(("train", "test"), embeddings, strict=True)
    ]


def run_average(name, encoders, data, rankers, weights):
    """The rows of the mean scores of a ranker that is trained once for each encoder, beside tf-idf.

    ``encoders`` are their embeddings, of training and test texts.
    """
    for weight in weights:
        features = [join_both(data, embeddings, weight) for embeddings in encoders]
        for ranker_name, ranker in rankers.items():
            start = time.perf_counter()
            models = [
                clone(ranker).set_params(random_state=seed).fit(X_train, data["Y_train"])
                for seed, (X_train, _) in enumerate(features)
            ]
            fitted = time.perf_counter()
            rankings = [
                model.predict_topk(X_test, k=N_CANDIDATES)
                for model, (_, X_test) in zip(models, features, strict=True)
            ]
            ranking = topk(count_votes(rankings, data["Y_test"].shape[1], "mean"), 5)
            seconds = [f"{fitted - start:.1f}", f"{time.perf_counter() - fitted:.1f}"]
            title = f"tf-idf + {weight:g} {name}, mean of {len(encoders)}"
            yield [title, ranker_name, *precisions(data["Y_test"], ranking), "-", "-", *seconds]


def run_best(features, data, grid, held_out, **times):
    """The row of the features and ranker with the best P@5 on texts that the encoder did not learn from.

    It then learns from all. The seconds of the choice are a part of its name. Names of labels, which come
    after the texts, do not count.
    """
    start = time.process_time()
    Y = data["Y_train"]
    learnt = np.setdiff1d(np.arange(Y.shape[0]), held_out)
    held_out = held_out[held_out < data["n_texts"]]
    found = {}
    for title, (X, _) in features.items():
        for parameters in ParameterGrid(grid):
            ranker = make_ranker(parameters).set_params(random_state=0).fit(X[learnt], Y[learnt])
            ranking = ranker.predict_topk(X[held_out], k=5)
            found[title, name_of(parameters)] = precision_at_k(Y[held_out], ranking, k=5), parameters
    (title, name), (_, parameters) = max(found.items(), key=lambda item: item[1][0])
    name = f"best on {held_out.size} texts ({time.process_time() - start:.0f} CPU s): {name}"
    yield from run_linear(title, *features[title], data, {name: make_ranker(parameters)}, **times)


def fit_encoder(
    data, seed=0, *, branching_factor=PRELIMINARY_BRANCHING_FACTOR,
    max_leaf_size=PRELIMINARY_MAX_LEAF_SIZE, **settings,
):  # fmt: skip
    """A model without a ranker, and a sentence on how its levels went."""
    model = XRTransformerClassifier(
        vectorizer=ReadyFeatures(data["X_train"], data["X_test"]),
        ranker=KeptFeatures(),
        preliminary_indexer=HierarchicalKMeans(branching_factor, max_leaf_size),
        random_state=seed,
        verbose=True,
        **settings,
    )
    start, cpu_start = time.perf_counter(), time.process_time()
    model.fit(data["texts_train"], data["Y_train"])
    levels = ", ".join(
        f"{level['n_nodes']} nodes: {level['step']} steps, {level['seconds']:.0f} s"
        for level in model.history_
    )
    levels += (
        f"; all but the ranker, the last encoding included: {time.perf_counter() - start:.0f} s, "
        f"{time.process_time() - cpu_start:.0f} CPU s"
    )
    return model, levels


def limit_threads(n_threads):
    """Bound torch, and whatever else computes in this process."""
    import torch

    torch.set_num_threads(n_threads)
    threadpool_limits(n_threads)


def fit_side_by_side(fits, n_threads, data):
    """Results of `fit_encoder` for pairs of a seed and settings, in processes that share the threads."""
    if len(fits) == 1:
        return [fit_encoder(data, seed, **settings) for seed, settings in fits]
    n_processes = min(len(fits), n_threads)
    with ProcessPoolExecutor(
        n_processes,
        multiprocessing.get_context("spawn"),  # torch's threads do not survive a fork
        initializer=limit_threads,
        initargs=(n_threads // n_processes,),
    ) as pool:
        pending = [pool.submit(fit_encoder, data, seed, **settings) for seed, settings in fits]
        return [fit.result() for fit in pending]


def run_one(data, ranker, common):
    """Time answers to one text at a time, tf-idf, encoder and ranker together; returns a sentence."""
    model = XRTransformerClassifier(fine_tuning=None, ranker=ranker, random_state=0, **common)
    model.fit(data["texts_train"][:2000], data["Y_train"][:2000])
    seconds = latencies(lambda text: model.predict_topk([text], k=5), data["texts_test"][:500])
    median, slow = 1000 * np.quantile(seconds, (0.5, 0.9))
    return f"one text: {median:.1f} ms (median), {slow:.1f} ms (nine of ten), {len(seconds)} texts"


def main():
    """Print the table, a line at a time while it is computed, and as a whole at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--encoder", required=True, help="name or folder of a Hugging Face encoder")
    parser.add_argument("--runs", nargs="+", default=["linear", "frozen", "single", "multi"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--rows", type=int, default=None, help="train on so many rows, drawn at random")
    parser.add_argument(
        "--label-names", action="store_true", help="train on the names of the labels, too (labels.txt)"
    )
    parser.add_argument(
        "--ranker", type=json.loads, action="append",
        help="parameters of a linear ranker other than those of XRTransformerClassifier's, as JSON, {} for "
        "none; the key trees averages so many; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--grid", type=json.loads,
        help="lists of parameters of a ranker, as JSON: the best by P@5 on the texts that a "
        "validation_fraction in --single or --multi keeps from the encoder",
    )  # fmt: skip
    parser.add_argument(
        "--weights", nargs="+", type=float, default=[0.7, 1.0], help="of embeddings beside tf-idf"
    )
    parser.add_argument(
        "--single", type=json.loads, action="append",
        help="parameters of the single-resolution run, JSON; if given several times, of as many runs, side "
        "by side, and the scores of their rankers are averaged, too",
    )  # fmt: skip
    parser.add_argument(
        "--multi", type=json.loads, action="append",
        help="the same for multi-resolution; branching_factor and max_leaf_size are those of the "
        "preliminary tree, which is flat where a leaf holds all labels",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=1, help="so many runs of each of these")
    parser.add_argument(
        "--holdout", action="store_true",
        help="measure on a fifth of the training rows instead of the test rows",
    )  # fmt: skip
    arguments = parser.parse_args()
    if arguments.holdout and arguments.label_names:
        parser.error("--label-names does not go with --holdout: X_train is not the tf-idf of fewer texts")

    import torch

    torch.set_num_threads(arguments.threads)
    data = dict(zip(MATRICES, load(arguments.data, arguments.holdout), strict=True))
    data["texts_train"], data["texts_test"] = load_texts(arguments.data, arguments.holdout)
    data["n_texts"] = len(data["texts_train"])
    if arguments.label_names:
        add_label_names(data, read_label_names(arguments.data))
    if arguments.rows is not None:
        n_rows = len(data["texts_train"])
        chosen = np.sort(np.random.default_rng(0).choice(n_rows, arguments.rows, replace=False))
        data["texts_train"] = [data["texts_train"][i] for i in chosen]
        data["n_texts"] = np.count_nonzero(chosen < data["n_texts"])
        data["X_train"], data["Y_train"] = data["X_train"][chosen], data["Y_train"][chosen]
    common = {
        "encoder": arguments.encoder,
        "precision": arguments.precision,
        "max_length": arguments.max_length,
    }
    rankers = {name_of(parameters): make_ranker(parameters) for parameters in arguments.ranker or [{}]}
    rows, notes = [], []

    def add(new_rows):
        for row in new_rows:
            rows.append(row)
            print(" | ".join(row), flush=True)

    if "linear" in arguments.runs:
        features = data["X_train"], data["X_test"]
        add(run_linear("tf-idf", *features, data, {"linear defaults": XRLinearClassifier(), **rankers}))
    if "frozen" in arguments.runs:
        encoded = encode(fit_encoder(data, fine_tuning=None, **common)[0], data)
        add(run_encoder("frozen", *encoded, data, rankers, arguments.weights))
    if "one" in arguments.runs:
        notes.append(run_one(data, next(iter(rankers.values())), common))
    for mode, runs in (("single", arguments.single), ("multi", arguments.multi)):
        if mode in arguments.runs:
            fits = [
                (seed, {**common, "fine_tuning": mode, **settings})
                for settings in runs or [{}]
                for seed in range(arguments.seeds)
            ]
            start = time.perf_counter()
            fitted = fit_side_by_side(fits, arguments.threads, data)
            notes.append(f"{mode}: {len(fits)} encoders side by side: {time.perf_counter() - start:.0f} s")
            encoders = []
            for number, (model, levels) in enumerate(fitted, 1):
                name = mode if len(fits) == 1 else f"{mode} {number}"
                embeddings, times = encode(model, data)
                encoders.append(embeddings)
                add(run_encoder(name, embeddings, times, data, rankers, arguments.weights,
                                model.validation_indices_, arguments.grid))  # fmt: skip
                notes.append(f"{name}: {levels}")
            if len(encoders) > 1:
                add(run_average(mode, encoders, data, rankers, arguments.weights))
    print(markdown_table(HEADER, rows), *notes, machine_line(describe_machine()), sep="\n\n")


if __name__ == "__main__":
    main()
