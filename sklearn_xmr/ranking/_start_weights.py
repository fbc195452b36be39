"""Where the node scorers of a level start from when an encoder is trained with them."""

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.ranking._linear_ranker import LevelProblem, fit_linear_rankers

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


def solved_weights(problem, embeddings, *, is_weighted, seed):
    """Solution of the level's linear problems on the embeddings as they are.

    Parameters
    ----------
    problem : LevelProblem
        Its positives are label counts.
    embeddings : ndarray of shape (n_samples, n_dims), dtype float32
    is_weighted : bool
        Whether a positive counts as often as the row has labels below the node.
    seed : int

    Returns
    -------
    weights : ndarray of shape (n_nodes, n_dims), dtype float32
    biases : ndarray of shape (n_nodes,), dtype float32
    """
    X = sp.csr_array(embeddings)
    if is_weighted:
        X, problem = repeat_by_counts(X, problem)
    [level], _, _ = fit_linear_rankers(
        X, [problem], sample_weight=None, loss="squared_hinge", C=BOOTSTRAP_C, positive_weight=1.0,
        negative_weight=1.0, bias=1.0, tol="auto", max_iter=200, weight_threshold=0.0,
        weight_dtype="float32", seed=seed,
    )  # fmt: skip
    unseen = ~np.isfinite(level.intercepts)  # nodes without a positive row: never right
    return level.to_csc().T.toarray(), np.where(unseen, np.float32(-1), level.intercepts)


def repeat_by_counts(X, problem):
    """The same problem with a row's positives repeated as often as they have labels.

    Copy number m of a row serves only the nodes with at least m labels of the row, and only as a positive.
    So the loss of each positive is weighted by its count.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features)
    problem : LevelProblem
        Its positives are label counts.

    Returns
    -------
    X : csr_array of shape (n_samples + n_copies, n_features)
    problem : LevelProblem
    """
    counts = problem.positives
    parents = np.repeat(np.arange(problem.child_ptr.size - 1), np.diff(problem.child_ptr))
    blocks = [(X, counts, problem.rows)]
    for m in range(2, int(counts.data.max(initial=1)) + 1):
        copies = counts.copy()
        copies.data[copies.data < m] = 0
        copies.eliminate_zeros()
        used = np.flatnonzero(np.diff(copies.indptr))
        copies = copies[used]
        rows = sp.csr_array((copies.data, parents[copies.indices], copies.indptr),
                            shape=(used.size, problem.rows.shape[1]), copy=True)  # fmt: skip
        rows.sum_duplicates()
        rows.data[:] = 2  # see LevelProblem: only a positive
        blocks.append((X[used], copies, rows))
    X, positives, rows = (
        sp.csr_array(sp.vstack(parts, format="csr")) for parts in zip(*blocks, strict=True)
    )
    return X, LevelProblem(problem.child_ptr, positives, rows)
