"""The ratios as bars."""

from benchmarks.versus.libraries import LIBRARIES, OURS
from benchmarks.versus.summary import COSTS, comparison, libraries_of, thread_counts_of


def write_plot(run, path):
    """Draw the ratios, a panel for each number of threads.

    Returns
    -------
    str or None
        Why there is no plot.
    """
    records = run["records"]
    peers = [name for name in libraries_of(records) if name != OURS]
    if not peers:
        return "no plot: there is no other library to compare with"
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return "no plot: matplotlib is not installed"
    counts = thread_counts_of(records)
    size = 5.5 * len(counts), 1 + 0.16 * len(COSTS) * (len(peers) + 1)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(counts), sharey=True, squeeze=False)[0]
    thickness = 0.8 / len(peers)
    for panel, threads in zip(panels, counts, strict=True):
        for place, peer in enumerate(peers):
            ratios = [comparison(records, threads, peer, measure) for measure in COSTS]
            drawn = [(i, ratio) for i, ratio in enumerate(ratios) if ratio is not None and ratio.low > 0]
            if not drawn:
                continue
            offset = (place - (len(peers) - 1) / 2) * thickness
            ends = [[r.median - r.low for _, r in drawn], [r.high - r.median for _, r in drawn]]
            panel.barh(
                [i + offset for i, _ in drawn],
                [ratio.median - 1 for _, ratio in drawn],
                thickness,
                left=1,  # bars to the left: the other library is better
                xerr=ends,
                error_kw={"elinewidth": 0.8},
                label=LIBRARIES[peer].title,
            )
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter("{x:g}")
        panel.axvline(1, color="black", linewidth=1)
        panel.set_yticks(range(len(COSTS)), list(COSTS.values()))
        panel.set_xlabel("times ours")
        panel.set_title(f"{run['data']['name']}, {threads} thread(s)")
    panels[0].invert_yaxis()  # shared; the first measure on top
    figure.legend(*panels[-1].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    figure.savefig(path, dpi=150)
    return None
