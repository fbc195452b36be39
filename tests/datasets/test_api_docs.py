import hashlib
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from sklearn_xmr.datasets import _api_docs, load_api_docs


@pytest.fixture(scope="module")
def data():
    return load_api_docs()


def rows_of(data, name):
    label = np.flatnonzero(data.label_names == name).item()
    return np.flatnonzero(data.Y[:, [label]].toarray().ravel())


def test_size_and_types(data):
    n_samples, n_labels = data.Y.shape
    assert n_samples > 12_000 and n_labels > 2_500
    assert data.texts.shape == (n_samples,) and data.label_names.shape == (n_labels,)
    assert data.Y.format == "csr" and data.Y.dtype == np.float32
    assert data.Y.indices.dtype == data.Y.indptr.dtype == np.int32
    assert_array_equal(data.Y.data, 1)
    assert data.Y.has_canonical_format
    assert np.diff(data.Y.indptr).min() >= 1
    assert data.Y.sum(axis=0).min() >= 2
    assert {type(text) for text in data.texts} == {str} == {type(name) for name in data.label_names}
    assert set(data.versions) == {"numpy", "scipy", "sklearn"}
    assert "docstrings" in data.DESCR


def test_label_names_are_unique_sorted_and_canonical(data):
    names = list(data.label_names)
    assert names == sorted(set(names))
    assert {"scipy.sparse.linalg.spsolve", "numpy.linalg.svd", "sklearn.svm.LinearSVC"} <= set(names)
    assert {"scipy.stats.norm", "numpy.add", "numpy.ndarray.sum"} <= set(names)
    assert "numpy.ma.MaskedArray" in names and "numpy.ma.core.MaskedArray" not in names
    assert not any("._" in name for name in names)


def test_rows_carry_the_object_and_its_see_also(data):
    labels_of_rows = [
        set(data.label_names[data.Y[[row]].indices]) for row in rows_of(data, "numpy.linalg.lstsq")
    ]
    # lstsq refers to scipy.linalg.lstsq
    assert any("scipy.linalg.lstsq" in labels for labels in labels_of_rows)


def test_own_name_is_not_in_the_text(data):
    """Rows with one label are nearly all owned by it (the others' owner was too rare to be a label)."""
    single = np.flatnonzero(np.diff(data.Y.indptr) == 1)
    owners = data.label_names[data.Y.indices[data.Y.indptr[single]]]
    leaks = [
        owner
        for owner, text in zip(owners, data.texts[single], strict=True)
        if owner.rpartition(".")[2] in text.split()
    ]
    assert single.size > 1000 and len(leaks) < 0.001 * single.size


def test_texts_are_distinct_prose(data):
    assert len(set(data.texts)) == len(data.texts)
    assert not any(">>>" in text for text in data.texts)
    assert min(len(text.split()) for text in data.texts) >= 12


def test_split(data):
    both = np.concatenate([data.train_indices, data.test_indices])
    assert_array_equal(np.sort(both), np.arange(len(data.texts)))
    assert 0.15 < data.test_indices.size / both.size <= 0.2001
    assert data.Y[data.train_indices].sum(axis=0).min() >= 1
    for indices in (data.train_indices, data.test_indices):  # no order that consecutive folds would follow
        assert abs(np.corrcoef(np.arange(indices.size), indices)[0, 1]) < 0.1


def test_same_in_a_fresh_process(data):
    code = (
        "import hashlib\n"
        "from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer\n"
        "from sklearn_xmr.datasets import load_api_docs\n"
        "d = load_api_docs()\n"
        "print(hashlib.sha256(repr((list(d.texts), list(d.label_names), d.Y.indices.tolist(),"
        " d.test_indices.tolist())).encode()).hexdigest())"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    content = (
        list(data.texts),
        list(data.label_names),
        data.Y.indices.tolist(),
        data.test_indices.tolist(),
    )
    assert output.stdout.strip() == hashlib.sha256(repr(content).encode()).hexdigest()


def test_a_centroid_classifier_does_far_better_than_chance(data):
    vectorizer = TfidfVectorizer(sublinear_tf=True)
    X_train = vectorizer.fit_transform(data.texts[data.train_indices])
    test = data.test_indices[::4]
    centroids = normalize(data.Y[data.train_indices].T @ X_train)
    best = (vectorizer.transform(data.texts[test]) @ centroids.T).toarray().argmax(axis=1)
    precision = np.mean(data.Y[test].toarray()[np.arange(test.size), best])
    frequent = data.Y[data.train_indices].sum(axis=0).argmax()
    assert precision > 0.2 > 5 * data.Y[test][:, [frequent]].sum() / test.size


def test_arguments(data):
    other = load_api_docs(test_size=0.5, min_rows_per_label=20, random_state=1)
    assert other.Y.sum(axis=0).min() >= 20
    assert other.Y.shape[1] < data.Y.shape[1]
    assert abs(other.test_indices.size / len(other.texts) - 0.5) < 0.05
    with pytest.raises(ValueError, match="'test_size' parameter"):
        load_api_docs(test_size=1.0)


def test_prune_goes_on_until_nothing_changes():
    # label 0 is rare; its row goes, which makes label 1 rare, and so on
    Y = sp.csr_array(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]], dtype=np.float32))
    rows, labels = _api_docs._prune(Y, 2)
    assert_array_equal(rows, [2, 3])
    assert_array_equal(labels, [2])


def test_resolve_prefers_the_nearest_scope():
    aliases = {
        "numpy.sum": "numpy.sum",
        "numpy.ma.sum": "numpy.ma.sum",
        "numpy.ma.mean": "numpy.ma.mean",
        "scipy.linalg.det": "scipy.linalg.det",
    }
    references = ["sum", "np.sum", "scipy.linalg.det", "linalg.det", "unknown"]
    assert _api_docs._resolve(references, "numpy.ma.mean", aliases) == {
        "numpy.ma.sum",
        "numpy.sum",
        "scipy.linalg.det",
    }
