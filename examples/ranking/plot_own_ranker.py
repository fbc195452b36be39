"""
A ranker of your own
====================

Every node of the tree has a linear model. The built-in solver trains these, with one of three
losses; any linear classifier of scikit-learn can take its place, for another loss or penalty.
We ask what an l1 penalty does to the size of a model.
"""

# %%
# A small problem: a ranker in Python is fitted once for every node, which takes much longer
# than the built-in solver.
import time

from sklearn_xmr import HierarchicalKMeans, XRLinearClassifier
from sklearn_xmr.datasets import make_xmc_classification

X, Y = make_xmc_classification(n_samples=2_000, n_labels=300, random_state=0)
X_train, Y_train, X_test, Y_test = X[:1_500], Y[:1_500], X[1_500:], Y[1_500:]
indexer = HierarchicalKMeans(branching_factor=16, max_leaf_size=20)

# %%
# The tree is learned once and passed on, so that nothing but the rankers differs. Two ways to
# a small model: the built-in solver, whose small weights are dropped below
# ``weight_threshold``, and an l1 penalty, which makes weights exactly zero while it learns.
import numpy as np
from sklearn.base import clone
from sklearn.svm import LinearSVC

from sklearn_xmr.metrics import precision_at_k

tree = XRLinearClassifier(indexer=indexer, random_state=0).fit(X_train, Y_train).tree_
l1 = LinearSVC(penalty="l1", dual=False, tol=0.01, max_iter=10_000)
families = {
    "built-in solver, pruned at ...": {
        f"{threshold:g}": XRLinearClassifier(
            indexer=tree, weight_threshold=threshold, random_state=0
        )
        for threshold in (0, 0.05, 0.1, 0.2, 0.4, 0.8)
    },
    "LinearSVC, l1, C = ...": {
        f"{C:g}": XRLinearClassifier(
            indexer=tree, ranker=clone(l1).set_params(C=C), weight_threshold=0
        )
        for C in (0.1, 0.25, 0.5, 1)
    },
}

# %%
# Weights, precision and time of each.
points = {}
for family, models in families.items():
    print(family)
    points[family] = []
    for name, model in models.items():
        start = time.perf_counter()
        model.fit(X_train, Y_train)
        seconds = time.perf_counter() - start
        n_weights = sum(coefs.nnz for coefs in model.coefs_)
        precision = 100 * precision_at_k(Y_test, model.predict_topk(X_test, k=5), k=5)
        points[family].append((n_weights, precision))
        print(f"  {name:5s} P@5 {precision:.1f}, {n_weights:8,} weights, fit {seconds:.2f} s")

# %%
# Up and to the left is good: precise and small. Pruning drops most of the weights before
# precision suffers. The l1 penalty needs fewer still, because the weights that stay make up
# for those that go. It costs time: each node is a call of Python, and its solver works on all
# features. On problems with many labels, prune; an l1 ranker is for models that must be tiny.
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(8, 4.8), layout="constrained")
for (family, models), marker in zip(families.items(), "os", strict=True):
    n_weights, precision = np.array(points[family]).T
    ax.plot(n_weights, precision, marker=marker, label=family)
    for name, x, y in zip(models, n_weights, precision, strict=True):
        ax.annotate(
            name,
            (x, y),
            textcoords="offset points",
            xytext=(0, 7),
            ha="center",
            fontsize="small",
        )
ax.set(
    xscale="log",
    xlabel="weights in the model",
    ylabel="precision at 5, %",
    title="Two ways to a small model",
)
ax.grid(alpha=0.3, which="both")
ax.margins(y=0.1)
ax.legend(loc="lower right")
plt.show()

# %%
# Another reason for a ranker of one's own is another loss. ``score_transform`` must then suit
# its margins: those of logistic regression are log odds, which a sigmoid turns into
# probabilities, and ``predict_proba`` becomes available.
from sklearn.linear_model import LogisticRegression

logistic = XRLinearClassifier(
    indexer=tree, ranker=LogisticRegression(C=64, solver="liblinear"), score_transform="sigmoid"
)
logistic.fit(X_train, Y_train).predict_proba(X_test[:3]).shape
