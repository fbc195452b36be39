"""Which copies of a label a positive row trains, against plain loops."""

import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.overlap import leaves_of_rows

from sklearn_xmr import LabelTree
from sklearn_xmr.matching._positive_split import positives_among, split_positives


def random_overlap(seed, n_rows=20, n_labels=7):
    """Three leaves under two nodes, each label in one or several; rows with labels and matched leaves."""
    rng = np.random.default_rng(seed)
    member = rng.uniform(size=(n_labels, 3)) < 0.5
    member[np.arange(n_labels), rng.integers(0, 3, size=n_labels)] = True
    member[:3] |= np.eye(3, dtype=bool)  # no leaf is empty
    leaf, label = np.nonzero(member.T)
    tree = LabelTree([[0, 2], [0, 1, 3], np.searchsorted(leaf, np.arange(4))], label)
    Y = sp.csr_array((rng.uniform(size=(n_rows, n_labels)) < 0.25).astype(np.float32))
    matched = sp.csr_array((rng.uniform(size=(n_rows, 3)) < 0.4).astype(np.float32))
    return tree, Y, matched, [np.flatnonzero(row).tolist() for row in member]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6))
def test_matches_the_reference(seed):
    tree, Y, matched, leaves_of_label = random_overlap(seed)
    positives = split_positives(tree, Y, matched)
    belongs = leaves_of_rows(Y.toarray().tolist(), matched.toarray().tolist(), leaves_of_label)
    wanted = np.array([[leaf in leaves for leaf in range(3)] for leaves in belongs], dtype=float)
    np.testing.assert_array_equal(positives[2].toarray(), wanted)
    above = np.column_stack([wanted[:, 0], wanted[:, 1:].max(axis=1)])
    np.testing.assert_array_equal(positives[1].toarray(), above)
    np.testing.assert_array_equal(positives[0].toarray()[:, 0], wanted.max(axis=1))
    np.testing.assert_array_equal(positives[3].toarray(), Y.toarray()[:, tree.slot_labels])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6))
def test_a_row_is_no_negative_of_its_own_label(seed):
    tree, Y, matched, _ = random_overlap(seed)
    positives = split_positives(tree, Y, matched)
    rows = sp.csr_array(((positives[2] + matched) != 0).astype(np.float32))  # as "tfn+man" has it
    kept = positives_among(positives[3], rows, tree).toarray()
    for i in range(Y.shape[0]):
        for slot, label in enumerate(tree.slot_labels):
            trains = rows[i, tree.parent_of(3)[slot]] > 0
            assert kept[i, slot] == (trains and Y[i, label] > 0)


def test_no_rows_matched():
    tree, Y, matched, _ = random_overlap(3)
    nothing = sp.csr_array(matched.shape, dtype=np.float32)
    split = split_positives(tree, Y, nothing)
    assert split[2].nnz > 0
    np.testing.assert_array_equal(
        split[2].toarray(), tree.propagate(sp.csr_array(Y))[2].toarray() * split[2].toarray()
    )
