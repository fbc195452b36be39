"""From single runs to medians and ratios.

A record is ``{"threads": int, "round": int, "library": str, "result": {measure: value}}``.
"""

from statistics import median
from typing import NamedTuple

from benchmarks.versus.libraries import LIBRARIES, OURS

#: Lower is better; compared as a ratio.
COSTS = {
    "fit_seconds": "fit, s",
    "fit_cpu_seconds": "fit, CPU s",
    "fit_peak_mb": "fit, peak MB above the input",
    "model_disk_mb": "model on disk, MB",
    "model_memory_mb": "model in memory, MB",
    "batch_seconds": "batch of all test rows, s",
    "batch_cpu_seconds": "batch of all test rows, CPU s",
    "single_mean_us": "one row, mean, µs",
    "single_p50_us": "one row, p50, µs",
    "single_p99_us": "one row, p99, µs",
}
#: In percent, higher is better; compared as a difference in points.
QUALITIES = {name: name for name in ("P@1", "P@3", "P@5", "nDCG@5", "PSP@1", "PSP@5")}
#: Printed, not compared.
FACTS = {
    "prepare_seconds": "own input format, s (not in fit)",
    "load_seconds": "load, s",
    "others_cores": "cores busy with other work (most)",
}
#: A difference in points that counts as a loss.
NOTABLE_POINTS = 0.1


class Spread(NamedTuple):
    """Median and extremes over rounds."""

    median: float
    low: float
    high: float


def spread(values):
    """Spread of some numbers, None of none."""
    values = [value for value in values if value is not None]
    return Spread(median(values), min(values), max(values)) if values else None


def by_round(records, threads, library, measure):
    """Value of each round."""
    return {
        record["round"]: record["result"].get(measure)
        for record in records
        if record["threads"] == threads and record["library"] == library
    }


def absolute(records, threads, library, measure):
    """Spread of a measure itself."""
    return spread(by_round(records, threads, library, measure).values())


def comparison(records, threads, peer, measure):
    """Spread of round-by-round comparisons with a peer.

    Costs: the peer's divided by ours, above 1 where we are better. Qualities: ours minus the peer's,
    above 0 where we are better. Only rounds that have both count.
    """
    ours, theirs = (by_round(records, threads, library, measure) for library in (OURS, peer))
    pairs = [(value, theirs.get(number)) for number, value in ours.items()]
    pairs = [(our, their) for our, their in pairs if our is not None and their is not None]
    if measure in COSTS:
        return spread(their / our for our, their in pairs if our > 0)
    return spread(our - their for our, their in pairs)


def libraries_of(records):
    """Names of the libraries with results, in order of appearance."""
    return list(dict.fromkeys(record["library"] for record in records))


def thread_counts_of(records):
    """Thread counts with results, in order of appearance."""
    return list(dict.fromkeys(record["threads"] for record in records))


def losses(records):
    """Where another library does better by the median; other settings of ours do not count.

    Returns
    -------
    list of (threads, peer, measure, Spread)
    """
    found = []
    for threads in thread_counts_of(records):
        for peer in libraries_of(records):
            if LIBRARIES[peer].runner == LIBRARIES[OURS].runner:
                continue
            for measure in (*COSTS, *QUALITIES):
                compared = comparison(records, threads, peer, measure)
                bound = 1 if measure in COSTS else -NOTABLE_POINTS
                if compared is not None and compared.median < bound:
                    found.append((threads, peer, measure, compared))
    return found
