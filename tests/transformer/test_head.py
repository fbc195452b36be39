"""Scores and losses of candidates, against loops."""

import numpy as np
import pytest
import torch

from sklearn_xmr._torch._head import CandidateHead, candidate_loss

CANDIDATES = torch.tensor([[0, 2, 5], [1, 2, -1], [4, -1, -1]])
TARGETS = torch.tensor([[0.0, 3.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 0.0]])

LOSSES = {
    "squared_hinge": lambda margin: max(0.0, 1 - margin) ** 2,
    "hinge": lambda margin: max(0.0, 1 - margin),
    "cross_entropy": lambda margin: np.log1p(np.exp(-margin)),
}


def make_head(seed=0):
    rng = np.random.default_rng(seed)
    weights, biases = rng.standard_normal((6, 4)), rng.standard_normal(6)
    return CandidateHead(weights.astype(np.float32), biases.astype(np.float32))


def test_scores():
    head = make_head()
    embeddings = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    scores = head(embeddings, CANDIDATES)
    for i in range(3):
        for j, node in enumerate(CANDIDATES[i].tolist()):
            if node >= 0:
                expected = embeddings[i] @ head.weights[node] + head.biases[node]
                assert scores[i, j].item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_loss(loss, weighted):
    scores = torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    found = candidate_loss(scores, CANDIDATES, TARGETS, loss=loss, weighted=weighted)
    for i in range(3):
        terms = []
        for j in range(3):
            if CANDIDATES[i, j] >= 0:
                target, score = TARGETS[i, j].item(), scores[i, j].item()
                weight = target if weighted and target > 0 else 1.0
                terms.append(weight * LOSSES[loss](score if target > 0 else -score))
        assert found[i].item() == pytest.approx(np.mean(terms), rel=1e-5)


def test_padding_has_no_gradient():
    head = make_head()
    embeddings = torch.ones(3, 4)
    scores = head(embeddings, CANDIDATES)
    candidate_loss(scores, CANDIDATES, TARGETS, loss="cross_entropy", weighted=True).sum().backward()
    used = head.biases.grad != 0
    assert used.tolist() == [True, True, True, False, True, True]
    alone = make_head()
    scores = alone(embeddings[:1], CANDIDATES[:1])
    candidate_loss(
        scores, CANDIDATES[:1], TARGETS[:1], loss="cross_entropy", weighted=True
    ).sum().backward()
    assert head.biases.grad[0] == alone.biases.grad[0]  # padding points to node 0, which only row 0 has
