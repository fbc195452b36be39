import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.hierarchical_kmeans import hierarchical_kmeans, nearest_leaf
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits

from sklearn_xmr import HierarchicalKMeans
from sklearn_xmr.indexing import _hierarchical_kmeans
from sklearn_xmr.indexing._label_rows import row_factors


def random_vectors(n_labels, n_dims, *, density=1.0, random_state=0):
    """Rows with continuous entries, so that no two projections of any consequence are equal."""
    rng = np.random.default_rng(random_state)
    Z = rng.normal(size=(n_labels, n_dims)) * (rng.random((n_labels, n_dims)) < density)
    return Z.astype(np.float32)


def check_invariants(indexer, n_labels):
    tree, labels = indexer.tree_, indexer.labels_
    n_leaves = tree.n_nodes[-2]
    sizes = np.bincount(labels, minlength=n_leaves)
    assert labels.size == tree.n_labels == n_labels
    assert sizes.size == n_leaves
    assert sizes.min() >= 1
    assert sizes.max() <= indexer.max_leaf_size
    assert sizes.max() - sizes.min() <= 1
    assert tree.leaf_sizes.tolist() == sizes.tolist()
    np.testing.assert_array_equal(tree.label_leaves(), labels)
    for ptr in tree.child_ptr[:-1]:
        fan_outs = np.diff(ptr)
        assert fan_outs.min() == fan_outs.max() <= (indexer.branching_factor or 128)
    for start, end in zip(tree.child_ptr[-1][:-1], tree.child_ptr[-1][1:], strict=True):
        assert np.all(np.diff(tree.slot_labels[start:end]) > 0)
    assert 1 <= indexer.n_iter_ <= indexer.max_iter
    assert indexer.leaf_centers_.shape[0] == n_leaves


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("spherical", [True, False])
@pytest.mark.parametrize(
    ("n_labels", "max_leaf_size", "parameters"),
    [
        (40, 5, {"tol": 0}),
        (61, 4, {"tol": 0.2, "n_init": 3}),
        (61, 20, {"tol": 0.1}),
        (64, 10, {"tol": 0, "n_init": 2, "max_iter": 2}),
        (33, 2, {"tol": 0, "max_iter": 1}),
        (12, 12, {"tol": 0}),
        (13, 12, {"tol": 1, "n_init": 2}),
        (61, 4, {"tol": 0, "sample_size": 7}),
        (95, 10, {"tol": 0.1, "sample_size": 4, "n_init": 2}),
        (95, 10, {"tol": 0, "sample_size": 4, "max_iter": 1}),
        (40, 5, {"tol": 0, "sample_size": None}),
        (21, 3, {"tol": 0, "sample_size": 2}),
    ],
)
@pytest.mark.parametrize("spread", [1, 30])  # deep nodes of wide rows visit only the columns in use
def test_against_plain_loops(n_labels, max_leaf_size, parameters, spread, spherical, container):
    Z = np.zeros((n_labels, 7 * spread), dtype=np.float32)
    Z[:, ::spread] = random_vectors(n_labels, 7, density=0.7, random_state=n_labels)
    Z[[3, 8]] = 0
    # another seed may find the same halves in two starts, mirrored, and keep either
    indexer = HierarchicalKMeans(
        max_leaf_size=max_leaf_size, spherical=spherical, random_state=6, **parameters
    ).fit(container(Z))
    leaves, n_iter = hierarchical_kmeans(
        Z, max_leaf_size=max_leaf_size, spherical=spherical, random_state=6, **parameters
    )
    assert indexer.labels_.tolist() == leaves
    assert indexer.n_iter_ == n_iter
    new = random_vectors(30, 7 * spread, random_state=1)
    placed = indexer.transform(container(new)).indices
    assert placed.tolist() == nearest_leaf(new, leaves, Z, spherical)
    check_invariants(indexer, n_labels)


