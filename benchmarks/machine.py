"""What a result was measured on."""

import io
import os
import platform
import subprocess
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import sklearn_xmr

ROOT = Path(__file__).resolve().parents[1]


def describe_machine():
    """Processor, cores, memory, versions, kernels and date, as a dict of strings."""
    shown = io.StringIO()
    with redirect_stdout(shown):
        sklearn_xmr.show_versions()
    versions = dict(line.split(": ", 1) for line in shown.getvalue().splitlines())
    versions.pop("threads")  # a setting of each run
    facts = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": _memory(),
        **{name: value for name, value in versions.items() if value != "not installed"},
        "commit": _commit(),
    }
    return {name: fact for name, fact in facts.items() if fact}


def machine_line(facts):
    """The facts in one line."""
    return "; ".join(f"{name} {fact}" for name, fact in facts.items())


def _processor():
    """Name of the processor, and the numbers behind a name that says little."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor()
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    numbers = ", ".join(f"{name} {fields[name]}" for name in ("cpu family", "model") if name in fields)
    return f"{fields.get('model name', platform.processor())} ({numbers})"


def _memory():
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB"
    except (ValueError, OSError, AttributeError):
        return ""


def _commit():
    """Short hash of the source tree, with a mark where it has changes; empty outside of a repository."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
