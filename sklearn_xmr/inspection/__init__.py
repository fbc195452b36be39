"""Look into a fitted model: explain a prediction, read the label tree, see what the beam costs."""

from sklearn_xmr.inspection._beam_width import BeamWidthDisplay, beam_width_curve
from sklearn_xmr.inspection._describe_tree import TreeDescription, TreeNode, describe_tree
from sklearn_xmr.inspection._explain import explain_prediction
from sklearn_xmr.inspection._explanation import NodeExplanation, PredictionExplanation
from sklearn_xmr.inspection._label_tree_display import LabelTreeDisplay

__all__ = [
    "BeamWidthDisplay",
    "LabelTreeDisplay",
    "NodeExplanation",
    "PredictionExplanation",
    "TreeDescription",
    "TreeNode",
    "beam_width_curve",
    "describe_tree",
    "explain_prediction",
]
