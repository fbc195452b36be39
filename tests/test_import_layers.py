"""The import rule of the package, read from the source files (Python and Cython).

    utils <- _label_tree <- {label_embedding, indexing, matching, ranking} <- _level_trainer <- _base
    <- _xr_linear <- _ensemble
    _xr_linear, _text_targets <- _text_base <- _xr_transformer
    utils <- metrics <- _base, _ensemble
    matching, ranking, metrics <- inspection, decision

The four steps never import each other; metrics and datasets use utils alone. inspection and decision look
at fitted classifiers from above and import no estimator; the classifiers import them, _fine_tuning and
_torch inside functions only.
"""

import ast
import re
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

import sklearn_xmr

PACKAGE = Path(sklearn_xmr.__file__).parent
FILES = sorted(path for suffix in ("py", "pyx", "pxd") for path in PACKAGE.rglob(f"*.{suffix}"))

STEPS = ("label_embedding", "indexing", "matching", "ranking")
#: What the modules of a layer may import besides their own layer.
ALLOWED: dict[str, set] = {
    "": {"utils"},
    "utils": set(),
    "_label_tree": {"utils"},
    **{step: {"utils", "_label_tree"} for step in STEPS},
    "metrics": {"utils"},
    "datasets": {"utils"},
    "inspection": {"utils", "_label_tree", "matching", "ranking", "metrics"},
    "decision": {"utils", "_label_tree", "matching", "ranking", "metrics"},
    "_torch": {"utils"},
    "_level_trainer": {"utils", "matching"},
    "_base": {"utils", "_label_tree", *STEPS, "metrics", "_level_trainer", "__version__"},
    "_xr_linear": {"utils", "_base", "ranking", "inspection"},
    "_ensemble": {"utils", "_xr_linear", "metrics"},
    "_fine_tuning": {"utils", "_label_tree", "matching", "ranking", "_xr_linear", "_torch"},
    "_text_targets": {"utils", "indexing", "ranking"},
    "_text_base": {"utils", "indexing", "_xr_linear", "_text_targets", "_fine_tuning", "_torch"},
    "_xr_transformer": {"utils", "matching", "_text_base"},
}
#: What others import inside functions only: they need torch, or are seldom needed
LAZY = {"inspection", "decision", "_fine_tuning", "_torch"}
#: Packages that cost much to import, or are optional: only inside functions.
HEAVY = {"torch", "transformers", "safetensors", "huggingface_hub", "matplotlib"}
HEAVY_LAYER = "_torch"
PRIVATE_NAMES_LIVE_IN = "sklearn_xmr.utils._sklearn_private"
PRIVATE_METHODS = {name for name in dir(BaseEstimator) if re.match("_[a-z]", name)} - {
    "_doc_link_module",  # documented for third parties
    "_doc_link_template",
}


