# Ctrl-C during a long computation without the interpreter lock: the thread that was called looks for
# signals ten times a second, the others see the flag. Every computation has its own flag, for Python runs
# the handlers in its main thread alone: what another thread has called goes on.

from cpython.exc cimport PyErr_CheckSignals
from libc.time cimport CLOCKS_PER_SEC, clock

from sklearn_xmr.utils._openmp_helpers cimport omp_get_thread_num


cdef enum:
    SIGNALS_PER_SECOND = 10


cdef struct Watch:
    int interrupted
    double next_look
    void* errors  # list that takes what a handler raised; the caller raises it again


cdef inline void start_watch(Watch* watch, list errors) noexcept:
    watch.interrupted = 0
    watch.next_look = 0
    watch.errors = <void*> errors


cdef inline int look_for_signals(void* errors) noexcept with gil:
    """Run pending signal handlers; whether one raised."""
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<list> errors).append(error)
        return 1
    return 0


cdef inline int should_stop(void* address) noexcept nogil:
    """Whether the computation whose Watch this is must end."""
    cdef Watch* watch = <Watch*> address
    cdef double now
    if watch.interrupted or omp_get_thread_num() != 0:
        return watch.interrupted
    now = <double> clock() / CLOCKS_PER_SEC
    if now >= watch.next_look:
        watch.next_look = now + 1.0 / SIGNALS_PER_SECOND
        watch.interrupted = look_for_signals(watch.errors)
    return watch.interrupted
