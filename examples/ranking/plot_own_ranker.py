"""
A ranker of your own
====================

Every node of the tree has a linear model. The built-in solver trains these, with one of three losses; any
linear classifier of scikit-learn can take its place, for another loss or penalty. We ask what an l1 penalty
does to the size of a model.
"""

# %%
# A small problem: a ranker in Python is fitted once for every node, which takes much longer than the
# built-in solver.
import time

from sklearn_xmr import HierarchicalKMeans, XRLinearClassifier
from sklearn_xmr.datasets import make_xmc_classification

X, Y = make_xmc_classification(n_samples=2_000, n_labels=300, random_state=0)
X_train, Y_train, X_test, Y_test = X[:1_500], Y[:1_500], X[1_500:], Y[1_500:]
indexer = HierarchicalKMeans(branching_factor=16, max_leaf_size=20)

# %%
# The tree is learned once and passed on, so that nothing but the rankers differs. Pruning is switched off
# (``weight_threshold=0``) to see the weights as they come.
from sklearn.linear_model import LogisticRegression, SGDClassifier

tree = XRLinearClassifier(indexer=indexer, random_state=0).fit(X_train, Y_train).tree_
l1 = {"penalty": "l1", "loss": "modified_huber", "random_state": 0}
models = {
    "built-in, squared hinge": XRLinearClassifier(indexer=tree, weight_threshold=0, random_state=0),
    "built-in, pruned at 0.1": XRLinearClassifier(indexer=tree, random_state=0),
    "LogisticRegression": XRLinearClassifier(
        indexer=tree, ranker=LogisticRegression(C=4, solver="liblinear"), score_transform="sigmoid", weight_threshold=0
    ),
    "SGD, l1, alpha 1e-4": XRLinearClassifier(
        indexer=tree, ranker=SGDClassifier(alpha=1e-4, **l1), weight_threshold=0
    ),
    "SGD, l1, alpha 1e-3": XRLinearClassifier(
        indexer=tree, ranker=SGDClassifier(alpha=1e-3, **l1), weight_threshold=0
    ),
}

# %%
# ``score_transform`` must suit the margins of the ranker: logistic regression gives log odds, so a sigmoid
# turns them into probabilities.
from sklearn_xmr.metrics import precision_at_k

n_weights, precision, seconds = {}, {}, {}
for name, model in models.items():
    start = time.perf_counter()
    model.fit(X_train, Y_train)
    seconds[name] = time.perf_counter() - start
    n_weights[name] = sum(coefs.nnz for coefs in model.coefs_)
    precision[name] = 100 * precision_at_k(Y_test, model.predict_topk(X_test, k=5), k=5)
    print(f"{name:24s} P@5 {precision[name]:.1f}, {n_weights[name]:9,} weights, fit {seconds[name]:.2f} s")

# %%
# Far down to the right is good here: few weights at a high precision. The dense models (top) keep a weight
# for nearly each feature that a node has seen; most of these matter little, as pruning the built-in model shows.
# The l1 penalty leaves fewer weights still, and as it grows it pays for them with precision.
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
for name, marker in zip(models, "osD^v", strict=True):
    ax.plot(precision[name], n_weights[name], marker, markersize=10, label=f"{name} ({seconds[name]:.2f} s)")
ax.set(yscale="log", xlabel="precision at 5, %", ylabel="weights in the model", title="What a ranker keeps")
ax.grid(alpha=0.3, which="both")
ax.legend(title="ranker (time of fit)", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
plt.show()
