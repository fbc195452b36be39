"""Sparse matrices that point outside of themselves are refused, in every format and by everything."""

import numpy as np
import pytest
import scipy.sparse as sp
from _data import classifier

from sklearn_xmr import (
    PIFA,
    PII,
    CalibratedXMRClassifier,
    GraphSpectralEmbedding,
    HierarchicalKMeans,
    LabelTree,
)
from sklearn_xmr.metrics import precision_at_k, topk


@pytest.mark.parametrize("index", [-1, 60, 10**6])
def test_column_indices_outside_of_the_matrix_are_refused(problem, fitted, index):
    X, Y = problem
    broken_X, broken_Y = X.copy(), Y.copy()
    broken_X.indices[7] = broken_Y.indices[7] = index
    with pytest.raises(ValueError, match=rf"X must have column indices in \[0, 60\), got {index}"):
        fitted.predict_topk(broken_X)
    with pytest.raises(ValueError, match="X must have column indices"):
        classifier().fit(broken_X, Y)
    with pytest.raises(ValueError, match=rf"y must have column indices in \[0, 40\), got {index}"):
        classifier().fit(X, broken_Y)
    with pytest.raises(ValueError, match="labels must have column indices"):
        fitted.predict_topk(X, labels=broken_Y)


def start_at_1(indptr):
    indptr[0] = 1


def go_far_back(indptr):
    indptr[1] = -(2**30)


def fall(indptr):
    indptr[2] = indptr[3] + 2


def end_behind_the_entries(indptr):
    indptr[-1] += 1


BROKEN_POINTERS = [start_at_1, go_far_back, fall, end_behind_the_entries]


@pytest.mark.parametrize("spoil", BROKEN_POINTERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8])  # which SciPy converts or does not
@pytest.mark.parametrize("container", [sp.csr_array, sp.csc_array, sp.csr_matrix])
def test_pointers_outside_of_the_matrix_are_refused(problem, fitted, spoil, dtype, container):
    X, Y = problem
    broken_X, broken_Y = (container(matrix, dtype=dtype, copy=True) for matrix in problem)
    spoil(broken_X.indptr)
    spoil(broken_Y.indptr)
    message = rf"X must have pointers \(indptr\) that start at 0, .* {broken_X.indices.size}, got"
    with pytest.raises(ValueError, match=message):
        fitted.predict_topk(broken_X)
    with pytest.raises(ValueError, match="X must have pointers"):
        classifier().fit(broken_X, Y)
    with pytest.raises(ValueError, match="y must have pointers"):
        classifier().fit(X, broken_Y)
    with pytest.raises(ValueError, match="labels must have pointers"):
        fitted.predict_topk(X, labels=broken_Y)


@pytest.mark.parametrize("index", [-1, 300, 10**6])
def test_row_indices_outside_of_the_matrix_are_refused(problem, fitted, index):
    X, Y = problem
    broken = sp.csc_array(X, copy=True)
    broken.indices[7] = index
    for call in (lambda: fitted.predict_topk(broken), lambda: classifier().fit(broken, Y)):
        with pytest.raises(ValueError, match=rf"X must have row indices in \[0, 300\), got {index}"):
            call()


def out_of_range(container, index, n):
    """Of shape (n, n), its first entry in a column that it does not have."""
    broken = container(sp.eye_array(n, format="csr", dtype=np.float32), copy=True)
    if broken.format == "lil":
        broken.rows[0] = [index]
    else:
        (broken.col if broken.format == "coo" else broken.indices)[0] = index
    return broken


