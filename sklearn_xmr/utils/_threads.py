"""How many threads a kernel may use."""

import os

from joblib import cpu_count

from sklearn_xmr.utils._openmp_helpers import openmp_max_threads

# GNU's OpenMP runtime deadlocks in a forked child whose parent already ran a parallel region. A team
# of one thread never touches the inherited pool, so a forked child computes with one thread.
_forked = False


def _mark_forked():
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark_forked)


def effective_n_threads():
    """Number of threads for the OpenMP kernels.

    Bounded by the processors this process may use, ``OMP_NUM_THREADS`` and threadpoolctl, as in
    scikit-learn. Results never depend on it.

    Returns
    -------
    n_threads : int
        At least 1; exactly 1 in a forked child process.
    """
    if _forked:
        return 1
    return max(1, min(openmp_max_threads(), cpu_count()))
