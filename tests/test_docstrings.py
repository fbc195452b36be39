"""All that is public is documented in numpydoc's form, fitted attributes included."""

import importlib
import inspect

import numpy as np
import pytest
from numpydoc.docscrape import ClassDoc
from numpydoc.validate import validate

from sklearn_xmr import (
    PIFA,
    PII,
    CalibratedXMRClassifier,
    GraphSpectralEmbedding,
    HierarchicalKMeans,
    LabelSetClassifier,
    LabelTextEmbedding,
    OverlappingIndexer,
    XMREnsembleClassifier,
    XRLinearClassifier,
)

#: Codes that do not count, and why.
IGNORED = {
    "ES01": "a summary that says all needs no extended one",
    "EX01": "examples stand where they help: in classes and functions, rarely in methods",
    "RT02": "returned values have names, as in scikit-learn",
    "SA01": "See Also where it helps",
}


def public_names(module="sklearn_xmr"):
    """Dotted names of everything public, subpackages' names included."""
    namespace = importlib.import_module(module)
    for name in namespace.__all__:
        value = getattr(namespace, name)
        if inspect.ismodule(value):
            yield from public_names(value.__name__)
        elif inspect.isroutine(value):
            yield f"{module}.{name}"
        elif inspect.isclass(value):
            yield f"{module}.{name}"
            yield from (f"{module}.{name}.{member}" for member in own_members(value))


def own_members(cls):
    """Public methods and properties that are written in this library, not in scikit-learn."""
    for name in dir(cls):
        member = inspect.getattr_static(cls, name)
        member = getattr(member, "__func__", None) or getattr(member, "fget", None) or getattr(cls, name)
        module = getattr(member, "__module__", None) or ""
        if not name.startswith("_") and inspect.isroutine(member) and module.startswith("sklearn_xmr"):
            yield name


def problems(name):
    """Codes and messages that numpydoc reports for a name, without the ignored ones."""
    return [error for error in validate(name)["errors"] if error[0] not in IGNORED]


@pytest.mark.parametrize("name", sorted(set(public_names())))
def test_docstring(name):
    assert problems(name) == []


def test_the_walk_reaches_all_kinds():
    names = set(public_names())
    for expected in (
        "XRLinearClassifier",
        "XRLinearClassifier.fit",  # inherited from our base class
        "XRLinearClassifier.predict_proba",  # behind available_if
        "XRLinearClassifier.coefs_",  # a property
        "LabelTree.from_paths",  # a class method
        "metrics.precision_at_k",
        "show_versions",
    ):
        assert f"sklearn_xmr.{expected}" in names
    assert "sklearn_xmr.XRLinearClassifier.get_params" not in names


@pytest.mark.parametrize(
    "estimator",
    [
        CalibratedXMRClassifier(XRLinearClassifier()),
        GraphSpectralEmbedding(),
        HierarchicalKMeans(),
        LabelSetClassifier(XRLinearClassifier()),
        LabelTextEmbedding(["first", "second", "third"]),
        OverlappingIndexer(),
        PIFA(),
        PII(),
        XMREnsembleClassifier(),
        XRLinearClassifier(),
    ],
)
def test_fitted_attributes_are_documented(estimator):
    estimator.fit(np.eye(6), np.tile(np.eye(3, dtype=int), (2, 1)))
    documented = {entry.name for entry in ClassDoc(type(estimator))["Attributes"]}
    fitted = {name for name in dir(estimator) if name.endswith("_") and not name.startswith("_")}
    if hasattr(estimator, "n_features_in_"):
        documented.remove("feature_names_in_")  # X has no column names here
    assert documented == fitted


class Undocumented:
    """A class whose method lacks what the check must find."""

    def method(self, value):
        """Do something."""


def test_the_check_finds_faults():
    codes = {code for code, _ in problems(f"{__name__}.Undocumented.method")}
    assert codes == {"PR01"}
