"""What every classifier must do: scikit-learn's checks, with no expected failure."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_xmr import (
    CalibratedXMRClassifier,
    HierarchicalKMeans,
    LabelSetClassifier,
    OverlappingIndexer,
    XMREnsembleClassifier,
    XRLinearClassifier,
)

CLASSIFIERS = [
    XRLinearClassifier(),
    XRLinearClassifier(loss="log_loss"),
    XRLinearClassifier(loss="hinge"),
    XRLinearClassifier(indexer=HierarchicalKMeans(max_leaf_size=2), negative_sampling="tfn+man"),
    CalibratedXMRClassifier(XRLinearClassifier(random_state=0)),
    CalibratedXMRClassifier(XRLinearClassifier(random_state=0), scope="levels", method="sigmoid"),
    LabelSetClassifier(XRLinearClassifier(random_state=0)),
    # folds treat a row of weight 2 and two equal rows differently, so beams are in-sample here
    XRLinearClassifier(indexer=OverlappingIndexer(HierarchicalKMeans(max_leaf_size=2), cv=None)),
    XMREnsembleClassifier(),
    XMREnsembleClassifier(XRLinearClassifier(loss="log_loss"), 2, voting="rank"),
]


# Some checks use rows centred far from the origin, on which coordinate descent is slow (LinearSVC as well).
@parametrize_with_checks(CLASSIFIERS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
# of some checks before scikit-learn 1.7
@pytest.mark.filterwarnings("ignore:The least populated class in y:UserWarning")
# others fit rows that are a hundred units long
@pytest.mark.filterwarnings("ignore:The median length of the rows of X:UserWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)
