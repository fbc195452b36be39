"""What OpenMP offers in this process."""


def openmp_enabled():
    """Whether the kernels were compiled with OpenMP."""
    return bool(XMR_HAS_OPENMP)


def openmp_max_threads():
    """Threads OpenMP would use now: follows OMP_NUM_THREADS and threadpoolctl."""
    return omp_get_max_threads()
