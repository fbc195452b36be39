"""Extreme multilabel ranking as scikit-learn estimators.

Embed the labels, index them in a tree, match and rank down that tree.
Names load on first use, so importing the package costs little more than importing nothing.
"""

from importlib import import_module
from importlib.metadata import version as _version
from typing import Any

__version__ = _version("sklearn-xmr")

# public name -> module that defines it
_PUBLIC = {
    "CalibratedXMRClassifier": "decision",
    "GraphSpectralEmbedding": "label_embedding",
    "HierarchicalKMeans": "indexing",
    "LabelSetClassifier": "decision",
    "LabelTextEmbedding": "label_embedding",
    "LabelTree": "_label_tree",
    "OverlappingIndexer": "indexing",
    "PIFA": "label_embedding",
    "PII": "label_embedding",
    "XMREnsembleClassifier": "_ensemble",
    "XRLinearClassifier": "_xr_linear",
    "XRTransformerClassifier": "_xr_transformer",
    "show_versions": "utils._show_versions",
}
_SUBPACKAGES = ("datasets", "indexing", "inspection", "label_embedding", "metrics")

__all__ = [
    "PIFA",
    "PII",
    "CalibratedXMRClassifier",
    "GraphSpectralEmbedding",
    "HierarchicalKMeans",
    "LabelSetClassifier",
    "LabelTextEmbedding",
    "LabelTree",
    "OverlappingIndexer",
    "XMREnsembleClassifier",
    "XRLinearClassifier",
    "XRTransformerClassifier",
    "datasets",
    "indexing",
    "inspection",
    "label_embedding",
    "metrics",
    "show_versions",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    elif name in _SUBPACKAGES:
        value = import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
