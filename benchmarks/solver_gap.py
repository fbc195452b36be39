"""How far from the optimum the solver stops, and how long it takes, by tolerance.

    python -m benchmarks.solver_gap DATA_DIR [--nodes 100] [--tol auto 0.1 0.3]

For a sample of tree nodes the primal objective of the unpruned weights is compared with that of a solution
to 1e-6 in float64. This is what the default of ``tol`` was chosen by.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from sklearn_xmr import PIFA, HierarchicalKMeans, XRLinearClassifier


def primal_objective(X, y, coef, intercept):
    """1/2 (|w|^2 + b^2) + sum of squared hinge losses, for C = 1 and a constant feature of 1."""
    margins = y * (X @ coef + intercept)
    return 0.5 * (coef @ coef + intercept**2) + np.sum(np.maximum(0, 1 - margins) ** 2)


def node_objectives(model, X, patterns, nodes):
    """Objective of each sampled (level, node)."""
    objectives = []
    coefs = model.coefs_
    for level, node in nodes:
        parent = int(model.tree_.parent_of(level)[node])
        rows = np.arange(X.shape[0])
        if level > 1:
            rows = patterns[level - 1][:, [parent]].nonzero()[0]
        y = np.where(patterns[level][rows][:, [node]].toarray().ravel() > 0, 1, -1)
        coef = coefs[level - 1][:, [node]].toarray().ravel().astype(float)
        objectives.append(primal_objective(X[rows], y, coef, float(model.intercepts_[level - 1][node])))
    return np.array(objectives)


def main():
    """Print a line for each tolerance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--tol", nargs="+", default=["auto", "0.1", "0.2", "0.3", "0.5"])
    arguments = parser.parse_args()
    X, Y = (sp.csr_array(sp.load_npz(arguments.data / f"{name}.npz")) for name in ("X_train", "Y_train"))
    tree = HierarchicalKMeans(random_state=0).fit(PIFA().fit_transform(X, Y)).tree_
    patterns = tree.propagate(Y)
    rng = np.random.default_rng(0)
    nodes = []
    for level in range(1, tree.n_levels + 1):
        trained = np.flatnonzero(patterns[level].sum(axis=0))
        chosen = rng.choice(trained, min(arguments.nodes, trained.size), replace=False)
        nodes += [(level, int(node)) for node in chosen]

    def fit(tol, threshold, dtype):
        model = XRLinearClassifier(
            indexer=tree,
            tol=tol,
            weight_threshold=threshold,
            weight_dtype=dtype,
            max_iter=5000,
            random_state=0,
        )
        start = time.process_time()
        model.fit(X, Y)
        return model, time.process_time() - start

    warnings.simplefilter("ignore")
    optimum = node_objectives(fit(1e-6, 0, "float32")[0], X, patterns, nodes)
    for text in arguments.tol:
        tol = text if text == "auto" else float(text)
        gap = node_objectives(fit(tol, 0, "float32")[0], X, patterns, nodes) / optimum - 1
        seconds = fit(tol, 0.1, "auto")[1]
        print(
            f"tol {text}: {seconds:.2f} CPU s; primal gap mean {100 * gap.mean():.3f}%, "
            f"median {100 * np.median(gap):.3f}%, worst {100 * gap.max():.2f}%"
        )


if __name__ == "__main__":
    main()
