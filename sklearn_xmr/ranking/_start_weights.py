"""Where the node scorers of a level start from when an encoder is trained with them."""

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.ranking._linear_ranker import fit_linear_rankers
from sklearn_xmr.utils._sparse_entries import pattern_of

#: Inverse regularisation of the problems that are solved for a start.
BOOTSTRAP_C = 1.0
#: Standard deviation of the weights of scorers that start from nothing.
RANDOM_SCALE = 0.02


def random_weights(n_nodes, n_dims, rng):
    """Small random weights, and biases of -1: for most rows most nodes are wrong."""
    weights = rng.normal(0, RANDOM_SCALE, (n_nodes, n_dims)).astype(np.float32)
    return weights, np.full(n_nodes, -1, dtype=np.float32)


def inherited_weights(child_ptr, weights, biases):
    """Every child starts as its parent."""
    fan_outs = np.diff(child_ptr)
    return np.repeat(weights, fan_outs, axis=0), np.repeat(biases, fan_outs)


def solved_weights(problem, embeddings, row_weights, *, is_weighted, seed):
    """Solution of the level's linear problems on the embeddings as they are.

    Parameters
    ----------
    problem : LevelProblem
    embeddings : ndarray of shape (n_samples, n_dims), dtype float32
    row_weights : ndarray of shape (n_samples,)
    is_weighted : bool
        Whether a positive counts as much as the problem says, not 1.
    seed : int

    Returns
    -------
    weights : ndarray of shape (n_nodes, n_dims), dtype float32
    biases : ndarray of shape (n_nodes,), dtype float32
    """
    if not is_weighted:
        problem = replace(problem, positives=pattern_of(problem.positives))
    [level], _, _ = fit_linear_rankers(
        sp.csr_array(embeddings), [problem], sample_weight=row_weights, loss="squared_hinge", C=BOOTSTRAP_C,
        positive_weight=1.0, negative_weight=1.0, bias=1.0, tol="auto", max_iter="auto",
        weight_threshold=0.0, weight_dtype="float32", seed=seed,
    )  # fmt: skip
    unseen = ~np.isfinite(level.intercepts)  # nodes without a positive row: never right
    return level.to_csc().T.toarray(), np.where(unseen, np.float32(-1), level.intercepts)
