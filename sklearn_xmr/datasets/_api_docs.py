"""Text data that every user has: the docstrings of NumPy, SciPy and scikit-learn."""

import importlib
import inspect
import types
import warnings
from numbers import Integral, Real

import numpy as np
import scipy
import scipy.sparse as sp
import sklearn
from sklearn.utils import Bunch, check_random_state

from sklearn_xmr.datasets import _docstrings
from sklearn_xmr.utils._sklearn_private import Interval, validate_params

# Ordered: an object's label is named after the first module here that has it.
_MODULES = """
numpy numpy.linalg numpy.fft numpy.random numpy.polynomial numpy.polynomial.polynomial
numpy.polynomial.chebyshev numpy.polynomial.hermite numpy.polynomial.hermite_e
numpy.polynomial.laguerre numpy.polynomial.legendre numpy.ma numpy.strings numpy.char numpy.rec
numpy.lib.stride_tricks numpy.lib.recfunctions numpy.lib.format numpy.testing numpy.typing
scipy.cluster.hierarchy scipy.cluster.vq scipy.constants scipy.datasets scipy.differentiate scipy.fft
scipy.fftpack scipy.integrate scipy.interpolate scipy.io scipy.io.arff scipy.io.wavfile scipy.linalg
scipy.linalg.interpolative scipy.ndimage scipy.optimize scipy.optimize.elementwise scipy.signal
scipy.signal.windows scipy.sparse scipy.sparse.linalg scipy.sparse.csgraph scipy.spatial
scipy.spatial.distance scipy.spatial.transform scipy.special scipy.stats scipy.stats.contingency
scipy.stats.mstats scipy.stats.qmc scipy.stats.sampling
sklearn sklearn.base sklearn.calibration sklearn.cluster sklearn.compose sklearn.covariance
sklearn.cross_decomposition sklearn.datasets sklearn.decomposition sklearn.discriminant_analysis
sklearn.dummy sklearn.ensemble sklearn.exceptions sklearn.feature_extraction
sklearn.feature_extraction.image sklearn.feature_extraction.text sklearn.feature_selection
sklearn.frozen sklearn.gaussian_process sklearn.gaussian_process.kernels sklearn.impute
sklearn.inspection sklearn.isotonic sklearn.kernel_approximation sklearn.kernel_ridge
sklearn.linear_model sklearn.manifold sklearn.metrics sklearn.metrics.cluster
sklearn.metrics.pairwise sklearn.mixture sklearn.model_selection sklearn.multiclass
sklearn.multioutput sklearn.naive_bayes sklearn.neighbors sklearn.neural_network sklearn.pipeline
sklearn.preprocessing sklearn.random_projection sklearn.semi_supervised sklearn.svm sklearn.tree
sklearn.utils sklearn.utils.class_weight sklearn.utils.extmath sklearn.utils.graph
sklearn.utils.metadata_routing sklearn.utils.metaestimators sklearn.utils.multiclass
sklearn.utils.parallel sklearn.utils.random sklearn.utils.sparsefuncs sklearn.utils.validation
""".split()
# Whether these can be reached depends on what else the process has imported.
_EXPERIMENTAL = {"HalvingGridSearchCV", "HalvingRandomSearchCV", "IterativeImputer"}
_ROOTS = ("numpy", "scipy", "sklearn")
_MIN_WORDS, _MAX_WORDS = 12, 200
_MAX_OWNERS = 5  # a passage that more objects share is boilerplate


