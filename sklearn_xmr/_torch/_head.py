"""The scorer of a tree level's nodes, and its losses."""

import torch
from torch import nn
from torch.nn import functional as F


class CandidateHead(nn.Module):
    """One linear scorer per node: z_j = <e, w_j> + b_j.

    Parameters
    ----------
    weights : ndarray of shape (n_nodes, n_dims), dtype float32
    biases : ndarray of shape (n_nodes,), dtype float32
        Where training starts.
    """

    def __init__(self, weights, biases):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights))
        self.biases = nn.Parameter(torch.tensor(biases))

    def forward(self, embeddings, candidates):
        """Scores of candidates, by one product with all nodes that the batch names.

        Gathering the weights of each row's candidates instead would take n_rows * width * n_dims numbers.

        Parameters
        ----------
        embeddings : Tensor of shape (n_rows, n_dims)
        candidates : Tensor of shape (n_rows, width)
            Node ids; the scores of negative ones (padding) mean nothing.

        Returns
        -------
        scores : Tensor of shape (n_rows, width)
        """
        nodes, positions = torch.unique(candidates.clamp(min=0), return_inverse=True)
        scores = F.linear(embeddings, self.weights[nodes], self.biases[nodes])
        return scores.gather(1, positions)

    def arrays(self):
        """Weights and biases as ndarrays."""
        return self.weights.detach().cpu().numpy(), self.biases.detach().cpu().numpy()


def candidate_loss(scores, candidates, targets, *, loss, weighted):
    """Mean loss of each row's candidates; padding does not count.

    Parameters
    ----------
    scores, candidates, targets : Tensor of shape (n_rows, width)
        As from `CandidateHead` and `candidate_batch`.
    loss : {"squared_hinge", "hinge", "cross_entropy"}
        ``"cross_entropy"`` is the binary one, of each candidate by itself.
    weighted : bool
        Whether a positive counts as much as its target, not 1.

    Returns
    -------
    loss : Tensor of shape (n_rows,)
    """
    positive = targets > 0
    if loss == "cross_entropy":
        losses = F.softplus(torch.where(positive, -scores, scores))
    else:
        losses = F.relu(1 - torch.where(positive, scores, -scores))
        if loss == "squared_hinge":
            losses = losses.square()
    if weighted:
        losses = losses * torch.where(positive, targets, 1.0)
    is_candidate = candidates >= 0
    return (losses * is_candidate).sum(dim=1) / is_candidate.sum(dim=1).clamp(min=1)
