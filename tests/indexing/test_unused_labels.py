"""Labels without rows, where they are many, change nothing for the others."""

import numpy as np
import pytest
import scipy.sparse as sp
from _data import random_problem
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_xmr import PIFA, HierarchicalKMeans, LabelTree, OverlappingIndexer, XRLinearClassifier
from sklearn_xmr.indexing._unused_labels import add_unused, columns_of, labels_to_index
from sklearn_xmr.inspection import describe_tree
from sklearn_xmr.utils._slots import slot_dtype

N_USED = 24
INDEXERS = {
    "one level": None,
    "deep": HierarchicalKMeans(2, 3),
    "overlap": OverlappingIndexer(HierarchicalKMeans(4, 3)),
}


@pytest.fixture(scope="module")
def problem():
    return random_problem(150, 40, N_USED, random_state=1)


def widened(Y, n_labels):
    """The same labels among others without rows, and their new numbers."""
    used = np.sort(np.random.default_rng(0).choice(n_labels, N_USED, replace=False))
    return sp.csr_array((Y.data, used[Y.indices], Y.indptr), shape=(Y.shape[0], n_labels)), used


@pytest.mark.parametrize("n_labels", [N_USED + 3, 300, 70_000])
@pytest.mark.parametrize("name", INDEXERS)
@pytest.mark.parametrize(
    "changes", [{}, {"propensity_power": 1, "relevance_norm": "l1"}], ids=["", "weighted"]
)
def test_same_answers_as_without_them(problem, n_labels, name, changes):
    X, Y = problem
    assert np.unique(Y.indices).size == N_USED
    wide, used = widened(Y, n_labels)
    model = XRLinearClassifier(indexer=INDEXERS[name], beam_width=3, random_state=0, **changes)
    labels, scores = model.fit(X, Y).predict_topk(X, k=7)
    dense, n_levels, dtypes = model.decision_function(X).toarray(), model.tree_.n_levels, slots(model)
    found, found_scores = model.fit(X, wide).predict_topk(X, k=7)
    np.testing.assert_array_equal(found, np.where(labels >= 0, used[labels], -1))
    reached = model.decision_function(X)
    assert reached.shape == (X.shape[0], n_labels) and reached.nnz == np.count_nonzero(dense)
    if model.tree_.n_levels == n_levels:
        np.testing.assert_array_equal(found_scores, scores)
        np.testing.assert_array_equal(reached[:, used].toarray(), dense)
        if n_levels > 1:  # else the root is the leaf
            assert slots(model)[-1] == dtypes[-1]
    else:  # one factor for all labels of a row
        assert n_levels == 1 and n_labels > 256 and model.tree_.n_levels == 2
        factors = found_scores[:, :1] / scores[:, :1]
        assert np.all((factors > 0.5) & (factors <= 1))
        np.testing.assert_allclose(found_scores, factors * scores, rtol=1e-4)
        assert slots(model)[-1] == np.uint8


def slots(model):
    return [slot_dtype(level.child_ptr) for level in model.chunked_weights_]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 3), st.integers(1, 2000))
def test_structure(seed, n_used, n_levels, n_unused):
    rng = np.random.default_rng(seed)
    paths = [tuple(map(str, rng.integers(0, 3, n_levels - 1))) for _ in range(n_used)]
    tree = LabelTree.from_paths(paths) if n_levels > 1 else LabelTree.flat(n_used)
    used = np.sort(rng.choice(n_used + n_unused, n_used, replace=False))
    wide = add_unused(tree, used, n_used + n_unused)
    assert wide.n_labels == n_used + n_unused
    above = [0] * (wide.n_levels - tree.n_levels)
    assert len(above) == (n_levels == 1 and wide.n_labels > 256)
    for number, label in enumerate(used):
        assert wide.path(label) == [tuple(above) + path for path in tree.path(number)]
    for ptr, wide_ptr in zip(tree.child_ptr[::-1], wide.child_ptr[:0:-1], strict=False):
        np.testing.assert_array_equal(wide_ptr[: ptr.size], ptr)
        assert slot_dtype(wide_ptr) == slot_dtype(ptr)


def test_columns():
    few = sp.csr_array(np.append(np.eye(20), np.zeros((20, 2)), axis=1))
    assert labels_to_index(None, few) is None
    Y = sp.csr_array(np.array([[0, 1, 0, 1], [0, 0, 0, 1]], dtype=np.float32))
    used = labels_to_index(None, Y)
    assert used.tolist() == [1, 3]
    assert columns_of(Y, used).toarray().tolist() == [[1, 1], [0, 1]]
    assert labels_to_index(HierarchicalKMeans(), columns_of(Y, used)) is None


@pytest.mark.parametrize("container", [sp.coo_array, sp.bsr_array, np.asarray])
def test_embeddings_in_any_container(problem, container):
    X, Y = problem
    wide, _ = widened(Y, 300)
    Z = PIFA().fit_transform(X, wide)
    models = [
        XRLinearClassifier(label_embedding=embedding, indexer=HierarchicalKMeans(2, 3), random_state=0)
        for embedding in (Z, Z.toarray() if container is np.asarray else container(Z))
    ]
    assert models[0].fit(X, wide).tree_ == models[1].fit(X, wide).tree_


class Numbered(HierarchicalKMeans):
    """Knows how many labels there are."""

    def fit(self, Z, y=None):
        self.tree_ = LabelTree.from_paths([(str(label % 5),) for label in range(30)])
        return self


def test_indexers_of_others_see_all_labels(problem):
    X, Y = problem
    wide, _ = widened(Y, 30)
    for indexer in (Numbered(), OverlappingIndexer(Numbered()), Numbered().fit(None).tree_):
        assert labels_to_index(indexer, wide) is None
        assert XRLinearClassifier(indexer=indexer, random_state=0).fit(X, wide).tree_.n_nodes[:2] == (1, 5)


def test_described_behind_the_others(problem):
    X, Y = problem
    wide, used = widened(Y, 300)
    model = XRLinearClassifier(indexer=HierarchicalKMeans(4, 6), random_state=0).fit(X, wide)
    nodes = describe_tree(model, n_labels=300).nodes[1:]
    assert [node.n_labels for node in nodes if not node.features] == [256, 20]
    assert all(node.features for node in nodes[:-2])
    assert not {name for node in nodes[-2:] for name in node.labels} & {f"label {label}" for label in used}
