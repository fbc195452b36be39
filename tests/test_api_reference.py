"""The API reference has a page for each public name."""

import importlib
import re
from pathlib import Path

import pytest

import sklearn_xmr

REFERENCE = Path(__file__).parents[1] / "doc" / "api" / "index.rst"


@pytest.mark.skipif(not REFERENCE.exists(), reason="an installation without the documentation's sources")
def test_lists_every_public_name():
    text = REFERENCE.read_text(encoding="utf-8")
    words = set(re.findall(r"\w+", text))
    packages = [name for name in sklearn_xmr.__all__ if name.islower() and name != "show_versions"]
    modules = [sklearn_xmr, *(importlib.import_module(f"sklearn_xmr.{name}") for name in packages)]
    names = {name for module in modules for name in module.__all__} - set(packages)
    assert names - words == set()
