"""Which nodes of a level a batch of rows is scored on while an encoder is trained."""

import numpy as np

from sklearn_xmr.utils._runs import positions_in_runs


def candidate_batch(child_ptr, positives, parents, max_candidates=None, rng=None):
    """Candidate nodes of each row: the children of its parents, and all its positives.

    Parameters
    ----------
    child_ptr : ndarray of shape (n_parents + 1,)
        Children of each parent.
    positives : csr_array of shape (n_rows, n_children)
        Positive nodes of each row; the value is how much the node counts as one.
    parents : csr_array of shape (n_rows, n_parents)
        1: all children of the parent are candidates. 2: only the row's positives are, see
        `training_rows`.
    max_candidates : int, default=None
        A row with more candidates keeps its positives and a random sample of the others. A row with more
        positives than this keeps them all. None keeps every candidate.
    rng : numpy.random.Generator, default=None
        Draws the sample.

    Returns
    -------
    candidates : ndarray of shape (n_rows, width), dtype int64
        Ascending in each row, padded with -1.
    targets : ndarray of shape (n_rows, width), dtype float32
        Value of a positive, 0 for a negative or padding.
    """
    n_rows, n_children = positives.shape
    opened = parents.data == 1
    row_of_parent = np.repeat(np.arange(n_rows), np.diff(parents.indptr))[opened]
    parent = parents.indices[opened]
    fan_out = np.diff(child_ptr)[parent]
    # children are numbered parent by parent
    children = np.repeat(child_ptr[parent], fan_out) + positions_in_runs(fan_out)
    row_of_positive = np.repeat(np.arange(n_rows), np.diff(positives.indptr))

    # one number per (row, node): sorts by row, then node
    positive_keys = row_of_positive * np.int64(n_children) + positives.indices
    keys = np.union1d(np.repeat(row_of_parent, fan_out) * np.int64(n_children) + children, positive_keys)
    values = np.zeros(keys.size, dtype=np.float32)
    values[np.searchsorted(keys, positive_keys)] = positives.data
    if max_candidates is not None:
        kept = _keep_positives_and_sample(keys // n_children, values, max_candidates, rng)
        keys, values = keys[kept], values[kept]

    rows = keys // n_children
    sizes = np.bincount(rows, minlength=n_rows)
    columns = positions_in_runs(sizes)
    shape = (n_rows, int(sizes.max(initial=0)))
    candidates, targets = np.full(shape, -1, dtype=np.int64), np.zeros(shape, dtype=np.float32)
    candidates[rows, columns] = keys % n_children
    targets[rows, columns] = values
    return candidates, targets


def mean_candidates(child_ptr, parents, max_candidates=None):
    """How many candidates a row has on average, positives outside of its parents not counted.

    Parameters
    ----------
    child_ptr, parents, max_candidates
        As for `candidate_batch`, of all rows.

    Returns
    -------
    n_candidates : float
        1 at least.
    """
    opened = parents.indices[parents.data == 1]
    mean = max(1.0, np.diff(child_ptr)[opened].sum() / parents.shape[0])
    return mean if max_candidates is None else min(mean, max_candidates)


def _keep_positives_and_sample(rows, values, max_candidates, rng):
    """Mask of the entries to keep; rows are sorted."""
    priority = rng.random(rows.size)
    priority[values > 0] = -1.0  # before every negative
    order = np.lexsort((priority, rows))
    rank = np.empty(rows.size, dtype=np.int64)
    rank[order] = positions_in_runs(np.bincount(rows))
    return (rank < max_candidates) | (values > 0)
