"""
From rankings to probabilities and label sets
=============================================

A ranking does not say where to stop. We first turn scores into probabilities, then compare four
rules that turn a ranking into a set of labels.
"""

# %%
# Passages of documentation, and the functions that they concern. A third of the training rows
# is held out to calibrate and to tune thresholds: on rows that the classifier has learned from,
# its scores are too good.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

from sklearn_xmr import CalibratedXMRClassifier, LabelSetClassifier, XRLinearClassifier
from sklearn_xmr.datasets import load_api_docs
from sklearn_xmr.metrics import ReliabilityDisplay

docs = load_api_docs()
X = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, stop_words="english").fit_transform(
    docs.texts
)
fit, held_out = train_test_split(docs.train_indices, test_size=1 / 3, random_state=0)
test = docs.test_indices
Y_test = docs.Y[test]
classifier = XRLinearClassifier(random_state=0).fit(X[fit], docs.Y[fit])

# %%
# The classifier is fitted, so it goes into a ``FrozenEstimator``: what follows only calibrates.
# Isotonic regression finds any map that never decreases, Platt scaling one of a fixed shape.
calibrated = {
    method: CalibratedXMRClassifier(FrozenEstimator(classifier), method=method).fit(
        X[held_out], docs.Y[held_out]
    )
    for method in ("sigmoid", "isotonic")
}
rankings = {"scores": classifier.predict_topk(X[test])}
rankings |= {method: model.predict_topk(X[test]) for method, model in calibrated.items()}

# %%
# Now the sets. Each rule is made for one average of F1: one threshold for all labels for the
# micro average, a threshold per label for the macro average, the expected F1 of a row for the
# average over rows.
rules = ["top_k", "global_threshold", "label_thresholds", "expected_f1"]
averages = ["micro", "macro", "samples"]
f1 = np.zeros((len(rules), len(averages)))
for i, rule in enumerate(rules):
    sets = LabelSetClassifier(FrozenEstimator(calibrated["isotonic"]), rule=rule, k=3)
    predicted = sets.fit(X[held_out], docs.Y[held_out]).predict(X[test])
    f1[i] = [
        f1_score(Y_test, predicted, average=average, zero_division=0.0) for average in averages
    ]
    print(
        f"{rule:17s} {predicted.nnz / predicted.shape[0]:.2f} labels per row ", f1[i].round(3)
    )

# %%
# The reliability curve sets predicted probability against the share of labels that are true:
# the scores of the squared hinge loss lie far from the diagonal, calibrated probabilities on
# it. On the right, the rules.
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
for name, ranking in rankings.items():
    ReliabilityDisplay.from_predictions(Y_test, ranking, name=name, ax=left)
left.set_title("Five best labels of each test row")
for j, average in enumerate(averages):
    bars = right.bar(
        np.arange(len(rules)) + 0.27 * (j - 1), f1[:, j], 0.25, label=f"{average}-F1"
    )
    right.bar_label(bars, fmt="%.2f", fontsize="small", padding=2)
right.set_xticks(range(len(rules)), [rule.replace("_", " ") for rule in rules])
right.set(title="Label sets", ylabel="F1", ylim=(0, 1.25 * f1.max()))
right.legend(ncols=3)
plt.show()
