"""What importing the package does, and what it does not do; each in a fresh interpreter."""

import os
import re
import subprocess
import sys
from importlib.metadata import version

import pytest

import sklearn_xmr
from sklearn_xmr.utils._simd import available_simd, simd_variant


def run(code, **environment):
    """Run code in a fresh interpreter; returns the finished process."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


# A finder that sees every attempted import, so optional imports that fail silently are found too.
ALL_NAMES_WITHOUT_HEAVY_IMPORTS = """
import sys

tried = []

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "transformers", "matplotlib"):
            tried.append(name)

sys.meta_path.insert(0, Watch())
import sklearn_xmr
assert "sklearn" not in sys.modules, "importing the package alone must stay cheap"
for name in sklearn_xmr.__all__:
    assert getattr(sklearn_xmr, name) is not None
from sklearn_xmr import *
assert not tried, tried
"""


def test_no_name_loads_torch_transformers_or_matplotlib():
    process = run(ALL_NAMES_WITHOUT_HEAVY_IMPORTS)
    assert process.returncode == 0, process.stderr


def test_unknown_attribute():
    with pytest.raises(AttributeError, match="module 'sklearn_xmr' has no attribute 'XRQuadratic'"):
        sklearn_xmr.XRQuadratic
    with pytest.raises(ImportError, match="XRQuadratic"):
        from sklearn_xmr import XRQuadratic  # noqa: F401


def test_dir_lists_all_names():
    assert set(sklearn_xmr.__all__) <= set(dir(sklearn_xmr))
    assert dir(sklearn_xmr) == sorted(dir(sklearn_xmr))


def test_version():
    assert sklearn_xmr.__version__ == version("sklearn-xmr")
    assert re.match(r"\d+\.\d+", sklearn_xmr.__version__)


def test_show_versions(capsys):
    sklearn_xmr.show_versions()
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["python"] == sys.version.split()[0]
    assert lines["sklearn-xmr"] == sklearn_xmr.__version__
    assert lines["scikit-learn"] == version("scikit-learn")
    assert lines["simd"] == simd_variant()
    assert lines["openmp"] in ("yes", "no")
    assert int(lines["threads"]) >= 1


SHOW_VERSIONS = "import sklearn_xmr; sklearn_xmr.show_versions()"


@pytest.mark.parametrize("variant", available_simd())
def test_instruction_set_can_be_forced(variant):
    process = run(SHOW_VERSIONS, XMR_SIMD=variant)
    assert process.returncode == 0, process.stderr
    assert f"simd: {variant}\n" in process.stdout


def test_unknown_instruction_set_is_refused():
    process = run(SHOW_VERSIONS, XMR_SIMD="sse9")
    assert process.returncode != 0
    message = process.stderr.splitlines()[-1]
    assert message.startswith("ValueError: XMR_SIMD must be one of ('baseline'")
    assert message.endswith("got 'sse9'.")
