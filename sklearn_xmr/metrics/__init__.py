"""Ranking metrics at k for dense or sparse truth."""

from sklearn_xmr.metrics._calibration import calibration_curve_at_k, expected_calibration_error
from sklearn_xmr.metrics._frequency import precision_recall_by_frequency
from sklearn_xmr.metrics._plot._frequency import LabelFrequencyDisplay
from sklearn_xmr.metrics._plot._precision_at_k import PrecisionAtKDisplay
from sklearn_xmr.metrics._plot._reliability import ReliabilityDisplay
from sklearn_xmr.metrics._propensity import (
    jain_propensity,
    propensity_scored_ndcg_at_k,
    propensity_scored_precision_at_k,
)
from sklearn_xmr.metrics._ranking import coverage_at_k, f1_at_k, ndcg_at_k, precision_at_k, recall_at_k
from sklearn_xmr.metrics._scorer import (
    make_topk_scorer,
    ndcg_at_5_scorer,
    precision_at_1_scorer,
    precision_at_3_scorer,
    precision_at_5_scorer,
)
from sklearn_xmr.metrics._topk import topk

__all__ = [
    "LabelFrequencyDisplay",
    "PrecisionAtKDisplay",
    "ReliabilityDisplay",
    "calibration_curve_at_k",
    "coverage_at_k",
    "expected_calibration_error",
    "f1_at_k",
    "jain_propensity",
    "make_topk_scorer",
    "ndcg_at_5_scorer",
    "ndcg_at_k",
    "precision_at_1_scorer",
    "precision_at_3_scorer",
    "precision_at_5_scorer",
    "precision_at_k",
    "precision_recall_by_frequency",
    "propensity_scored_ndcg_at_k",
    "propensity_scored_precision_at_k",
    "recall_at_k",
    "topk",
]
