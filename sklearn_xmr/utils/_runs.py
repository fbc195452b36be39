"""Arrays made of runs, one after the other, of different lengths."""

import numpy as np


def positions_in_runs(lengths):
    """0, 1, 2, ... within each run.

    Parameters
    ----------
    lengths : ndarray of int, of shape (n_runs,)

    Returns
    -------
    positions : ndarray of int, of shape (lengths.sum(),)
    """
    ends = np.cumsum(lengths)
    return np.arange(lengths.sum()) - np.repeat(ends - lengths, lengths)
