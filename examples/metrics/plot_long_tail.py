"""
Evaluate the long tail
======================

Most labels are rare, and a few frequent ones can carry a precision. We look at who is found,
by label frequency, and trade precision on frequent labels for precision on rare ones with
propensities.
"""

# %%
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from sklearn_xmr import XRLinearClassifier
from sklearn_xmr.datasets import load_api_docs

docs = load_api_docs()
X = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, stop_words="english").fit_transform(
    docs.texts
)
train, test = docs.train_indices, docs.test_indices
Y_train, Y_test = docs.Y[train], docs.Y[test]
model = XRLinearClassifier(random_state=0).fit(X[train], Y_train)

# %%
# Recall by frequency: of the true labels in a band, how many are among the first five? The
# bands are thirds of all label occurrences in the training rows, so that each of them stands
# for equally many rows.
frequency = np.asarray(Y_train.sum(axis=0)).ravel()
order = np.argsort(-frequency)
share = np.cumsum(frequency[order]) / frequency.sum()
bands = {"head": order[share <= 1 / 3], "torso": order[(share > 1 / 3) & (share <= 2 / 3)]}
bands["tail"] = order[share > 2 / 3]


def recall_of(labels, ranking):
    """Share of the true pairs of a row and one of these labels that the ranking holds."""
    hits = sum(
        Y_test[np.arange(len(ranking)), column] * np.isin(column, labels)
        for column in ranking.T
    )
    return hits.sum() / Y_test[:, labels].sum()


ranking, _ = model.predict_topk(X[test], k=5)
for name, labels in bands.items():
    rows = f"{frequency[labels].min():.0f} to {frequency[labels].max():.0f} rows"
    found = f"recall at 5: {100 * recall_of(labels, ranking):.1f}%"
    print(f"{name:5s} {labels.size:5,} labels of {rows:15s} {found}")

# %%
# Nobody labelled every passage with every function it concerns, and rare labels are forgotten
# most often. A propensity is the probability that a true label was recorded. Dividing hits by
# it corrects for what is missing, under a model whose constants one should report.
from sklearn_xmr.metrics import (
    jain_propensity,
    precision_at_k,
    propensity_scored_precision_at_k,
)

propensities = jain_propensity(Y_train)

# %%
# The same propensities can change the ranking: divide scores by a power of them, and rare
# labels rise. With the power 0 nothing changes. The scores of fifty candidates are ranked
# anew; no model is fitted again.
labels, scores = model.predict_topk(X[test], k=50)
powers = np.linspace(0, 3, 13)
precision, psp, tail_recall = [], [], []
for power in powers:
    lifted = scores / propensities[labels] ** power
    best = np.argsort(-lifted, axis=1, kind="stable")[:, :5]
    top = np.take_along_axis(labels, best, axis=1), np.take_along_axis(lifted, best, axis=1)
    precision.append(100 * precision_at_k(Y_test, top, k=5))
    psp.append(
        100 * propensity_scored_precision_at_k(Y_test, top, propensities=propensities, k=5)
    )
    tail_recall.append({name: 100 * recall_of(group, top[0]) for name, group in bands.items()})
best_power = powers[np.argmax(psp)]
print(f"P@5 is best at the power {powers[np.argmax(precision)]:.2f}, PSP@5 at {best_power:.2f}")

# %%
# On the left the trade: a small power costs nothing, then plain precision falls, while the
# propensity-scored one still rises for a while. On the right who pays and who gains. Which
# point of the curve is right is a question about the use: whether an unexpected rare label is
# worth a frequent one. Choose it on held-out rows, and report both measures.
import matplotlib.pyplot as plt

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
left.plot(precision, psp, "o-", markersize=5)
for i in (0, int(np.argmax(psp)), len(powers) - 1):
    left.annotate(
        f"power {powers[i]:g}",
        (precision[i], psp[i]),
        textcoords="offset points",
        xytext=(8, -4),
    )
left.set(
    xlabel="precision at 5, %", ylabel="propensity-scored precision at 5, %", title="The trade"
)
left.margins(x=0.2)
for (name, group), marker in zip(bands.items(), "osD", strict=True):
    values = [point[name] for point in tail_recall]
    right.plot(
        powers, values, marker=marker, markersize=5, label=f"{name}: {group.size:,} labels"
    )
right.set(
    xlabel="power of the inverse propensity",
    ylabel="recall at 5, %",
    title="Who is found",
    ylim=(0, None),
)
right.legend()
for ax in (left, right):
    ax.grid(alpha=0.3)
plt.show()
