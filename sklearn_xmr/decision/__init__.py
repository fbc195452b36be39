"""From a ranking to probabilities and to label sets."""

from sklearn_xmr.decision._calibrated import CalibratedXMRClassifier
from sklearn_xmr.decision._label_set import LabelSetClassifier

__all__ = ["CalibratedXMRClassifier", "LabelSetClassifier"]