@settings(deadline=None, max_examples=60)
@given(
    n_labels=st.integers(1, 150),
    n_dims=st.integers(1, 12),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    log_branching=st.integers(1, 4),
    max_leaf_size=st.integers(2, 40),
    spherical=st.booleans(),
    sparse=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_invariants(n_labels, n_dims, density, log_branching, max_leaf_size, spherical, sparse, seed):
    Z = np.round(random_vectors(n_labels, n_dims, density=density, random_state=seed), 1)  # many ties
    indexer = HierarchicalKMeans(
        2**log_branching, max_leaf_size, spherical=spherical, n_init=2, max_iter=5, random_state=seed
    ).fit(sp.csr_array(Z) if sparse else Z)
    check_invariants(indexer, n_labels)
    n_bits = (indexer.tree_.n_nodes[-2] - 1).bit_length()
    assert indexer.tree_.n_levels - 1 == -(-n_bits // log_branching)


# More stored values than the kernel leaves to one thread. Large nodes sweep over all columns, in the
# wide sparse problem small ones walk lists of touched columns.
@pytest.mark.parametrize(
    "Z",
    [random_vectors(5000, 15), sp.csr_array(random_vectors(5000, 15)),
     sp.random_array((4000, 6000), density=0.004, rng=np.random.default_rng(0), format="csr")],
    ids=["dense", "sparse", "wide"],
)  # fmt: skip
@pytest.mark.parametrize("spherical", [True, False])
def test_same_tree_for_any_number_of_threads(monkeypatch, Z, spherical):
    trees = []
    for n_threads in (1, 2, 3, 8):
        monkeypatch.setattr(_hierarchical_kmeans, "effective_n_threads", lambda n=n_threads: n)
        indexer = HierarchicalKMeans(max_leaf_size=200, spherical=spherical, max_iter=6, random_state=0)
        trees.append(indexer.fit(Z).tree_)
    assert all(tree == trees[0] for tree in trees)


def test_same_tree_under_threadpool_limits():
    Z = random_vectors(4000, 20)
    indexer = HierarchicalKMeans(max_leaf_size=500, max_iter=5, random_state=0)
    with threadpool_limits(1):
        tree = indexer.fit(Z).tree_
    assert indexer.fit(Z).tree_ == tree


def test_fit_from_several_threads_at_once():
    Z = random_vectors(4000, 20)
    indexer = HierarchicalKMeans(max_leaf_size=500, max_iter=3, random_state=0)
    tree = indexer.fit(Z).tree_
    fit = delayed(lambda: clone(indexer).fit(Z).tree_)
    assert all(found == tree for found in Parallel(n_jobs=2, prefer="threads")(fit() for _ in range(4)))


def test_finds_planted_groups():
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(np.arange(8), 25))
    # eight well-separated directions, in four pairs of two: every binary cut is a clear one
    means = np.repeat(np.eye(4), 2, axis=0)
    means = np.hstack([means * 3, np.eye(8)])
    Z = means[groups] + 0.01 * rng.normal(size=(200, 12))
    indexer = HierarchicalKMeans(max_leaf_size=25, n_init=10, random_state=0).fit(Z)
    for group in range(8):
        assert len(np.unique(indexer.labels_[groups == group])) == 1
    np.testing.assert_array_equal(indexer.transform(Z).indices, indexer.labels_)


def test_more_starts_do_not_lower_the_objective():
    Z = random_vectors(200, 10)
    Z /= np.linalg.norm(Z, axis=1, keepdims=True)

    def objective(n_init):
        indexer = HierarchicalKMeans(max_leaf_size=100, n_init=n_init, random_state=3).fit(Z)
        return sum(np.linalg.norm(Z[indexer.labels_ == leaf].sum(axis=0)) for leaf in (0, 1))

    # one node, and the first start of ten is drawn like the only start of one
    values = [objective(n_init) for n_init in (1, 10)]
    assert values[1] > values[0]


def test_random_state():
    Z = random_vectors(100, 10)
    make = lambda seed: HierarchicalKMeans(max_leaf_size=10, random_state=seed).fit(Z).tree_  # noqa: E731
    assert make(0) == make(0)
    assert make(0) == make(np.random.RandomState(0))
    assert make(0) != make(1)


def test_row_length_matters_only_without_spherical():
    Z = random_vectors(80, 6)
    scaled = Z * 2.0 ** np.random.default_rng(0).integers(-6, 6, size=(80, 1))
    spherical = HierarchicalKMeans(max_leaf_size=10, random_state=0)
    assert spherical.fit(Z).tree_ == spherical.fit(scaled).tree_
    plain = HierarchicalKMeans(max_leaf_size=10, spherical=False, random_state=0)
    assert plain.fit(Z).tree_ != plain.fit(scaled).tree_
    # one factor for all changes nothing, even near the ends of the range of float32
    for factor in (2.0**-90, 2.0**90):
        assert plain.fit(Z).tree_ == plain.fit(Z * np.float32(factor)).tree_


def test_max_iter_acts():
    Z = random_vectors(300, 20)
    one = HierarchicalKMeans(max_leaf_size=50, max_iter=1, tol=0, random_state=0).fit(Z)
    many = HierarchicalKMeans(max_leaf_size=50, max_iter=50, tol=0, random_state=0).fit(Z)
    assert one.n_iter_ == 1 < many.n_iter_ < 50
    assert one.tree_ != many.tree_


def test_tol_acts():
    Z = random_vectors(300, 20)
    n_iter = [
        HierarchicalKMeans(max_leaf_size=150, tol=tol, random_state=0).fit(Z).n_iter_
        for tol in (1, 0.05, 0.02, 0)
    ]
    assert n_iter[0] == 2  # the second pass is the first that can move a label
    assert n_iter == sorted(n_iter)
    assert n_iter[-1] > n_iter[1] > 2


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("max_leaf_size", [8, 100])
def test_build_tree_is_fit_without_the_rest(container, max_leaf_size):
    Z = container(random_vectors(90, 8))
    indexer = HierarchicalKMeans(max_leaf_size=max_leaf_size, random_state=0)
    tree = indexer.build_tree(Z)
    assert not hasattr(indexer, "tree_")
    assert not hasattr(indexer, "n_features_in_")
    assert tree == indexer.fit(Z).tree_
    before = dict(vars(indexer))
    indexer.build_tree(random_vectors(50, 3))
    assert vars(indexer) == before


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_factors_of_rows(container):
    Z = random_vectors(500, 40, density=0.4)
    Z[7] = 0
    Z[8] *= np.float32(1e30)  # its square exceeds float32
    squares = np.sum(np.square(Z, dtype=np.float64), axis=1)
    known = np.flatnonzero(squares)
    factors = row_factors(container(Z), spherical=True)
    assert factors[7] == 0
    np.testing.assert_allclose(factors[known], 1 / np.sqrt(squares[known]), rtol=1e-12)


@pytest.mark.parametrize("spherical", [True, False])
def test_centers(spherical):
    Z = random_vectors(60, 8, density=0.6)
    Z[[0, 30]] = 0
    dense = HierarchicalKMeans(max_leaf_size=8, spherical=spherical, random_state=0).fit(Z)
    sparse = HierarchicalKMeans(max_leaf_size=8, spherical=spherical, random_state=0).fit(sp.csr_array(Z))
    assert isinstance(dense.leaf_centers_, np.ndarray)
    assert sp.issparse(sparse.leaf_centers_)
    assert dense.leaf_centers_.dtype == sparse.leaf_centers_.dtype == np.float32
    np.testing.assert_allclose(sparse.leaf_centers_.toarray(), dense.leaf_centers_, atol=1e-6)
    for leaf, found in enumerate(dense.leaf_centers_):
        inside = Z[(dense.labels_ == leaf) & Z.any(axis=1)]
        if spherical:
            expected = (inside / np.linalg.norm(inside, axis=1, keepdims=True)).sum(axis=0)
            expected /= np.linalg.norm(expected)
        else:
            expected = inside.mean(axis=0)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_transform_in_blocks(monkeypatch):
    Z = random_vectors(70, 9)
    indexer = HierarchicalKMeans(max_leaf_size=8, random_state=0).fit(Z)
    whole = indexer.transform(Z)
    monkeypatch.setattr(_hierarchical_kmeans, "_BLOCK_ENTRIES", 50)
    np.testing.assert_array_equal(indexer.transform(Z).toarray(), whole.toarray())
    np.testing.assert_array_equal(indexer.transform(sp.csr_array(Z)).toarray(), whole.toarray())


@pytest.mark.parametrize("scale", [1e-25, 1e20])
@pytest.mark.parametrize("spherical", [True, False])
def test_transform_does_not_depend_on_the_scale(scale, spherical):
    Z = np.random.default_rng(0).normal(size=(40, 5))
    indexer = HierarchicalKMeans(max_leaf_size=5, spherical=spherical, random_state=0)
    wanted = indexer.fit_transform(Z).toarray()
    np.testing.assert_array_equal(indexer.fit_transform(Z * scale).toarray(), wanted)


def test_zero_row_goes_to_the_first_leaf_in_transform():
    indexer = HierarchicalKMeans(max_leaf_size=8, random_state=0).fit(np.abs(random_vectors(70, 9)))
    assert indexer.transform(np.zeros((2, 9))).indices.tolist() == [0, 0]


@pytest.mark.parametrize("n_labels", [1, 5])
def test_few_labels_make_a_flat_tree(n_labels):
    indexer = HierarchicalKMeans(max_leaf_size=5).fit(random_vectors(n_labels, 3))
    assert indexer.tree_.n_nodes == (1, n_labels)
    assert indexer.labels_.tolist() == [0] * n_labels
    assert indexer.transform(random_vectors(4, 3)).shape == (4, 1)


def test_identical_rows_are_split_by_label():
    indexer = HierarchicalKMeans(max_leaf_size=2, random_state=0).fit(np.ones((8, 3)))
    assert indexer.labels_.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_all_rows_zero(container):
    indexer = HierarchicalKMeans(max_leaf_size=3, random_state=0).fit(container(np.zeros((10, 4))))
    # the first four labels stand for the four leaves, the others follow in turn
    assert indexer.labels_.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


def test_zero_rows_do_not_disturb_the_others():
    Z = random_vectors(64, 6)
    alone = HierarchicalKMeans(max_leaf_size=20, random_state=0).fit(Z)
    gaps = np.zeros((70, 6), dtype=np.float32)
    kept = np.setdiff1d(np.arange(70), [0, 9, 20, 21, 33, 69])
    gaps[kept] = Z
    indexer = HierarchicalKMeans(max_leaf_size=20, random_state=0).fit(gaps)
    np.testing.assert_array_equal(indexer.labels_[kept], alone.labels_)
    assert indexer.labels_[[0, 9, 20, 21, 33, 69]].tolist() == [0, 1, 2, 3, 0, 1]


def test_duplicate_entries_and_explicit_zeros():
    Z = sp.csr_array(random_vectors(40, 6, density=0.5))
    data, indices = np.repeat(Z.data / 2, 2), np.repeat(Z.indices, 2)
    messy = sp.csr_array((data, indices, Z.indptr * 2), shape=Z.shape)
    indexer = HierarchicalKMeans(max_leaf_size=5, random_state=0)
    assert indexer.fit(messy).tree_ == indexer.fit(Z).tree_
    assert messy.nnz == 2 * Z.nnz  # the caller's matrix is left alone
    zeros = sp.csr_array((np.zeros(4), ([1, 1, 2, 3], [0, 1, 2, 3])), shape=(8, 4))
    assert indexer.fit(zeros).labels_.tolist() == [0, 1, 0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"branching_factor": 12}, "branching_factor must be a power of two .* got 12"),
        ({"branching_factor": 1}, "'branching_factor' parameter of HierarchicalKMeans must be an int in"),
        ({"max_leaf_size": 1}, "'max_leaf_size' parameter"),
        ({"spherical": "cosine"}, "'spherical' parameter"),
        ({"max_iter": 0}, "'max_iter' parameter"),
        ({"tol": -0.1}, "'tol' parameter"),
        ({"tol": 1.5}, "'tol' parameter"),
        ({"n_init": 0}, "'n_init' parameter"),
        ({"random_state": "seed"}, "'random_state' parameter"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        HierarchicalKMeans(**parameters).fit(random_vectors(10, 3))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_refuses_values_that_are_not_finite(value):
    Z = random_vectors(10, 3).astype(float)
    Z[4, 1] = value
    for bad in (Z, sp.csr_array(Z)):
        with pytest.raises(ValueError, match=r"Input Z contains (NaN|infinity)"):
            HierarchicalKMeans().fit(bad)


def test_transform_checks_the_number_of_columns():
    indexer = HierarchicalKMeans().fit(random_vectors(10, 3))
    with pytest.raises(ValueError, match="X has 4 features, but HierarchicalKMeans is expecting 3"):
        indexer.transform(random_vectors(2, 4))


@pytest.mark.parametrize("index", [-1, 3])
def test_refuses_column_indices_outside_of_the_matrix(index):
    Z = sp.csr_array(random_vectors(10, 3))
    Z.indices[4] = index
    with pytest.raises(ValueError, match=rf"Z must have column indices in \[0, 3\), got {index}"):
        HierarchicalKMeans(max_leaf_size=2).fit(Z)


def test_max_iter_beyond_the_integers_of_the_kernel():
    Z = random_vectors(40, 3)
    settings = {"max_leaf_size": 5, "tol": 0, "random_state": 0}
    many = HierarchicalKMeans(max_iter=2**40, **settings).fit(Z)
    assert many.tree_ == HierarchicalKMeans(max_iter=1000, **settings).fit(Z).tree_


def test_branching_factor_may_be_an_integer_of_numpy():
    Z = np.random.default_rng(0).normal(size=(100, 5))
    ours, theirs = (
        HierarchicalKMeans(branching_factor=number, max_leaf_size=8, random_state=0).fit(Z).tree_
        for number in (np.int64(4), 4)
    )
    assert ours == theirs


@pytest.mark.parametrize("spherical", [True, False])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_vectors_too_short_for_float32_count_as_zero(spherical, container):
    Z = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    Z[::4] *= np.float32(1e-40)
    if not spherical:
        Z *= np.float32(1e-40)
    indexer = HierarchicalKMeans(max_leaf_size=8, spherical=spherical, random_state=0).fit(container(Z))
    centers = indexer.leaf_centers_
    assert np.all(np.isfinite(centers.data if sp.issparse(centers) else centers))


@pytest.mark.parametrize("number", [np.uint64, np.int8])
def test_leaf_size_of_numpy(number):
    Z = np.random.default_rng(0).normal(size=(300, 5))
    trees = [
        HierarchicalKMeans(max_leaf_size=size, random_state=0).fit(Z).tree_ for size in (10, number(10))
    ]
    assert trees[0] == trees[1]