@pytest.mark.parametrize("container", [sp.bsr_array, sp.coo_array, sp.lil_array])
@pytest.mark.parametrize("index", [60, 10**8])
def test_other_formats_that_point_outside_are_refused(container, index):
    broken, eye = out_of_range(container, index, 60), sp.eye_array(60, format="csr")
    model, calibrated = classifier().fit(eye, eye), CalibratedXMRClassifier(classifier(), cv=2)
    calls = (lambda: model.predict_topk(broken), lambda: classifier().fit(broken, eye),
             lambda: classifier().fit(eye, broken), lambda: precision_at_k(broken, eye, k=1),
             lambda: topk(broken, 1), *calls_with(broken),
             lambda: calibrated.fit(broken, eye),
             lambda: calibrated.fit(eye, eye, relevance=broken))  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match=rf"must have column indices in \[0, 60\), got {index}"):
            call()


def test_blocks_are_counted():
    X = sp.bsr_array(np.kron(np.eye(3), np.ones((2, 4))).astype(np.float32), blocksize=(2, 4))
    Y = np.arange(6) % 2
    expected = classifier().fit(X.toarray(), Y).predict_topk(X.toarray())
    np.testing.assert_array_equal(classifier().fit(X, Y).predict_topk(X)[1], expected[1])
    X.indices[1] = 3
    with pytest.raises(ValueError, match=r"X must have column indices in \[0, 3\), got 3"):
        classifier().fit(X, Y)


@pytest.mark.parametrize("container", [sp.csr_array, sp.csc_array, sp.bsr_array])
def test_another_number_of_pointers_is_refused(container):
    X, Y = sp.eye_array(6, format="csr", dtype=np.float32), np.arange(6) % 2
    model = classifier().fit(X, Y)
    broken = container(X, copy=True)
    broken.indptr = np.append(broken.indptr, broken.indptr[-1])
    for call in (lambda: model.predict(broken), lambda: classifier().fit(broken, Y)):
        with pytest.raises(ValueError, match=r"X must have 7 pointers \(indptr\), got 8"):
            call()


def test_indices_of_the_other_byte_order(problem):
    X, Y = problem
    swapped = sp.csr_array(X, copy=True)
    swapped.indices = swapped.indices.astype(swapped.indices.dtype.newbyteorder())
    model = classifier().fit(X, Y)
    np.testing.assert_array_equal(model.predict_topk(swapped)[1], model.predict_topk(X)[1])
    np.testing.assert_array_equal(classifier().fit(swapped, Y).coefs_[0].data, model.coefs_[0].data)


def calls_with(broken):
    """Of embeddings and indexers, with a broken matrix of 60 rows and columns."""
    square = sp.eye_array(60, format="csr")
    Y = np.eye(60, dtype=int)
    clusters = HierarchicalKMeans(max_leaf_size=20, random_state=0).fit(square)
    tree = clusters.tree_
    return (
        lambda: PIFA().fit_transform(broken, Y),
        lambda: PIFA().fit(square, Y).transform(broken),
        lambda: PII().fit_transform(square, broken),
        lambda: GraphSpectralEmbedding(2, graph=broken).fit_transform(None),
        lambda: clusters.transform(broken),
        lambda: HierarchicalKMeans().fit(broken),
        lambda: tree.propagate(broken),
        lambda: tree.lift_sums(broken, tree.n_levels),
        lambda: LabelTree.from_assignments([np.ones((60, 1)), broken]),
    )


@pytest.mark.parametrize("index", [-1, 60, 10**6])
def test_embeddings_and_indexers_refuse_such_columns(index):
    broken = sp.eye_array(60, format="csr").copy()
    broken.indices = broken.indices.copy()
    broken.indices[7] = index
    for call in calls_with(broken):
        with pytest.raises(ValueError, match=rf"must have column indices in \[0, 60\), got {index}"):
            call()


@pytest.mark.parametrize("spoil", BROKEN_POINTERS)
def test_embeddings_and_indexers_refuse_such_pointers(spoil):
    broken = sp.eye_array(60, format="csr").copy()
    broken.indptr = broken.indptr.copy()
    spoil(broken.indptr)
    for call in calls_with(broken):
        with pytest.raises(ValueError, match="must have pointers"):
            call()
