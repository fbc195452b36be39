"""
Grid search on text
===================

A text pipeline is tuned as any other in scikit-learn: nested parameter names, and a scorer
that asks for a ranking.
"""

# %%
# A quarter of the passages of installed documentation, so that the search takes seconds.
from sklearn_xmr.datasets import load_api_docs

docs = load_api_docs()
train, test = docs.train_indices[::4], docs.test_indices
texts, Y = docs.texts[train], docs.Y[train]

# %%
# Sub-estimators must be given if their parameters are to be searched: with ``indexer=None``
# there is nothing that ``indexer__max_leaf_size`` could be set on. ``memory`` keeps the
# transformed texts of each fold, so that they are vectorized once and not for every
# candidate. ``GridSearchCV`` takes a sparse Y.
import tempfile

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline

from sklearn_xmr import HierarchicalKMeans, XRLinearClassifier
from sklearn_xmr.metrics import make_topk_scorer, precision_at_k

cache = tempfile.TemporaryDirectory()
pipeline = make_pipeline(
    TfidfVectorizer(sublinear_tf=True, dtype=np.float32, stop_words="english"),
    XRLinearClassifier(indexer=HierarchicalKMeans(max_leaf_size=50), random_state=0),
    memory=cache.name,
)
Cs, thresholds = [0.5, 1, 2, 4], [0.0, 0.1, 0.2, 0.4]
search = GridSearchCV(
    pipeline,
    {"xrlinearclassifier__C": Cs, "xrlinearclassifier__weight_threshold": thresholds},
    scoring=make_topk_scorer(precision_at_k, k=5),
    cv=KFold(2),
)
search.fit(texts, Y)
print(search.best_params_)

# %%
# The scorer calls ``predict_topk`` on the last step. It works on the fitted search as well,
# here on rows that the search has not seen. The best estimator learned from all rows of the
# search and not from half of them.
held_out = search.score(docs.texts[test], docs.Y[test])
print(
    f"P@5: {100 * search.best_score_:.1f} in the search, {100 * held_out:.1f} on held-out rows"
)

# %%
# A heat map shows what the winner alone does not: how flat the optimum is. A large C follows
# each row closely, and a high threshold drops much of what a small C has learned, whose
# weights are small: the two are best chosen together. Models on the right have far fewer
# weights, so among equals take the one with the larger threshold.
import matplotlib.pyplot as plt

# the grid varies its last parameter first
scores = 100 * search.cv_results_["mean_test_score"].reshape(len(Cs), len(thresholds))
fig, ax = plt.subplots(figsize=(7, 4.8), layout="constrained")
image = ax.imshow(scores, cmap="viridis", aspect="auto", origin="lower")
middle = (scores.min() + scores.max()) / 2
for row, column in np.ndindex(*scores.shape):
    color = "black" if scores[row, column] > middle else "white"
    ax.text(column, row, f"{scores[row, column]:.1f}", ha="center", va="center", color=color)
ax.set_xticks(range(len(thresholds)), [f"{threshold:g}" for threshold in thresholds])
ax.set_yticks(range(len(Cs)), [f"{C:g}" for C in Cs])
ax.set(xlabel="weight_threshold", ylabel="C", title="Precision at 5 in the folds, %")
fig.colorbar(image)
plt.show()
cache.cleanup()
