/* OpenMP where the compiler has it, one thread where it does not. */
#ifndef XMR_OPENMP_H
#define XMR_OPENMP_H
#ifdef _OPENMP
#include <omp.h>
#define XMR_HAS_OPENMP 1
#else
#define XMR_HAS_OPENMP 0
static inline int omp_get_max_threads(void) { return 1; }
static inline int omp_get_thread_num(void) { return 0; }
#endif
#endif
