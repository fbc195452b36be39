"""Labels of two meanings by construction: do the copies of an overlapping tree tell them apart?

    python -m benchmarks.polysemy DATA_FOLDER [--pairs 100] [--min-rows 50] [--max-parents 2]

Random pairs of frequent labels are merged into one. After the fit, each row of a merged label goes to the
copy with the higher score, and the variation of information between this split and the hidden one is
compared with that of the same split in random order (Liu et al., NeurIPS 2021). 0 is a perfect split.
"""

import argparse
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from benchmarks.tables import markdown_table
from sklearn_xmr import OverlappingIndexer, XRLinearClassifier


def merge_pairs(Y, n_pairs, min_rows, seed=0):
    """Merge random pairs of labels of at least `min_rows` rows.

    Returns
    -------
    merged : csr_array
        The second label of each pair keeps its column, but no row.
    pairs : ndarray of shape (n_pairs, 2)
    """
    frequent = np.flatnonzero(np.bincount(Y.indices, minlength=Y.shape[1]) >= min_rows)
    n_pairs = min(n_pairs, frequent.size // 2)
    if n_pairs == 0:
        raise ValueError(f"There must be at least 2 labels of {min_rows} rows, got {frequent.size}.")
    pairs = np.random.default_rng(seed).permutation(frequent)[: 2 * n_pairs].reshape(-1, 2)
    target = np.arange(Y.shape[1])
    target[pairs[:, 1]] = pairs[:, 0]
    merged = sp.csr_array((Y.data, target[Y.indices], Y.indptr), shape=Y.shape, copy=True)
    merged.sum_duplicates()
    merged.data[:] = 1
    return merged, pairs


def variation_of_information(a, b):
    """VI = - sum r (ln(r / p) + ln(r / q)) of two splits, given as arrays of group numbers."""
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1 / a.size)
    p, q = joint.sum(axis=1, keepdims=True), joint.sum(axis=0, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = joint * (np.log(joint / p) + np.log(joint / q))
    return float(-np.nansum(terms))


def copy_log_scores(model, coefs, X, label):
    """Log path score of each copy of a label, ndarray of shape (n_rows, n_copies); l3_hinge is assumed."""
    tree = model.tree_
    scores = []
    slots = np.flatnonzero(tree.slot_labels == label)
    for slot, path in zip(slots, tree.path(label), strict=True):
        total = np.zeros(X.shape[0])
        for t, node in enumerate([*path, slot]):
            margin = (X @ coefs[t][:, [node]]).toarray().ravel() + model.intercepts_[t][node]
            total -= np.maximum(0, 1 - margin) ** 3
        scores.append(total)
    return np.column_stack(scores)


def measure(X, Y, *, n_pairs=100, min_rows=50, seed=0, **parameters):
    """Fit on merged labels; mean variation of information of the copies' split and of a random one."""
    Y = sp.csr_array(Y)
    merged, pairs = merge_pairs(Y, n_pairs, min_rows, seed)
    model = XRLinearClassifier(indexer=OverlappingIndexer(**parameters), random_state=seed).fit(X, merged)
    coefs = model.coefs_
    columns = sp.csc_array(Y)
    rng = np.random.default_rng(seed)
    split, random = [], []
    for first, second in pairs:
        counts = columns[:, [first]].toarray().ravel() + 2 * columns[:, [second]].toarray().ravel()
        rows = np.flatnonzero((counts == 1) | (counts == 2))  # one of the two meanings, not both
        meaning = (counts[rows] == 2).astype(int)
        scores = copy_log_scores(model, coefs, X[rows], first)
        if scores.shape[1] > 1:
            copy = scores.argmax(axis=1)
            split.append(variation_of_information(copy, meaning))
            random.append(variation_of_information(rng.permutation(copy), meaning))
    return {
        "pairs": len(pairs),
        "with copies": len(split),
        "VI": float(np.mean(split)) if split else np.nan,
        "VI, random": float(np.mean(random)) if random else np.nan,
        "better than random": int(np.sum(np.array(split) < np.array(random))),
    }


def main(argv=None):
    """Print a line for each data folder."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.polysemy", description=__doc__.splitlines()[0]
    )
    parser.add_argument("data", type=Path, nargs="+", help="folders with X_train.npz and Y_train.npz")
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--min-rows", type=int, default=50)
    parser.add_argument("--max-parents", type=int, default=2)
    arguments = parser.parse_args(argv)
    rows, header = [], ["data"]
    for folder in arguments.data:
        X, Y = (sp.csr_array(sp.load_npz(folder / f"{name}.npz")) for name in ("X_train", "Y_train"))
        result = measure(
            X, Y, n_pairs=arguments.pairs, min_rows=arguments.min_rows, max_parents=arguments.max_parents
        )
        header = ["data", *result]
        rows.append([folder.name, *(f"{value:.3g}" for value in result.values())])
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
