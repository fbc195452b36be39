"""Load, generate and fetch extreme multilabel data."""

from sklearn_xmr.datasets._api_docs import load_api_docs
from sklearn_xmr.datasets._fetch import fetch_eurlex57k, fetch_xmc
from sklearn_xmr.datasets._generator import make_xmc_classification
from sklearn_xmr.datasets._xmc_format import dump_xmc_file, load_xmc_file

__all__ = [
    "dump_xmc_file",
    "fetch_eurlex57k",
    "fetch_xmc",
    "load_api_docs",
    "load_xmc_file",
    "make_xmc_classification",
]
