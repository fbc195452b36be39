import numpy as np
import pytest
import scipy.sparse as sp
from _data import random_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from reference.label_embedding import graph_spectral

from sklearn_xmr import GraphSpectralEmbedding
from sklearn_xmr.label_embedding import _graph_spectral


@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 1000), st.data())
@settings(deadline=None, max_examples=60)
def test_equals_full_svd_on_connected_graphs(n_samples, n_labels, seed, data):
    rng = np.random.default_rng(seed)
    Y = (rng.random((n_samples, n_labels)) < 0.6).astype(float)
    Y[0] = 1  # row 0 has every label and every other row has one: connected
    Y[np.arange(n_samples), rng.integers(n_labels, size=n_samples)] = 1
    n_dims = data.draw(st.integers(1, min(Y.shape) - 1))
    A = Y / np.sqrt(Y.sum(axis=1))[:, None] / np.sqrt(Y.sum(axis=0))
    s = np.linalg.svd(A, compute_uv=False)
    s = np.append(s, 0)
    if np.min(-np.diff(s[: n_dims + 2])) < 1e-3:  # repeated or zero values leave the vectors open
        return
    Z = GraphSpectralEmbedding(n_dims).fit_transform(None, Y)
    expected = np.array(graph_spectral(Y, n_dims))
    signs = np.sign((Z * expected).sum(axis=0))
    assert_allclose(Z, expected * signs, atol=1e-3)


@pytest.mark.parametrize("shape", [(90, 40), (40, 90)])
@pytest.mark.parametrize("solver", ["dense", "iterative"])
def test_signs_and_solvers_equal_full_svd(shape, solver, monkeypatch):
    rng = np.random.default_rng(5)
    Y = (rng.random(shape) < 0.15).astype(float)
    Y[0, :30] = Y[:30, 0] = 1
    Y[:, 7] = 0
    if solver == "iterative":
        monkeypatch.setattr(_graph_spectral, "MAX_DENSE_SIZE", 0)
    embedding = GraphSpectralEmbedding(n_dims=6, random_state=0).fit(None, Y)
    # labels with one row are pendant; what matters is that the definition is met where it is unique
    assert_allclose(embedding.embedding_, graph_spectral(Y, 6), atol=1e-4)
    assert_array_equal(embedding.has_embedding_, np.arange(shape[1]) != 7)


def test_by_hand():
    # two labels share no instance but are linked by row 1: second pair of [[1,0],[1,1],[0,1]] scaled
    Y = np.array([[1, 0], [1, 1], [0, 1]])
    Z = GraphSpectralEmbedding(n_dims=1).fit_transform(None, Y)
    assert_allclose(np.sort(Z.ravel()), [-1, 1])


def blocks():
    rng = np.random.default_rng(0)
    parts = [(rng.random((12, 5)) < 0.5).astype(float) for _ in range(3)]
    for part in parts:
        part[0] = 1
    return sp.block_diag([sp.coo_array(part) for part in parts], format="csr").toarray(), np.repeat(
        [0, 1, 2], 5
    )


def test_components_are_told_apart_by_the_first_dimensions():
    Y, component = blocks()
    Z = GraphSpectralEmbedding(n_dims=2, random_state=0).fit_transform(None, Y)
    same = component[:, None] == component
    assert_allclose((Z @ Z.T)[same], 1, atol=1e-6)
    assert np.all((Z @ Z.T)[~same] < 0.5)
    # the dimensions are orthonormal singular vectors of value 1, orthogonal to the trivial one
    d1, d2 = Y.sum(axis=1), Y.sum(axis=0)
    V = _graph_spectral._right_singular_vectors(sp.csr_array(Y), 2, np.random.RandomState(0))
    A = Y / np.sqrt(np.where(d1 > 0, d1, 1))[:, None] / np.sqrt(d2)
    assert_allclose(V.T @ V, np.eye(2), atol=1e-12)
    assert_allclose(A.T @ (A @ V), V, atol=1e-12)
    assert_allclose(V.T @ np.sqrt(d2), 0, atol=1e-12)


def test_dimensions_beyond_the_components_come_by_singular_value():
    Y, _ = blocks()
    d1, d2 = Y.sum(axis=1), Y.sum(axis=0)
    A = Y / np.sqrt(np.where(d1 > 0, d1, 1))[:, None] / np.sqrt(d2)
    V = _graph_spectral._right_singular_vectors(sp.csr_array(Y), 5, np.random.RandomState(0))
    s = np.linalg.svd(A, compute_uv=False)
    assert_allclose(np.linalg.norm(A @ V, axis=0), s[1:6], atol=1e-10)
    assert_allclose(V.T @ V, np.eye(5), atol=1e-10)


def test_sample_order_does_not_matter_with_more_components_than_dimensions():
    Y = np.eye(30)[np.random.default_rng(0).permutation(60) % 30]
    order = np.random.default_rng(1).permutation(60)
    embedding = GraphSpectralEmbedding(n_dims=4, random_state=0)
    Z = embedding.fit_transform(None, Y)
    assert_allclose(embedding.fit_transform(None, Y[order]), Z, atol=1e-6)
    other = GraphSpectralEmbedding(n_dims=4, random_state=1).fit_transform(None, Y)
    assert not np.allclose(Z, other)


