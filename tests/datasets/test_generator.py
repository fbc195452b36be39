import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from sklearn_xmr import LabelTree
from sklearn_xmr.datasets import _generator, make_xmc_classification


def test_shapes_and_values():
    X, Y = make_xmc_classification(n_samples=300, n_features=500, n_labels=80, random_state=0)
    assert X.shape == (300, 500) and Y.shape == (300, 80)
    for matrix in (X, Y):
        assert matrix.format == "csr" and matrix.dtype == np.float32
        assert matrix.indices.dtype == matrix.indptr.dtype == np.int32
        assert matrix.has_canonical_format
    assert X.data.min() > 0
    assert_allclose(np.sqrt(X.multiply(X).sum(axis=1)), 1, rtol=1e-5)
    assert_array_equal(Y.data, 1)
    assert np.diff(Y.indptr).min() >= 1


def test_same_seed_same_output():
    first, second, other = (make_xmc_classification(random_state=seed) for seed in (3, 3, 4))
    for a, b in zip(first, second, strict=True):
        assert_array_equal(a.indices, b.indices)
        assert_array_equal(a.data, b.data)
    assert (first[1] != other[1]).nnz > 0


def test_accepts_random_state_instance():
    _, a = make_xmc_classification(random_state=np.random.RandomState(3))
    _, b = make_xmc_classification(random_state=3)
    assert (a != b).nnz == 0


def test_means_are_as_asked():
    X, Y = make_xmc_classification(
        n_samples=4000, n_features=100_000, n_labels=2000, labels_per_sample=4, features_per_sample=30,
        noise=0, features_per_node=1000, random_state=0,
    )  # fmt: skip
    assert_allclose(Y.nnz / 4000, 4, atol=0.15)
    assert_allclose(X.nnz / 4000, 30, atol=1)  # hardly any feature is drawn twice here


@pytest.mark.parametrize("n_samples, n_labels", [(200, 200), (1000, 200), (100, 150), (1, 1), (5, 1)])
def test_every_label_occurs(n_samples, n_labels):
    _, Y = make_xmc_classification(n_samples=n_samples, n_labels=n_labels, random_state=1)
    assert np.all(Y.sum(axis=0) >= 1)


def test_more_labels_than_draws():
    _, Y = make_xmc_classification(n_samples=10, n_labels=1000, random_state=0)
    assert Y.sum(axis=0).max() == 1  # all surplus draws went to labels not drawn


def test_tail_exponent():
    arguments = {"n_samples": 5000, "n_labels": 100, "sibling_rate": 0, "random_state": 0}
    _, flat = make_xmc_classification(tail_exponent=0, labels_per_sample=1, **arguments)
    _, long = make_xmc_classification(tail_exponent=1, labels_per_sample=1, **arguments)
    counts = np.sort(long.sum(axis=0))[::-1]
    assert flat.sum(axis=0).max() < 100  # 50 expected
    harmonic = np.sum(1 / np.arange(1, 101))
    assert_allclose(counts[:3], 5000 / harmonic / np.arange(1, 4), rtol=0.15)


def test_siblings_share_the_lowest_group():
    def same_group_rate(sibling_rate):
        bunch = make_xmc_classification(
            n_samples=2000, n_labels=400, labels_per_sample=2, tail_exponent=0, random_state=0,
            sibling_rate=sibling_rate, return_X_y=False,
        )  # fmt: skip
        Y, lowest = bunch.Y, bunch.groups[:, -1]
        rows = np.flatnonzero(np.diff(Y.indptr) == 2)
        pairs = lowest[Y.indices[Y.indptr[rows][:, None] + [0, 1]]]
        return np.mean(pairs[:, 0] == pairs[:, 1])

    assert same_group_rate(0) < 0.1
    assert 0.4 < same_group_rate(0.5) < 0.6
    assert same_group_rate(1) > 0.95


@pytest.mark.parametrize(
    "n_labels, branching_factor, depth, widths",
    [
        (200, 8, None, [8, 64]),
        (64, 8, None, [8]),
        (1000, 10, None, [10, 100]),
        (200, 8, 1, [8]),
        (20, 4, 5, [4, 16]),
        (3, 8, None, [1]),
        (1, 2, None, [1]),
    ],
)
def test_hierarchy(n_labels, branching_factor, depth, widths):
    bunch = make_xmc_classification(
        n_labels=n_labels, branching_factor=branching_factor, depth=depth, random_state=0, return_X_y=False
    )
    assert bunch.groups.shape == (n_labels, len(widths))
    assert [np.unique(level).size for level in bunch.groups.T] == widths
    for upper, lower in zip(bunch.groups.T, bunch.groups.T[1:], strict=False):
        assert len(set(zip(upper, lower, strict=True))) == np.unique(lower).size  # nested
    sizes = np.bincount(bunch.groups[:, -1])
    assert sizes.max() - sizes.min() <= 1
    tree = LabelTree.from_assignments(bunch.assignments)
    assert tree.n_nodes == (1, *widths, n_labels)
    same_leaf = tree.label_leaves()[:, None] == tree.label_leaves()
    assert_array_equal(same_leaf, bunch.groups[:, [-1]] == bunch.groups[:, -1])


def test_chunks_join(monkeypatch):
    monkeypatch.setattr(_generator, "_ROWS_PER_CHUNK", 7)
    X, Y = make_xmc_classification(n_samples=50, noise=0, random_state=0)
    assert X.shape[0] == Y.shape[0] == 50
    assert np.diff(X.indptr).min() > 0


def precision_at_1(**arguments):
    X, Y = make_xmc_classification(n_samples=900, n_features=800, n_labels=40, random_state=0, **arguments)
    Y = Y.toarray()
    model = OneVsRestClassifier(LinearSVC()).fit(X[:700], Y[:700])
    best = model.decision_function(X[700:]).argmax(axis=1)
    most_frequent = Y[:700].sum(axis=0).argmax()
    return Y[700:][np.arange(200), best].mean(), Y[700:, most_frequent].mean()


def test_is_learnable_and_noise_makes_it_harder():
    precision, prior = precision_at_1(tail_exponent=0.5)
    assert precision > 2 * prior and precision > 0.7
    noisy, _ = precision_at_1(tail_exponent=0.5, noise=0.95)
    assert noisy < precision - 0.2


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"n_samples": 0}, "'n_samples' parameter"),
        ({"n_labels": 2**31}, "'n_labels' parameter"),
        ({"labels_per_sample": 0.5}, "'labels_per_sample' parameter"),
        ({"branching_factor": 1}, "'branching_factor' parameter"),
        ({"noise": 1.5}, "'noise' parameter"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_xmc_classification(**arguments)


@pytest.mark.parametrize("number", [np.uint8, np.uint64, np.int16])
def test_parameters_of_numpy(number):
    sizes = {"n_samples": 100, "n_features": 50, "n_labels": 20, "features_per_node": 5,
             "branching_factor": 4, "tail_exponent": 1}  # fmt: skip
    X, Y = make_xmc_classification(**sizes, random_state=0)
    X_same, Y_same = make_xmc_classification(**{k: number(v) for k, v in sizes.items()}, random_state=0)
    assert (X != X_same).nnz == 0 and (Y != Y_same).nnz == 0
