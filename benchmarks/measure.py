"""Seconds, bytes and the load of other processes. Standard library alone: any interpreter can run it."""

import ctypes
import gc
import os
import time

#: Set to the number of threads before numpy is imported; each library listens to one of them.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


def set_threads(n_threads):
    """Bound every library of this process that reads the environment when it is imported."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(n_threads)))


def memory_mb(field="VmRSS"):
    """VmRSS (resident now) or VmHWM (its peak) of this process; None where there is no /proc."""
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    return None


def settle_memory():
    """Give freed memory back and restart the peak, so that growth from here on is what a step needs."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        with open("/proc/self/clear_refs", "w") as control:
            control.write("5")
    except (OSError, AttributeError):
        pass  # not Linux: memory_mb says None, or the peak counts from the start of the process


def disk_mb(path):
    """Size of a file, or of all files below a folder."""
    if os.path.isfile(path):
        return os.path.getsize(path) / 1e6
    sizes = (os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(path) for name in names)
    return sum(sizes) / 1e6


def _busy_seconds():
    """CPU seconds of all processes since boot, None where there is no /proc."""
    try:
        with open("/proc/stat") as stat:
            user, nice, system, _idle, _iowait, irq, softirq = map(int, stat.readline().split()[1:8])
    except OSError:
        return None
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


class Timed:
    """Wall and CPU seconds of a block, its peak of memory, and how busy other processes were meanwhile.

    Attributes
    ----------
    seconds, cpu_seconds : float
        CPU seconds are those of all threads of this process.
    peak_mb : float or None
        Peak of resident memory above that at the start of the block.
    others_cores : float or None
        Processors that other processes kept busy on average; None for blocks too short to tell.
    """

    def __enter__(self):
        settle_memory()
        self._memory = memory_mb()
        self._busy = _busy_seconds()
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *exc_info):
        self.seconds = time.perf_counter() - self._wall
        self.cpu_seconds = time.process_time() - self._cpu
        peak, busy = memory_mb("VmHWM"), _busy_seconds()
        self.peak_mb = None if peak is None else max(0.0, peak - self._memory)
        self.others_cores = None
        if busy is not None and self.seconds > 0.2:  # the counters tick every 0.01 s
            self.others_cores = max(0.0, (busy - self._busy - self.cpu_seconds) / self.seconds)


def latencies(call, inputs, budget_seconds=20.0):
    """Seconds of single calls, after a few that do not count; stops when the budget is spent."""
    for one in inputs[:5]:
        call(one)
    seconds, deadline = [], time.perf_counter() + budget_seconds
    for one in inputs:
        start = time.perf_counter()
        call(one)
        end = time.perf_counter()
        seconds.append(end - start)
        if end > deadline:
            break
    return seconds
