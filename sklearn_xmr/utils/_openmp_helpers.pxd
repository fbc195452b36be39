# Guarded OpenMP names for the kernels: cimport these, never `openmp`, so that a compiler without
# OpenMP still builds everything.

cdef extern from "_openmp.h" nogil:
    int XMR_HAS_OPENMP
    int omp_get_max_threads()
    int omp_get_thread_num()