@validate_params(
    {
        "test_size": [Interval(Real, 0, 1, closed="neither")],
        "min_rows_per_label": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def load_api_docs(*, test_size=0.2, min_rows_per_label=2, random_state=0):
    """Load passages of the NumPy, SciPy and scikit-learn documentation with the functions they concern.

    The docstrings are taken from the *installed* packages, so nothing is downloaded, and the data
    depends on their versions (see ``versions`` of the result). Each public function, class and method is
    a label. Each paragraph of a docstring, or description of a parameter, that is long enough is a row;
    its labels are the object it belongs to and those that the object's *See Also* section names.

    Signatures, code, the *See Also* and *References* sections and the object's own name are not in
    the text, so that the task is to recognise what a passage is about. Passages that up to five objects
    share are one row with the labels of all; what more objects share is left out.

    Parameters
    ----------
    test_size : float, default=0.2
        Fraction of rows in the test set, in (0, 1).
    min_rows_per_label : int, default=2
        Labels with fewer rows are dropped, as are rows left without a label.
    random_state : int, RandomState instance or None, default=0
        Seed of the split.

    Returns
    -------
    Bunch
        With the attributes

        texts : ndarray of shape (n_samples,), dtype object
            Passages, as str.
        Y : csr_array of shape (n_samples, n_labels), dtype float32
            Label indicators.
        label_names : ndarray of shape (n_labels,), dtype object
            Qualified names, sorted, such as ``"scipy.sparse.linalg.spsolve"``. An object with several
            names has one label.
        train_indices, test_indices : ndarray of int
            The split, each in random order, so that folds without shuffling are fair. Rows are split at
            random; a label that would have no training row keeps one.
        versions : dict
            Version of each package.
        DESCR : str
            Description.

    Notes
    -----
    Importing all public modules takes a few seconds the first time.

    Examples
    --------
    >>> from sklearn_xmr.datasets import load_api_docs
    >>> data = load_api_docs()
    >>> data.Y.shape == (len(data.texts), len(data.label_names))
    True
    >>> "scipy.sparse.linalg.spsolve" in data.label_names
    True
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated modules and attributes warn when looked at
        objects, aliases = _public_objects()
    owners = {}
    related = {}
    for name, doc in objects.items():
        related[name] = {name, *_resolve(_docstrings.see_also(doc), name, aliases)}
        own_name = name.rpartition(".")[2]
        for text in _docstrings.passages(doc, own_name, min_words=_MIN_WORDS, max_words=_MAX_WORDS):
            owners.setdefault(text, set()).add(name)
    rows = [
        (text, set().union(*(related[name] for name in names)))
        for text, names in owners.items()
        if len(names) <= _MAX_OWNERS
    ]
    names, column = np.unique([name for _, labels in rows for name in sorted(labels)], return_inverse=True)
    indptr = np.cumsum([0, *(len(labels) for _, labels in rows)])
    Y = sp.csr_array((np.ones(column.size, np.float32), column, indptr), shape=(len(rows), names.size))
    row_ids, label_ids = _prune(Y, min_rows_per_label)
    Y = Y[row_ids][:, label_ids]
    Y = sp.csr_array((Y.data, Y.indices.astype(np.int32), Y.indptr.astype(np.int32)), shape=Y.shape)
    Y.sort_indices()
    train, test = _split(Y, test_size, check_random_state(random_state))
    return Bunch(
        texts=np.array([text for text, _ in rows], dtype=object)[row_ids],
        Y=Y,
        label_names=names[label_ids].astype(object),
        train_indices=train,
        test_indices=test,
        versions={package.__name__: package.__version__ for package in (np, scipy, sklearn)},
        DESCR=_DESCR,
    )


_DESCR = """Passages of the docstrings of the installed NumPy, SciPy and scikit-learn (BSD licences).

A row is a passage, its labels are the documented object and the objects in its See Also section.
Signatures, code, See Also, References and the object's own name are not part of the texts.
"""


def _public_objects():
    """Docstring of each public object under its first name, and all names -> first names."""
    docs = {}
    aliases = {}
    first_name = {}
    keep = []  # ids are unique only while the objects live

    def visit(value, name):
        if id(value) in first_name:
            aliases[name] = first_name[id(value)]
            return False
        doc = inspect.getdoc(value)
        if not doc:
            return False
        keep.append(value)
        first_name[id(value)] = aliases[name] = name
        docs[name] = doc
        return True

    for module_name in _MODULES:
        try:
            module = importlib.import_module(module_name)
        except ImportError:  # not in every supported version
            continue
        listed = getattr(module, "__all__", None)
        for attribute in sorted(listed or dir(module)):
            if attribute.startswith("_") or attribute in _EXPERIMENTAL:
                continue
            value = getattr(module, attribute, None)
            home = _home_of(value)
            # a module without __all__ also shows what it imports for its own use
            if not (home == module_name or (listed and home)):
                continue
            name = f"{module_name}.{attribute}"
            if visit(value, name) and inspect.isclass(value):
                for member, method in sorted(vars(value).items()):
                    method = getattr(method, "__func__", method)  # static and class methods
                    if not member.startswith("_") and callable(method):
                        visit(method, f"{name}.{member}")
    return docs, aliases


def _home_of(value):
    """Module that defines a callable of one of the packages; None for anything else."""
    if isinstance(value, types.ModuleType) or not callable(value):
        return None
    module = getattr(value, "__module__", None) or type(value).__module__
    return module if module.partition(".")[0] in _ROOTS else None


def _resolve(references, name, aliases):
    """First names of the objects that a See Also section in the docstring of `name` refers to."""
    found = set()
    for reference in references:
        if reference.startswith("np."):
            reference = "numpy." + reference[3:]
        scope = name
        while scope := scope.rpartition(".")[0]:
            if f"{scope}.{reference}" in aliases:
                found.add(aliases[f"{scope}.{reference}"])
                break
        else:
            if reference in aliases:
                found.add(aliases[reference])
    return found


def _prune(Y, min_rows):
    """Rows and labels left when rare labels, then rows without labels, go until nothing changes."""
    rows, labels = np.ones(Y.shape[0], bool), np.ones(Y.shape[1], bool)
    while True:
        counts = Y.T @ rows.astype(np.float32)
        kept = labels & (counts >= min_rows)
        rows &= Y @ kept.astype(np.float32) > 0
        if np.array_equal(kept, labels):
            return np.flatnonzero(rows), np.flatnonzero(labels)
        labels = kept


def _split(Y, test_size, rng):
    order = rng.permutation(Y.shape[0])
    in_test = np.zeros(Y.shape[0], bool)
    in_test[order[: round(test_size * order.size)]] = True
    columns = sp.csc_array(Y)
    for label in np.flatnonzero(columns.T @ (~in_test).astype(np.float32) == 0):
        in_test[columns.indices[columns.indptr[label]]] = False
    # in random order: the passages of a function are neighbours, which plain folds would cut off
    return order[~in_test[order]], order[in_test[order]]
