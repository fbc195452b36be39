"""Results as JSON, Markdown, reStructuredText and CSV."""

import csv
import json
import sys
from pathlib import Path

from benchmarks.machine import machine_line
from benchmarks.tables import markdown_table, rst_table, rst_title
from benchmarks.versus.libraries import LIBRARIES, OURS
from benchmarks.versus.plot import write_plot
from benchmarks.versus.summary import (
    COSTS,
    FACTS,
    QUALITIES,
    absolute,
    comparison,
    libraries_of,
    losses,
    thread_counts_of,
)

#: From here on a run counts as disturbed.
BUSY_CORES = 0.2

METHOD = (
    "Medians over {rounds} alternating round(s); top 10, beam 10; one row: the whole Python call on one "
    "thread. Ratios: the other library's figure divided by ours in the same round, median (lowest to "
    "highest); above 1, we are better. Differences of quality: ours minus theirs, in points."
)


def significant(value, digits=3):
    """A number with some significant digits and no exponent."""
    if value is None:
        return "-"
    if value == 0 or abs(value) >= 10 ** (digits - 1):
        return f"{value:.0f}"
    return f"{value:#.{digits}g}" if abs(value) >= 1e-3 else f"{value:.4f}"


def tables(records):
    """Tables to print: for each number of threads the medians, then the comparisons.

    Returns
    -------
    list of (title, header, rows)
    """
    libraries = libraries_of(records)
    peers = [name for name in libraries if name != OURS]
    made = []
    for threads in thread_counts_of(records):
        rows = []
        for measure, title in (COSTS | QUALITIES | FACTS).items():
            spreads = [absolute(records, threads, library, measure) for library in libraries]
            show = (lambda value: f"{value:.2f}") if measure in QUALITIES else significant
            rows.append([title, *(show(each.median) if each else "-" for each in spreads)])
        header = ["", *(LIBRARIES[name].title for name in libraries)]
        made.append((f"{threads} thread(s): medians", header, rows))
        if not peers:
            continue
        rows = []
        for measure, title in (COSTS | QUALITIES).items():
            spreads = [comparison(records, threads, peer, measure) for peer in peers]
            show = (lambda value: f"{value:+.2f}") if measure in QUALITIES else significant
            rows.append([title, *(_shown_spread(each, show) for each in spreads)])
        header = ["", *(LIBRARIES[name].title for name in peers)]
        made.append((f"{threads} thread(s): we compared with others", header, rows))
    return made


def _shown_spread(spread, show):
    if spread is None:
        return "-"
    if spread.low == spread.high:
        return show(spread.median)
    return "{} ({} to {})".format(*map(show, spread))


def loss_lines(records):
    """Sentences that say where another library is better."""
    lines = []
    for threads, peer, measure, compared in losses(records):
        if measure in COSTS:
            what = f"{COSTS[measure]}: {significant(compared.median)} of ours"
        else:
            what = f"{measure}: {-compared.median:.2f} points above ours"
        lines.append(f"{LIBRARIES[peer].title}, {threads} thread(s), {what}")
    return lines or ["Nowhere in these tables."]


def facts(run):
    """Data, machine, command and remarks of a run, as lines."""
    data = run["data"]
    versions = sorted(
        {
            f"{LIBRARIES[record['library']].title}: {record['result']['version']} "
            f"(Python {record['result']['python']}, numpy {record['result']['numpy']})"
            for record in run["records"]
        }
    )
    disturbed = sum(record["result"]["others_cores"] > BUSY_CORES for record in run["records"])
    busy = (
        f"Other processes kept more than {BUSY_CORES} cores busy during {disturbed} of "
        f"{len(run['records'])} runs"
        + ("; trust CPU seconds rather than wall seconds." if disturbed else ".")
    )
    return [
        "Data: {name}, {n_train} training and {n_test} test rows, {n_features} features "
        "({nnz_per_row:.1f} a row), {n_labels} labels ({labels_per_row:.2f} a row).".format(**data),
        f"Machine: {machine_line(run['machine'])}.",
        f"Versions: {'; '.join(versions)}.",
        f"Command: ``{run['command']}``.",
        METHOD.format(rounds=len({record["round"] for record in run["records"]})),
        busy,
        *run["remarks"],
    ]


def to_markdown(run):
    """The whole report in Markdown."""
    blocks = [f"# {run['data']['name']}", *facts(run)]
    for title, header, rows in tables(run["records"]):
        blocks += [f"## {title}", markdown_table(header, rows)]
    blocks += ["## Where others are better", "\n".join(f"- {line}" for line in loss_lines(run["records"]))]
    return "\n\n".join(blocks).replace("``", "`") + "\n"


def to_rst(run, plot_name=None):
    """The same as a page of the documentation."""
    blocks = [rst_title(run["data"]["name"], "="), *facts(run)]
    if plot_name:
        blocks.append(f".. image:: {plot_name}\n   :alt: Ratios of the table below")
    for title, header, rows in tables(run["records"]):
        blocks += [rst_title(title, "-"), rst_table(header, rows)]
    blocks.append(rst_title("Where others are better", "-"))
    blocks.append("\n".join(f"- {line}" for line in loss_lines(run["records"])))
    return "\n\n".join(blocks) + "\n"


def write_csv(run, path):
    """A line for each number of threads, library and measure."""
    records = run["records"]
    columns = ["data", "threads", "library", "measure", "median", "low", "high"]
    columns += ["compared_median", "compared_low", "compared_high"]
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(columns)
        for threads in thread_counts_of(records):
            for library in libraries_of(records):
                for measure in (*COSTS, *QUALITIES, *FACTS):
                    value = absolute(records, threads, library, measure)
                    if value is None:
                        continue
                    comparable = library != OURS and measure not in FACTS
                    compared = comparison(records, threads, library, measure) if comparable else None
                    cells = [f"{number:.6g}" for number in (*value, *(compared or ()))]
                    cells += [""] * (6 - len(cells))
                    writer.writerow([run["data"]["name"], threads, library, measure, *cells])


def write_results(run, out):
    """Everything measured as JSON; the tables as Markdown, a documentation page and CSV; the plot.

    Returns
    -------
    str or None
        Why there is no plot.
    """
    out.mkdir(parents=True, exist_ok=True)
    stem = f"versus_{run['data']['name']}"
    (out / f"{stem}.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    missing = write_plot(run, out / f"{stem}.png")
    (out / f"{stem}.md").write_text(to_markdown(run), encoding="utf-8")
    (out / f"{stem}.rst").write_text(to_rst(run, None if missing else f"{stem}.png"), encoding="utf-8")
    write_csv(run, out / f"{stem}.csv")
    return missing


if (
    __name__ == "__main__"
):  # python -m benchmarks.versus.report versus_DATA.json: print and write it all anew
    stored = Path(sys.argv[1])
    results = json.loads(stored.read_text(encoding="utf-8"))
    write_results(results, stored.parent)
    sys.stdout.write(to_markdown(results))
