"""The beam search kernel against plain loops."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.beam_search import search
from threadpoolctl import threadpool_limits

from sklearn_xmr import LabelTree
from sklearn_xmr.matching._beam_search import BeamSearch, topk_to_csr
from sklearn_xmr.ranking._chunked_weights import ChunkedWeights
from sklearn_xmr.ranking._score_transform import resolve_score_transform

SIGMOIDS = [["sigmoid"] * 3, ["l3_hinge", "sigmoid", "sigmoid"], ["sigmoid", "l2_hinge", "identity"]]
TRANSFORMS = ["identity", "sigmoid", "l1_hinge", "l2_hinge", "l3_hinge", "l4_hinge"]


def random_model(
    seed, *, n_features=15, fan_outs=(3, 4, 5), overlap=False, integral=False, density=0.6, per_row=0.4
):
    """A tree with random weights; integral weights make ties common and sums exact."""
    rng = np.random.default_rng(seed)
    child_ptr, width = [], 1
    for fan_out in fan_outs:
        sizes = rng.integers(1, fan_out + 1, size=width)
        child_ptr.append(np.concatenate([[0], np.cumsum(sizes)]))
        width = int(sizes.sum())
    slot_labels = rng.permutation(width)
    if overlap and width >= 4:
        leaf = np.repeat(np.arange(len(child_ptr[-1]) - 1), np.diff(child_ptr[-1]))
        for slot in range(1, width):  # give a label of another leaf to this slot, where all labels remain
            donor = int(rng.integers(0, slot))
            others = np.delete(slot_labels, slot)
            if leaf[donor] != leaf[slot] and slot_labels[donor] not in slot_labels[leaf == leaf[slot]]:
                if slot_labels[slot] in others or rng.uniform() < 0.4:
                    slot_labels[slot] = slot_labels[donor]
        slot_labels = np.unique(slot_labels, return_inverse=True)[1]
    tree = LabelTree(child_ptr, slot_labels)
    weights, coefs, intercepts = [], [], []
    for ptr in child_ptr:
        shape = (n_features, int(ptr[-1]))
        coef = sp.random_array(shape, density=0.4, rng=rng, format="csc").toarray() * 2 - 0.5
        coef *= rng.uniform(size=shape) < density
        intercept = rng.normal(size=shape[1])
        if integral:
            coef, intercept = np.round(coef), np.round(intercept)
        intercept[rng.uniform(size=shape[1]) < 0.05] = -np.inf
        coef, intercept = coef.astype(np.float32), intercept.astype(np.float32)
        weights.append(ChunkedWeights.from_csc(sp.csc_array(coef), intercept, ptr))
        coefs.append(coef)
        intercepts.append(intercept)
    X = sp.random_array((20, n_features), density=per_row, rng=rng, format="csr")
    if integral:
        X.data[:] = 1
    return tree, weights, coefs, intercepts, sp.csr_array(X, dtype=np.float32)


def check_against_reference(model, transforms, beam_width, k, mask=None, exact=False, slope=1.0):
    tree, weights, coefs, intercepts, X = model
    labels, scores = BeamSearch(tree, weights).topk(
        X, k, beam_width, resolve_score_transform(transforms, tree.n_levels, slope), mask
    )
    assert labels.shape == scores.shape == (X.shape[0], k)
    for i, row in enumerate(X.toarray()):
        allowed = None if mask is None else set(mask[[i if mask.shape[0] > 1 else 0]].indices.tolist())
        wanted = search(
            row, tree.child_ptr, tree.slot_labels, coefs, intercepts, transforms, beam_width, k, allowed,
            slope,
        )  # fmt: skip
        n = len(wanted)
        assert np.all(labels[i, n:] == -1) and np.all(scores[i, n:] == -np.inf)
        np.testing.assert_allclose(scores[i, :n], [score for _, score in wanted], rtol=2e-4, atol=1e-30)
        if exact:
            assert labels[i, :n].tolist() == [label for label, _ in wanted]
        assert len(set(labels[i, :n].tolist())) == n


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("beam_width", [1, 3, 100])
def test_matches_reference(transform, beam_width):
    for seed in range(3):
        model = random_model(seed)
        check_against_reference(model, [transform] * 3, beam_width, k=4, exact=True)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 30), st.booleans())
def test_ties_go_to_the_smaller_label(seed, beam_width, k, overlap):
    model = random_model(seed, integral=True, overlap=overlap)
    check_against_reference(model, ["l1_hinge"] * 3, beam_width, k, exact=True)


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("integral", [False, True])
@pytest.mark.parametrize("beam_width, k", [(1, 1), (5, 10), (16, 16), (17, 40), (60, 33)])
def test_wide_nodes(beam_width, k, integral, overlap):
    """More children than a block or a short list holds, and rows longer than one batch of look-ups."""
    *model, X = random_model(3, n_features=250, fan_outs=(90, 100), integral=integral, overlap=overlap)
    model.append(X[:3])
    assert np.diff(model[0].child_ptr[1]).max() > 64 and np.diff(model[-1].indptr).min() > 64
    check_against_reference(model, ["l1_hinge"] * 2, beam_width, k, exact=integral)
    allowed = np.random.default_rng(0).random((3, model[0].n_labels)) < 0.05
    mask = sp.csr_array(allowed.astype(np.float32))
    check_against_reference(model, ["l1_hinge"] * 2, beam_width, k, mask, exact=integral)


@pytest.mark.parametrize("per_row", [0.002, 0.02, 0.2])
def test_chunks_of_few_features(per_row):
    """Words stand for many features each, whose rows are walked; queries with few features and many."""
    for seed in range(5):
        model = random_model(seed, n_features=3000, density=0.004, per_row=per_row)
        assert all((level.word_shift > 5).all() for level in model[1])
        check_against_reference(model, ["l3_hinge"] * 3, beam_width=4, k=6)
    assert (np.diff(model[-1].indptr).min() > 64) == (per_row == 0.2)


def test_transforms_per_level():
    model = random_model(7)
    check_against_reference(model, ["l3_hinge", "sigmoid", "identity"], 3, k=5, exact=True)


@pytest.mark.parametrize("slope", [0.2, 1, 3.0])
@pytest.mark.parametrize("transforms", SIGMOIDS)
def test_slope_of_sigmoids(transforms, slope):
    for seed in range(3):
        check_against_reference(random_model(seed), transforms, 3, k=5, exact=True, slope=slope)


def test_steep_sigmoids_of_large_margins_are_reached():
    """The product of slope and margin lies beyond float32."""
    tree = LabelTree.flat(3)
    intercepts = np.array([-3e38, 3e38, -np.inf], dtype=np.float32)
    weights = ChunkedWeights.from_csc(sp.csc_array((1, 3)), intercepts, tree.child_ptr[0])
    labels, scores = BeamSearch(tree, [weights]).topk(
        sp.csr_array([[1.0]]), 3, 1, resolve_score_transform("sigmoid", 1, 50.0)
    )
    assert labels.tolist() == [[1, 0, -1]]
    np.testing.assert_allclose(scores, [[1, np.finfo(np.float32).tiny, -np.inf]], rtol=1e-5)


@pytest.mark.parametrize("transform", ["identity", "l3_hinge", "sigmoid"])
@pytest.mark.parametrize("k", [4, 16, 17, 32])
def test_margins_beyond_float32_are_the_worst(transform, k):
    """Of 32 labels the first 16 have inf - inf, the last one, which is trained, -inf."""
    tree, W = LabelTree.flat(32), np.zeros((3, 32), dtype=np.float32)
    W[0, :16], W[1, :16], W[0, 31], W[2, 16:31] = 2, -2, -2, np.linspace(0.1, 0.5, 15)
    intercepts = np.zeros(32, dtype=np.float32)
    intercepts[15] = -np.inf  # not trained
    weights = ChunkedWeights.from_csc(sp.csc_array(W), intercepts, tree.child_ptr[0])
    query = sp.csr_array(np.array([[3e38, 3e38, 1]], dtype=np.float32))
    codes = resolve_score_transform(transform, 1)
    labels, scores = BeamSearch(tree, [weights]).topk(query, k, 1, codes)
    found = [*range(30, 15, -1), *range(15), 31, -1][:k]
    assert labels[0].tolist() == found
    assert np.isfinite(scores[labels >= 0]).all()


def test_slopes_change_no_other_transform():
    names = ["l1_hinge", "l4_hinge", "identity"]
    assert resolve_score_transform(names, 3, 7.0) == resolve_score_transform(names, 3)
    assert resolve_score_transform("sigmoid", 2, 7.0) != resolve_score_transform("sigmoid", 2)


@pytest.mark.parametrize("slope", [0, -1.0, np.inf, np.nan, "steep", None])
def test_bad_slopes_are_refused(slope):
    with pytest.raises(ValueError, match="score_slope must be a positive, finite number, got"):
        resolve_score_transform("sigmoid", 2, slope)


def test_overlapping_leaves_never_return_a_label_twice():
    seen = 0
    for seed in range(12):
        model = random_model(seed, overlap=True)
        seen += model[0].has_overlap
        check_against_reference(model, ["l3_hinge"] * 3, 3, k=6, exact=True)
    assert seen >= 6


def test_wide_beam_equals_exhaustive_scoring():
    tree, weights, coefs, intercepts, X = random_model(3)
    widest = max(tree.n_nodes[:-1])
    labels, scores = BeamSearch(tree, weights).topk(X, tree.n_labels, widest, [(2, 3)] * 3)
    log_path = [np.zeros((X.shape[0], 1))]
    for t in range(3):
        with np.errstate(invalid="ignore"):
            margins = X.toarray() @ coefs[t].astype(float) + intercepts[t]
        log_path.append(log_path[-1][:, tree.parent_of(t + 1)] - np.maximum(0, 1 - margins) ** 3)
    exhaustive = np.empty((X.shape[0], tree.n_labels))
    exhaustive[:, tree.slot_labels] = np.exp(log_path[-1])
    for i in range(X.shape[0]):
        found = labels[i] >= 0
        np.testing.assert_allclose(
            scores[i][found], exhaustive[i][labels[i][found]], rtol=1e-4, atol=1.2e-38
        )
        assert np.all(np.isneginf(np.log(exhaustive[i][np.setdiff1d(range(tree.n_labels), labels[i])])))


@pytest.mark.parametrize("beam_width", [1, 4])
def test_masks_are_honoured_inside_the_search(beam_width):
    for seed in range(4):
        model = random_model(seed)
        tree, X = model[0], model[-1]
        rng = np.random.default_rng(seed)
        shared = sp.csr_array(rng.uniform(size=(1, tree.n_labels)) < 0.2, dtype=np.float32)
        check_against_reference(model, ["l3_hinge"] * 3, beam_width, k=5, mask=shared, exact=True)
        by_row = sp.csr_array(rng.uniform(size=(X.shape[0], tree.n_labels)) < 0.2, dtype=np.float32)
        check_against_reference(model, ["l3_hinge"] * 3, beam_width, k=5, mask=by_row, exact=True)


def test_results_depend_on_the_row_alone():
    tree, weights, _, _, X = random_model(5)
    search_ = BeamSearch(tree, weights)
    arguments = (4, 2, [(2, 3)] * 3)
    labels, scores = search_.topk(X, *arguments)
    order = np.random.default_rng(0).permutation(X.shape[0])
    shuffled = search_.topk(X[order], *arguments)
    np.testing.assert_array_equal(shuffled[0], labels[order])
    np.testing.assert_array_equal(shuffled[1], scores[order])
    for i in range(X.shape[0]):
        one = search_.topk(X[[i]], *arguments)
        np.testing.assert_array_equal(one[0][0], labels[i])
        np.testing.assert_array_equal(one[1][0], scores[i])
    for n_threads in (1, 3):
        with threadpool_limits(n_threads):
            np.testing.assert_array_equal(search_.topk(X, *arguments)[1], scores)


def test_weak_candidates_keep_their_order():
    """Products of factors that underflow in float32 still rank, and stay positive."""
    tree = LabelTree([[0, 2], [0, 2, 4]], [0, 1, 2, 3])
    weights = [
        ChunkedWeights.from_csc(sp.csc_array((1, 2)), [-6.0, -6.5], tree.child_ptr[0]),
        ChunkedWeights.from_csc(sp.csc_array((1, 4)), [-5.0, -4.0, -4.0, -5.0], tree.child_ptr[1]),
    ]
    X = sp.csr_array(np.ones((1, 1), dtype=np.float32))
    labels, scores = BeamSearch(tree, weights).topk(X, 4, 2, [(2, 3)] * 2)
    assert labels[0].tolist() == [1, 2, 0, 3]  # log scores -468, -547, -559, -638
    assert np.all(scores > 0)


def test_wide_slots():
    n_labels = 70_000
    rng = np.random.default_rng(0)
    coef = sp.random_array((5, n_labels), density=0.01, rng=rng, format="csc").astype(np.float32)
    tree = LabelTree.flat(n_labels)
    weights = [ChunkedWeights.from_csc(coef, np.zeros(n_labels), tree.child_ptr[0])]
    X = sp.csr_array(rng.uniform(size=(3, 5)), dtype=np.float32)
    labels, _ = BeamSearch(tree, weights).topk(X, 3, 1, [(1, 1)])
    dense = X.toarray() @ coef.toarray()
    np.testing.assert_array_equal(labels, np.argsort(-dense, axis=1, kind="stable")[:, :3])


def test_too_deep_a_tree_is_refused():
    tree = LabelTree([[0, 1]] * 65, [0])
    weights = [ChunkedWeights.from_csc(sp.csc_array((1, 1)), [0.0], tree.child_ptr[0])] * 65
    with pytest.raises(ValueError, match="at most 64 levels, got 65"):
        BeamSearch(tree, weights)


def test_topk_to_csr_drops_padding():
    labels = np.array([[2, 0], [-1, -1], [1, -1]], dtype=np.int32)
    scores = np.array([[0.9, 0.5], [-np.inf, -np.inf], [0.3, -np.inf]], dtype=np.float32)
    wanted = np.array([[0.5, 0, 0.9], [0, 0, 0], [0, 0.3, 0]], dtype=np.float32)
    np.testing.assert_array_equal(topk_to_csr(labels, scores, 3).toarray(), wanted)
