"""Which rows train a cluster's rankers: positives of the cluster, rows that the matcher sends there."""

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.matching._beam_search import nodes_to_csr

NEGATIVE_SAMPLINGS = ("tfn", "man", "tfn+man")


def resolve_negative_sampling(negative_sampling, n_levels):
    """One scheme per level.

    Parameters
    ----------
    negative_sampling : str or sequence of str of length n_levels
        ``"tfn"`` (teacher forcing: rows with a true label below the parent), ``"man"`` (matcher-aware:
        rows whose beam holds the parent) or ``"tfn+man"`` (either). The first level uses all rows
        whatever its entry says.
    n_levels : int

    Returns
    -------
    schemes : list of str

    Raises
    ------
    ValueError
        If a name is unknown or the sequence has another length.
    """
    one_name = isinstance(negative_sampling, str)
    schemes = [negative_sampling] * n_levels if one_name else list(negative_sampling)
    if len(schemes) != n_levels:
        raise ValueError(
            f"negative_sampling must be one name or one per level, got {len(schemes)} names for "
            f"{n_levels} level(s)."
        )
    for scheme in schemes:
        if scheme not in NEGATIVE_SAMPLINGS:
            raise ValueError(f"negative_sampling must be one of {NEGATIVE_SAMPLINGS}, got {scheme!r}.")
    return schemes


def training_rows(scheme, level, parent_pattern, predict_beam):
    """Rows that train the children of each node of one level.

    Parameters
    ----------
    scheme : {"tfn", "man", "tfn+man"}
    level : int
        Level of the children, from 1.
    parent_pattern : csr_array of shape (n_samples, n_parents)
        1 where a row has a true label below the parent.
    predict_beam : callable
        Returns the nodes of the parents' level in each row's beam, an int32 array of shape
        (n_samples, beam_width) padded with -1.

    Returns
    -------
    rows : csr_array of shape (n_samples, n_parents)
        1: the row is an example for all children. 2: the row only serves the children it is positive
        for (``"man"``: it has a true label below the parent, but the matcher does not send it there).
    """
    if level == 1:
        return sp.csr_array(np.ones((parent_pattern.shape[0], 1), dtype=np.float32))
    if scheme == "tfn":
        return parent_pattern
    matched = nodes_to_csr(predict_beam(), parent_pattern.shape[1])
    # matched counts 2, true counts 1: 1 means true but not matched
    rows = sp.csr_array(2 * matched + parent_pattern)
    only_true = rows.data == 1
    rows.data[:] = 1
    if scheme == "man":
        rows.data[only_true] = 2
    return rows
