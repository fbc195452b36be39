"""Train the linear rankers of a label tree with the built-in solver."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.ranking._chunked_weights import ChunkedWeights, choose_value_dtype
from sklearn_xmr.ranking._dual_cd_fast import solve_label_tree
from sklearn_xmr.utils._csr_fast import squared_row_norms
from sklearn_xmr.utils._features import trailing_dense_columns
from sklearn_xmr.utils._runs import positions_in_runs
from sklearn_xmr.utils._slots import slot_dtype
from sklearn_xmr.utils._threads import effective_n_threads
from sklearn_xmr.utils._validation import MAX_INT32, as_kernel_array, as_kernel_csc, as_kernel_csr

LOSSES = {"squared_hinge": 0, "hinge": 1, "log_loss": 2}
#: What a step takes, as a multiple of one of the hinges: log loss has no closed form.
STEP_COST = {"squared_hinge": 1, "hinge": 1, "log_loss": 10}

#: A task is a cluster with as many children as keep rows times children below TASK_SIZE, in whole blocks
#: of the solver's lanes: enough to share the gathered rows, few enough to spread a wide cluster, or the
#: root of a large set, over threads, and to be numbered by a byte.
TASK_SIZE, LANES, MOST_CHILDREN = 2**22, 16, 256

MAX_ITER = 200
#: Problems of at most this many (row, node) pairs are solved to TIGHT_TOL when tol is "auto", in as many
#: passes as that takes within a second or two: equal data then give equal models, whatever the order of
#: rows or their repetition as weights.
TINY_PROBLEM, TINY_MAX_ITER = 2**16, 20_000
TIGHT_TOL = 1e-11
#: Otherwise a node is done when its projected gradients are below LOOSE_TOL, LIBLINEAR's default, or when a
#: pass improves its dual objective by less than MIN_PROGRESS of it.
LOOSE_TOL, MIN_PROGRESS = 0.1, 0.01
#: Projected gradients that count as converged where "auto" runs into max_iter.
ACCEPTED_TOL = 0.3
#: float32 cannot resolve projected gradients below about this.
FLOAT32_TOL = 1e-4


@dataclass
class LevelProblem:
    """What one tree level learns from.

    Parameters
    ----------
    child_ptr : ndarray of shape (n_parents + 1,), dtype int64
        Children of each parent.
    positives : csr_array of shape (n_samples, n_children)
        Rows that are positive for each child; the values, positive, multiply the cost of that.
    rows : csr_array of shape (n_samples, n_parents)
        Rows that train each parent's children. Must contain the parent's positives. A stored 1 makes
        the row a negative of the children it is not positive for; a stored 2 restricts it to being a
        positive.
    """

    child_ptr: np.ndarray
    positives: sp.csr_array
    rows: sp.csr_array


def n_nonzeros(X, problem):
    """Nonzeros of the rows that train a level, a row counting once for each parent."""
    per_row = np.diff(X.indptr) if sp.issparse(X) else np.count_nonzero(X, axis=1)
    return int(per_row.astype(np.int64) @ np.diff(problem.rows.indptr))


def fit_linear_rankers(
    X, problems, *, sample_weight, loss, C, positive_weight, negative_weight, bias, tol, max_iter,
    weight_threshold, weight_dtype, seed,
):  # fmt: skip
    """Solve every node's one-vs-rest problem.

    Minimises  1/2 |w|^2 + C sum_i s_i v_i loss(y_i w.x_i)  for each node, where v_i is `positive_weight`
    times the value in `positives`, or `negative_weight`, s_i the sample weight, and x_i ends in the
    constant feature `bias`, whose weight is regularised like the others (Hsieh et al., ICML 2008).

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        float32.
    problems : list of LevelProblem
        Independent of each other; they are solved in one parallel loop.
    sample_weight : ndarray of shape (n_samples,) or None
        Positive.
    loss : {"squared_hinge", "hinge", "log_loss"}
    C, positive_weight, negative_weight, bias : float
    tol : float or "auto"
        Largest violation of optimality, in units of the dual gradient; "auto": see MIN_PROGRESS.
    max_iter : int or "auto"
        Passes over a cluster's rows; "auto": MAX_ITER, more where `tol` is "auto" and the problem tiny.
    weight_threshold : float
        Weights smaller in absolute value are dropped; intercepts are kept.
    weight_dtype : {"auto", "int8", "int16", "float32"}
        How the weights are stored.
    seed : int
        Of the order in which rows are visited.

    Returns
    -------
    weights : list of ChunkedWeights
        One per problem.
    n_iter : int
        Largest number of passes of any block.
    n_unconverged : int
        Number of nodes that `max_iter` stopped.
    """
    indptr, indices, data, n_dense = _kernel_features(X)
    n_samples = indptr.size - 1
    accepted_tol, min_progress, n_passes = tol, -1.0, MAX_ITER
    if tol == "auto":
        tol, accepted_tol, min_progress = LOOSE_TOL, ACCEPTED_TOL, MIN_PROGRESS
        n_nodes = sum(np.count_nonzero(np.bincount(problem.positives.indices)) for problem in problems)
        if n_samples * n_nodes <= TINY_PROBLEM:
            tol, min_progress = TIGHT_TOL, -1.0
            n_passes = TINY_MAX_ITER // STEP_COST[loss]
    levels, tasks, costs, value_dtypes, n_tasks = [], [], [], [], 0
    for t, problem in enumerate(problems):
        by_parent = sp.csc_array(problem.rows)
        row_ptr, rows = as_kernel_csc(by_parent)
        flags = by_parent.data
        members = None if np.all(flags == 1) else (flags == 1).astype(np.uint8)
        by_child = sp.csc_array(problem.positives)
        positive_ptr, positives = as_kernel_csc(by_child)
        relevance = None if np.all(by_child.data == 1) else by_child.data.astype(np.float32, copy=False)
        order, starts, sizes, parents = _tasks_of_level(
            problem.child_ptr, np.diff(positive_ptr), np.diff(row_ptr)
        )
        value_dtype = choose_value_dtype(weight_dtype, n_nonzeros(X, problem))
        task_ptr = n_tasks + np.searchsorted(parents, np.arange(problem.child_ptr.size))
        n_tasks += parents.size
        levels.append(
            (
                row_ptr, rows, members, positive_ptr, positives, relevance, order, problem.child_ptr,
                task_ptr.astype(np.int64), slot_dtype(problem.child_ptr).itemsize,
                np.dtype(value_dtype).itemsize,
            )
        )  # fmt: skip
        value_dtypes.append(value_dtype)
        tasks.append((np.full(starts.size, t), parents, starts, sizes))
        costs.append(np.diff(row_ptr)[parents] * -(-sizes // LANES))
    level, parent, first, size = map(np.concatenate, zip(*tasks, strict=True))
    settings = {
        "loss": LOSSES[loss],
        "max_iter": n_passes if max_iter == "auto" else min(max_iter, MAX_INT32),
        "is_double": tol < FLOAT32_TOL or loss == "log_loss",
        "cost_positive": C * positive_weight,
        "cost_negative": C * negative_weight,
        "bias": bias,
        "tol": tol,
        "accepted_tol": accepted_tol,
        "min_progress": min_progress,
        "threshold": weight_threshold,
        "seed": seed,
    }
    solved, n_iter, n_unconverged = solve_label_tree(
        indptr,
        indices,
        data,
        X.shape[1],
        n_dense,
        squared_row_norms(indptr, data) + bias**2,
        None if sample_weight is None else as_kernel_array(sample_weight, np.float32),
        levels,
        level.astype(np.int32),
        parent.astype(np.int32),
        first.astype(np.int64),
        size.astype(np.int32),
        np.argsort(-np.concatenate(costs), kind="stable"),
        settings,
        effective_n_threads(),
    )
    weights = [
        ChunkedWeights(problem.child_ptr, **arrays, n_features=X.shape[1], value_dtype=value_dtype)
        for problem, arrays, value_dtype in zip(problems, solved, value_dtypes, strict=True)
    ]
    return weights, n_iter, n_unconverged


def _kernel_features(X):
    """CSR arrays of X, without indices where every entry is stored, and the number of dense columns."""
    n_rows, n_columns = X.shape
    if isinstance(X, np.ndarray) and np.all(X):
        indptr = np.arange(n_rows + 1, dtype=np.int64) * n_columns
        return indptr, np.empty(0, dtype=np.int32), as_kernel_array(X, np.float32).ravel(), n_columns
    indptr, indices, data = as_kernel_csr(X)
    is_canonical = isinstance(X, np.ndarray) or X.has_canonical_format
    n_dense = trailing_dense_columns(indptr, indices, n_columns) if is_canonical else 0
    return indptr, indices, data, n_dense


def _tasks_of_level(child_ptr, n_positives, n_rows):
    """Cut each cluster's children into tasks.

    Children without positives are left out. The others come by falling number of positives: those that
    take longest are under way first.

    Returns
    -------
    order : ndarray of int32
        Children in the order of their tasks.
    starts, sizes, parents : ndarray of shape (n_tasks,)
        A task's children are ``order[start : start + size]``.
    """
    n_parents = child_ptr.size - 1
    parent_of_child = np.repeat(np.arange(n_parents), np.diff(child_ptr))
    order = np.lexsort((-n_positives, parent_of_child))
    order = order[n_positives[order] > 0]
    fan_outs = np.bincount(parent_of_child[order], minlength=n_parents)
    most = np.clip(TASK_SIZE // np.maximum(n_rows, 1) // LANES * LANES, LANES, MOST_CHILDREN)
    n_tasks = -(-fan_outs // most)
    parents = np.repeat(np.arange(n_parents), n_tasks)
    number = positions_in_runs(n_tasks)
    starts = (np.cumsum(fan_outs) - fan_outs)[parents] + number * most[parents]
    sizes = np.minimum(fan_outs[parents] - number * most[parents], most[parents])
    return order.astype(np.int32), starts, sizes, parents
