"""Positives that count more or less than others."""

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array

from sklearn_xmr.utils._validation import check_sparse_structure

NORMS = ("l1", "l2", "max")


def check_relevance(relevance, Y):
    """Weights of the positives in the order of Y's entries.

    Parameters
    ----------
    relevance : {array-like, sparse matrix} of shape (n_samples, n_labels)
    Y : csr_array of shape (n_samples, n_labels)
        Canonical, of ones.

    Returns
    -------
    relevance : csr_array of shape (n_samples, n_labels), dtype float32

    Raises
    ------
    ValueError
        If relevance has another shape than Y, is not finite, or is not positive exactly where Y is 1.
    """
    check_sparse_structure(relevance, "relevance")
    relevance = sp.csr_array(
        check_array(relevance, accept_sparse="csr", dtype=np.float64, input_name="relevance"), copy=True
    )
    if relevance.shape != Y.shape:
        raise ValueError(
            f"relevance must have a row per sample and a column per label, {Y.shape}, "
            f"got {relevance.shape}."
        )
    relevance.sum_duplicates()
    relevance.eliminate_zeros()
    with np.errstate(over="ignore", under="ignore"):
        values = np.asarray(relevance.data, dtype=np.float32)
    if not np.all(np.isfinite(values)):
        raise ValueError("relevance must lie within the range of float32, got a value beyond 3.4e38.")
    same_pattern = np.array_equal(relevance.indptr, Y.indptr) and np.array_equal(
        relevance.indices, Y.indices
    )
    if not same_pattern or np.any(values <= 0):
        raise ValueError("relevance must be positive where y is 1 and zero elsewhere.")
    return sp.csr_array((values, Y.indices, Y.indptr), shape=Y.shape)


def lift_relevance(tree, relevance):
    """Weights of the positives of every node (R_{t-1} = R_t C_t), "induce" of PECOS.

    Parameters
    ----------
    tree : LabelTree
    relevance : csr_array of shape (n_samples, n_labels)
        Positive where a row has a label.

    Returns
    -------
    lifted : list of csr_array of shape (n_samples, n_nodes[t])
        For t = 0, ..., n_levels. A node has the sum over a row's labels below it, a label counting once
        for each of its leaves there.

    Raises
    ------
    ValueError
        If a sum does not fit into float32.
    """
    lifted = tree.lift_sums(relevance[:, tree.slot_labels], tree.n_levels)
    if not np.all(np.isfinite(lifted[0].data)):  # those of all levels add up to that of the root
        raise ValueError("relevance must add up to less than 3.4e38 in each row, got a row with more.")
    return lifted


def weigh_positives(tree, positives, relevance, norm):
    """Lift the weights of positives up the tree and normalise them level by level.

    All levels are lifted from the values that were given, and each is then normalised on its own.

    Parameters
    ----------
    tree : LabelTree
    positives : list of csr_array of shape (n_samples, n_nodes[t])
        For t = 0, ..., n_levels. Which rows are positive for which nodes.
    relevance : csr_array of shape (n_samples, n_labels)
        Positive where a row has a label.
    norm : {"l1", "l2", "max"} or None
        Which norm of each row of a level becomes 1.

    Returns
    -------
    weighted : list of csr_array of shape (n_samples, n_nodes[t]), dtype float32
        The patterns of `positives` with weights.
    """
    lifted = lift_relevance(tree, relevance)
    return [positives[0]] + [
        _normalize(sp.csr_array(sums.multiply(pattern != 0)), norm)
        for sums, pattern in zip(lifted[1:], positives[1:], strict=True)
    ]


def favour_tail(positives, slot_labels, propensities, power):
    """Multiply the weights of the positives of the last level by (1 / propensity) ** power.

    The factors are scaled to a mean of 1 over all positives, which keeps the balance of positives and
    negatives as a whole. Levels above stay as they are: weighing them, too, loses more precision for the
    same gain in the tail.

    Parameters
    ----------
    positives : csr_array of shape (n_samples, n_slots)
        Weights of the positives of the last level.
    slot_labels : ndarray of shape (n_slots,)
    propensities : ndarray of shape (n_labels,)
    power : float

    Returns
    -------
    positives : csr_array of shape (n_samples, n_slots), dtype float32
    """
    factors = (1 / propensities[slot_labels[positives.indices]]) ** power
    values = (positives.data * (factors / factors.mean())).astype(np.float32)
    return sp.csr_array((values, positives.indices, positives.indptr), shape=positives.shape)


def keep_norms(weights, former, norm):
    """Scale rows of `weights`, a part of the entries of `former`, to the norms that they have there.

    Parameters
    ----------
    weights, former : csr_array of shape (n_samples, n_nodes)
        Positive.
    norm : {"l1", "l2", "max"} or None
        None: nothing is scaled.

    Returns
    -------
    weights : csr_array of shape (n_samples, n_nodes), dtype float32
    """
    if norm is None:
        return weights
    row = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    values = weights.data * (_norms(former, norm)[row] / _norms(weights, norm)[row])
    return sp.csr_array((values.astype(np.float32), weights.indices, weights.indptr), shape=weights.shape)


def _normalize(weights, norm):
    weights = weights.astype(np.float64)
    if norm is not None:
        weights.data /= np.repeat(_norms(weights, norm), np.diff(weights.indptr))
    weights.sort_indices()
    return weights.astype(np.float32)


def _norms(weights, norm):
    """Norm of each row, 0 where it is empty."""
    row = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    norms = np.zeros(weights.shape[0])
    values = weights.data.astype(np.float64)
    if norm == "max":
        np.maximum.at(norms, row, values)
    else:
        np.add.at(norms, row, values if norm == "l1" else values**2)
    return np.sqrt(norms) if norm == "l2" else norms