def module_name(path):
    """Dotted name of the module in a file."""
    parts = (PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_as_python(path):
    """Source of a Python file, or the import statements of a Cython file as Python."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return source
    # cdef extern from "header.h" is no import: its line does not start with from
    statements = re.findall(r"^(?:from\s+\S+\s+)?c?import\s+(?:\([^)]*\)|.*)", source, flags=re.MULTILINE)
    return "\n".join(re.sub(r"\bcimport\b", "import", statement) for statement in statements)


def layer_of(name):
    """Part of the package that a dotted name lies in: "" for the package itself."""
    return (*name.split("."), "")[1]


def import_time_nodes(node):
    """Nodes that run when the module is imported: all but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from import_time_nodes(child)


def imported_names(node):
    """Dotted names that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module}.{alias.name}" for alias in node.names]


def broken_rules(source, module):
    """Every breach of the import rule in the source of a module, as readable sentences."""
    tree = ast.parse(source)
    layer = layer_of(module)
    allowed = ALLOWED[layer]
    may_be_private = module == PRIVATE_NAMES_LIVE_IN
    at_import = set(import_time_nodes(tree))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in PRIVATE_METHODS and not may_be_private:
            found.append(f"{module}:{node.lineno} uses {node.attr}, which is private to scikit-learn")
        if isinstance(node, ast.ImportFrom) and node.level:
            found.append(f"{module}:{node.lineno} imports relatively")
            continue
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        for name in imported_names(node):
            root, *rest = name.split(".")
            where = f"{module}:{node.lineno} imports {name}"
            if root == PACKAGE.name and layer_of(name) not in {layer, *allowed}:
                found.append(f"{where}; {layer} may import {sorted(allowed)} only")
            elif (
                root == PACKAGE.name and layer not in LAZY and layer_of(name) in LAZY and node in at_import
            ):
                found.append(f"{where} at module level")
            if root in HEAVY and layer != HEAVY_LAYER and node in at_import:
                found.append(f"{where} at module level")
            private = any(part.startswith("_") for part in rest)
            if root == "sklearn" and private and not may_be_private:
                found.append(f"{where}, which is private to scikit-learn")
    return found


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_import_rule(path):
    assert broken_rules(read_as_python(path), module_name(path)) == []


def test_every_layer_is_there():
    assert {layer_of(module_name(path)) for path in FILES} == set(ALLOWED)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("sklearn_xmr.utils._threads", "from sklearn_xmr._label_tree import LabelTree"),
        ("sklearn_xmr._label_tree", "import sklearn_xmr.indexing"),
        ("sklearn_xmr.indexing._x", "from sklearn_xmr import ranking"),
        ("sklearn_xmr.indexing._x", "from sklearn_xmr import PIFA"),
        ("sklearn_xmr.ranking._x", "def f():\n    from sklearn_xmr.matching import _beam_search"),
        ("sklearn_xmr.metrics", "from sklearn_xmr._label_tree import LabelTree"),
        ("sklearn_xmr.datasets._x", "from sklearn_xmr.metrics import topk"),
        ("sklearn_xmr.metrics._x", "from ._topk import topk"),
        ("sklearn_xmr.decision._x", "from sklearn_xmr.inspection import describe_tree"),
        ("sklearn_xmr.inspection._x", "from sklearn_xmr._base import BaseXMRClassifier"),
        ("sklearn_xmr._level_trainer", "from sklearn_xmr._base import BaseXMRClassifier"),
        ("sklearn_xmr._base", "from sklearn_xmr.decision import LabelSetClassifier"),
        ("sklearn_xmr._xr_linear", "from sklearn_xmr.inspection import explain_prediction"),
        ("sklearn_xmr._text_base", "from sklearn_xmr._torch._encoder import TextEncoder"),
        ("sklearn_xmr._base", "import torch"),
        ("sklearn_xmr._base", "try:\n    import transformers\nexcept ImportError:\n    pass"),
        ("sklearn_xmr.metrics._x", "class A:\n    import matplotlib.pyplot as plt"),
        ("sklearn_xmr._base", "from sklearn.utils._param_validation import Interval"),
        ("sklearn_xmr._base", "from sklearn.utils.validation import _check_sample_weight"),
        ("sklearn_xmr._base", "def f(estimator):\n    estimator._validate_params()"),
    ],
)
def test_the_check_finds_breaches(module, source):
    assert len(broken_rules(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("sklearn_xmr.ranking._x", "from sklearn_xmr.ranking import _chunked_weights"),
        ("sklearn_xmr.ranking._x", "from sklearn_xmr._label_tree import LabelTree"),
        ("sklearn_xmr._base", "from sklearn_xmr.matching._beam_search import BeamSearch"),
        ("sklearn_xmr._base", "def f():\n    import torch"),
        ("sklearn_xmr._xr_linear", "def f():\n    from sklearn_xmr.inspection import explain_prediction"),
        ("sklearn_xmr._torch._encoder", "import torch"),
        (PRIVATE_NAMES_LIVE_IN, "from sklearn.utils._param_validation import Interval"),
    ],
)
def test_the_check_lets_the_rest_pass(module, source):
    assert broken_rules(source, module) == []


def test_cython_imports_are_read(tmp_path):
    path = tmp_path / "kernel.pyx"
    path.write_text(
        "import numpy as np\n"
        "from libc.math cimport (\n    fabs,\n    sqrt,\n)\n"
        "from sklearn_xmr.matching._x cimport search\n"
        'cdef extern from "header.h" nogil:\n    int f()\n'
    )
    assert len(broken_rules(read_as_python(path), "sklearn_xmr.ranking._kernel")) == 1
