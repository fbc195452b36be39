"""
Beam width: precision against latency
=====================================

The beam width says how many nodes of each level the search keeps. It is the dial between
precision and time, and belongs to prediction: turning it needs no new fit.
"""

# %%
# A synthetic problem with a planted hierarchy and a long tail of labels. Small leaves and two
# inner levels make a tree in which the beam has something to decide.
from sklearn_xmr import HierarchicalKMeans, XRLinearClassifier
from sklearn_xmr.datasets import make_xmc_classification

X, Y = make_xmc_classification(
    n_samples=16_000, n_features=20_000, n_labels=4_000, noise=0.6, random_state=0
)
X_train, Y_train, X_test, Y_test = X[:12_000], Y[:12_000], X[12_000:], Y[12_000:]
indexer = HierarchicalKMeans(branching_factor=16, max_leaf_size=32)
model = XRLinearClassifier(indexer=indexer, random_state=0).fit(X_train, Y_train)
model.tree_

# %%
# For each width, the precision on held-out rows and the time of one row after the other, as a
# service would see them. A beam as wide as the widest inner level keeps every leaf: its
# answer is that of scoring all labels.
import time

import numpy as np

from sklearn_xmr.metrics import precision_at_k, recall_at_k

widest = max(model.tree_.n_nodes[:-1])
widths = [1, 2, 3, 5, 10, 20, 50, widest]
rows = [X_test[[i]] for i in range(500)]
seconds = np.empty((len(rows), len(widths)))
for i, row in enumerate(rows):  # all widths for a row: a busy moment of the machine meets all
    model.predict_topk(row, k=5, beam_width=1)  # or the first width would meet cold caches
    for j, width in enumerate(widths):
        start = time.perf_counter()
        model.predict_topk(row, k=5, beam_width=width)
        seconds[i, j] = time.perf_counter() - start
microseconds = 1e6 * np.median(seconds, axis=0)
precision = []
for width, time_of_a_row in zip(widths, microseconds, strict=True):
    ranking = model.predict_topk(X_test, k=5, beam_width=width)
    precision.append(100 * precision_at_k(Y_test, ranking, k=5))
    quality = f"P@5 {precision[-1]:.2f}, R@5 {100 * recall_at_k(Y_test, ranking, k=5):.2f}"
    print(f"beam {width:3d}: {quality}, {time_of_a_row:.0f} µs a row")

# %%
# Precision grows steeply at first and then stops, since sooner or later all leaves with a
# chance are in the beam. Time keeps growing, though slower than the beam: nodes that can no
# longer change the answer are skipped. The right width is the first after which the curve is
# flat. Find it on held-out rows of your own; it depends on how well the tree separates the
# labels.
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(8, 4.8), layout="constrained")
ax.plot(microseconds, precision, "o-", color="#4c72b0")
for width, x, y in zip(widths, microseconds, precision, strict=True):
    ax.annotate(str(width), (x, y), textcoords="offset points", xytext=(0, -15), ha="center")
ax.axhline(precision[-1], color="0.5", linestyle=":", zorder=0)
ax.annotate(
    "all leaves searched",
    (microseconds[0], precision[-1]),
    textcoords="offset points",
    xytext=(0, 5),
)
ax.set(
    xlabel="median time of one row, µs",
    ylabel="precision at 5, %",
    title="Precision against latency; the numbers are beam widths",
)
ax.grid(alpha=0.3)
ax.margins(y=0.12)
plt.show()
