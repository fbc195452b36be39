"""What a bug report needs to know about an installation."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from sklearn_xmr.utils._openmp_helpers import openmp_enabled
from sklearn_xmr.utils._simd import simd_variant
from sklearn_xmr.utils._threads import effective_n_threads

_PACKAGES = (
    "sklearn-xmr", "numpy", "scipy", "scikit-learn", "joblib", "torch", "transformers",
)  # fmt: skip


def show_versions():
    """Print the versions of Python, the dependencies and the kernels' set-up.

    Examples
    --------
    >>> import sklearn_xmr
    >>> sklearn_xmr.show_versions()
    python: ...
    """
    lines = {"python": sys.version.split()[0], "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            lines[package] = version(package)
        except PackageNotFoundError:
            lines[package] = "not installed"
    lines["simd"] = simd_variant()
    lines["openmp"] = "yes" if openmp_enabled() else "no"
    lines["threads"] = str(effective_n_threads())
    sys.stdout.write("\n".join(f"{key}: {value}" for key, value in lines.items()) + "\n")
