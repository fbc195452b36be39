"""Run the asv suite without asv: ``python -m benchmarks.run_suite [PATTERN]``, a line per benchmark.

For a look while one works on something; asv repeats more, isolates better and keeps the history. It lies
outside of the folder of the suite, because asv imports every module there.
"""

import argparse
import itertools
import sys
import time
from statistics import median

from benchmarks.measure import Timed
from benchmarks.suite import estimator, steps

UNITS = {"time": "s", "peakmem": "MB above the start"}


def combinations(suite):
    """Parameter tuples of a benchmark class, in asv's notation."""
    params = getattr(suite, "params", ())
    if params and not isinstance(params[0], (list, tuple)):
        params = (params,)
    return list(itertools.product(*params))


def benchmarks():
    """Every (name, class, method name)."""
    for module in (estimator, steps):
        for suite in vars(module).values():
            if isinstance(suite, type) and suite.__module__ == module.__name__:
                for method in vars(suite):
                    if method.split("_")[0] in ("time", "peakmem", "track"):
                        yield f"{suite.__name__}.{method}", suite, method


def run(suite, method, values, *, seconds=1.0):
    """Value of one benchmark at one combination of parameters, and its unit.

    ``time_*`` repeats for that many seconds, at least once after a first call that does not count.
    """
    instance = suite()
    if hasattr(instance, "setup"):
        instance.setup(*values)
    call = getattr(instance, method)
    kind = method.split("_")[0]
    if kind == "track":
        return call(*values), getattr(call, "unit", "")
    if kind == "peakmem":
        with Timed() as timed:
            call(*values)
        return timed.peak_mb, UNITS[kind]
    call(*values)
    spent = []
    while not spent or sum(spent) < seconds:
        start = time.perf_counter()
        call(*values)
        spent.append(time.perf_counter() - start)
    return median(spent), UNITS[kind]


def main(argv=None):
    """Print a line for each benchmark whose name contains the pattern."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run_suite", description=__doc__)
    parser.add_argument("pattern", nargs="?", default="")
    arguments = parser.parse_args(argv)
    for name, suite, method in benchmarks():
        if arguments.pattern in name:
            for values in combinations(suite):
                value, unit = run(suite, method, values)
                shown = "-" if value is None else f"{value:.6g}"
                print(f"{name}({', '.join(map(str, values))}): {shown} {unit}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
