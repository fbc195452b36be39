"""The libraries compared, and how to run one in its own interpreter."""

import json
import os
import subprocess
import sys
from typing import NamedTuple

from benchmarks.machine import ROOT


class Contender(NamedTuple):
    """A library with its settings."""

    title: str
    runner: str  # run_<runner>.py; also its name in --python and XMR_BENCH_PYTHON_<RUNNER>
    package: str  # what must be importable
    options: tuple[str, ...] = ()


OURS = "ours"
LIBRARIES = {
    OURS: Contender("sklearn-xmr", "ours", "sklearn_xmr"),
    "ours_wide": Contender("sklearn-xmr, 256-ary", "ours", "sklearn_xmr", ("branching_factor=256",)),
    "ours_flat": Contender("sklearn-xmr, flat", "ours", "sklearn_xmr", ("flat=1",)),
    "pecos": Contender("libpecos", "pecos", "pecos"),
    "omikuji": Contender("omikuji, 1 tree", "omikuji", "omikuji", ("trees=1",)),
    "omikuji3": Contender("omikuji, 3 trees", "omikuji", "omikuji", ("trees=3",)),
    "napkinxc": Contender("napkinXC", "napkinxc", "napkinxc"),
    "sklearn": Contender("one-vs-rest LinearSVC", "sklearn", "sklearn"),
}


class WorkerError(RuntimeError):
    """A run ended without a result."""


def interpreter_of(name, overrides):
    """Python executable of a library: from the command line, the environment, or the running one."""
    runner = LIBRARIES[name].runner
    return overrides.get(runner) or os.environ.get(f"XMR_BENCH_PYTHON_{runner.upper()}") or sys.executable


def why_unavailable(name, python):
    """Why a library cannot run there, or None."""
    package = LIBRARIES[name].package
    code = f"import importlib.util as u; raise SystemExit(u.find_spec({package!r}) is None)"
    try:
        found = subprocess.run([python, "-c", code], capture_output=True, cwd=ROOT, check=False)
    except OSError as error:
        return f"its interpreter does not start ({error.strerror})"
    return f"the package {package} is not installed" if found.returncode else None


def run_worker(name, python, step, data_folder, model_path, *, threads, arguments=(), timeout=None):
    """Run a step of a library and return its result.

    Raises
    ------
    WorkerError
        With the last line that the worker wrote, if it failed.
    """
    contender = LIBRARIES[name]
    command = [
        python, "-m", f"benchmarks.versus.run_{contender.runner}", step, str(data_folder), str(model_path),
        "--threads", str(threads), *arguments,
    ]  # fmt: skip
    for option in contender.options:
        command += ["--option", option]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise WorkerError(f"{step} took more than {timeout} s") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise WorkerError(f"{step} failed with exit code {done.returncode}: {last}")
    return json.loads(done.stdout)