@pytest.mark.parametrize("shape", [(10, 8), (300, 200)])
def test_labels_that_all_have_the_same_instances_cannot_be_told_apart(shape):
    embedding = GraphSpectralEmbedding(random_state=0).fit(None, np.ones(shape))
    assert embedding.embedding_.shape == (shape[1], min(24, shape[1] - 1))
    assert not embedding.has_embedding_.any()


def test_label_at_the_origin_gets_no_row_of_noise():
    # a chain of five labels: by symmetry the middle one is 0 in the first dimension
    Y = np.zeros((4, 5))
    Y[np.arange(4), np.arange(4)] = Y[np.arange(4), np.arange(1, 5)] = 1
    embedding = GraphSpectralEmbedding(n_dims=1).fit(None, Y)
    assert_array_equal(embedding.has_embedding_, [True, True, False, True, True])


def test_graph_takes_the_place_of_y():
    _, Y = random_problem()
    graph = (Y.T @ Y).toarray()
    expected = np.array(graph_spectral(graph, 3))
    for given_graph in (graph, sp.csr_matrix(graph), sp.coo_array(graph)):
        embedding = GraphSpectralEmbedding(n_dims=3, graph=given_graph)
        assert_allclose(embedding.fit_transform(None), expected, atol=1e-4)
        assert_allclose(embedding.fit_transform(None, np.zeros((2, 12))), expected, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-100, 1e150])
def test_scale_of_a_graph_does_not_matter(scale):
    A = np.triu(np.random.default_rng(0).random((12, 12)), 1)
    graph = sp.csr_array(A + A.T)
    wanted = GraphSpectralEmbedding(3, graph=graph, random_state=0).fit_transform(None)
    scaled = GraphSpectralEmbedding(3, graph=graph * scale, random_state=0).fit_transform(None)
    np.testing.assert_allclose(scaled, wanted, rtol=1e-4, atol=1e-6)


def test_isolated_label_in_a_graph():
    graph = np.array([[0, 1, 0, 1.0], [1, 0, 0, 2], [0, 0, 0, 0], [1, 2, 0, 0]])
    embedding = GraphSpectralEmbedding(n_dims=2, graph=graph).fit(None)
    assert_array_equal(embedding.has_embedding_, [True, True, False, True])


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (np.ones((2, 3)), "graph must be square, got shape \\(2, 3\\)"),
        (np.array([[0, -1.0], [-1, 0]]), "graph must not have negative weights, got -1"),
        (np.array([[0, 1.0], [0.5, 0]]), "graph must be symmetric, got weights that differ by up to 0.5"),
        (np.zeros((2, 2)), "graph must have at least one edge"),
        (np.array([[0, np.nan], [np.nan, 0]]), "graph contains NaN"),
        (np.ones((3, 3)), "graph must have one row per label, got shape \\(3, 3\\) and 2 label"),
    ],
)
def test_bad_graph(graph, message):
    with pytest.raises(ValueError, match=message):
        GraphSpectralEmbedding(graph=graph).fit(None, np.eye(2))


def test_n_dims_default_fits_in_and_an_impossible_one_is_refused():
    _, Y = random_problem()
    assert GraphSpectralEmbedding().fit_transform(None, Y).shape == (12, 11)
    _, Y = random_problem(n_labels=40)
    assert GraphSpectralEmbedding().fit_transform(None, Y).shape == (40, 24)
    with pytest.raises(
        ValueError, match=r"n_dims must be smaller .* n_dims=40 for a matrix of shape \(60, 40\)"
    ):
        GraphSpectralEmbedding(40).fit(None, Y)
    with pytest.raises(ValueError, match="The 'n_dims' parameter of GraphSpectralEmbedding"):
        GraphSpectralEmbedding(0).fit(None, Y)
    with pytest.raises(ValueError, match="at least two samples and two labels, got n_samples=1"):
        GraphSpectralEmbedding().fit(None, [[1, 1]])


def test_same_seed_same_result():
    _, Y = random_problem(n_samples=1200, n_labels=200)
    assert _graph_spectral._component_vectors(Y)[2].size == 1  # so that all is left to the solver
    # in double precision, where another starting vector shows
    first, again, other = (
        _graph_spectral._right_singular_vectors(Y, 5, np.random.RandomState(seed)) for seed in (0, 0, 1)
    )
    assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    embedding = GraphSpectralEmbedding(n_dims=5, random_state=0)
    assert_array_equal(embedding.fit_transform(None, Y), embedding.fit_transform(None, Y))


def test_n_dims_of_numpy():
    Y = (np.random.default_rng(0).random((30, 10)) < 0.3).astype(int)
    few, same = (
        GraphSpectralEmbedding(n_dims, random_state=0).fit_transform(None, Y)
        for n_dims in (4, np.uint64(4))
    )
    np.testing.assert_array_equal(few, same)
