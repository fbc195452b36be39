"""Ranking metrics at k for dense or sparse truth."""

from sklearn_xmr.metrics._propensity import (
    jain_propensity,
    propensity_scored_ndcg_at_k,
    propensity_scored_precision_at_k,
)
from sklearn_xmr.metrics._ranking import coverage_at_k, ndcg_at_k, precision_at_k, recall_at_k
from sklearn_xmr.metrics._scorer import (
    make_topk_scorer,
    ndcg_at_5_scorer,
    precision_at_1_scorer,
    precision_at_3_scorer,
    precision_at_5_scorer,
)
from sklearn_xmr.metrics._topk import topk

__all__ = [
    "coverage_at_k",
    "jain_propensity",
    "make_topk_scorer",
    "ndcg_at_5_scorer",
    "ndcg_at_k",
    "precision_at_1_scorer",
    "precision_at_3_scorer",
    "precision_at_5_scorer",
    "precision_at_k",
    "propensity_scored_ndcg_at_k",
    "propensity_scored_precision_at_k",
    "recall_at_k",
    "topk",
]
