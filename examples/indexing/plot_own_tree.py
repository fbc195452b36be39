"""
A taxonomy or an indexer of your own
====================================

The tree need not come from clustering. Where labels have a taxonomy, take that; or write an
indexer, which is anything whose ``fit(Z)`` sets ``tree_``. We rank the same labels down three
trees.
"""

# %%
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from sklearn_xmr.datasets import load_api_docs

docs = load_api_docs()
X = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, stop_words="english").fit_transform(
    docs.texts
)
train, test = docs.train_indices, docs.test_indices
X_train, Y_train, X_test, Y_test = X[train], docs.Y[train], X[test], docs.Y[test]

# %%
# **A taxonomy.** A function's place in its package is a path: ``scipy.sparse.linalg.spsolve``
# lies in ``scipy``, then ``sparse``. Two levels are enough here.
from sklearn_xmr import LabelTree

taxonomy = LabelTree.from_paths([tuple(name.split(".")[:-1][:2]) for name in docs.label_names])
taxonomy

# %%
# **An indexer.** This one sorts the labels along the first principal direction of their
# vectors and cuts the row into runs. Crude, but it shows all that is asked of an indexer.
from sklearn.base import BaseEstimator
from sklearn.decomposition import TruncatedSVD


class SortedRuns(BaseEstimator):
    """Runs of labels that are neighbours along one direction."""

    def __init__(self, run_length=32):
        self.run_length = run_length

    def fit(self, Z, y=None):
        position = TruncatedSVD(2, random_state=0).fit_transform(Z)[:, 1]
        run = np.argsort(np.argsort(position)) // self.run_length
        self.tree_ = LabelTree.from_paths([(int(r) // 16, int(r)) for r in run])
        return self


# %%
# Both go where the indexer goes; a tree needs no label embedding, as nothing is left to
# cluster.
from sklearn_xmr import HierarchicalKMeans, XRLinearClassifier
from sklearn_xmr.metrics import precision_at_k

indexers = {
    "hierarchical k-means": HierarchicalKMeans(branching_factor=16, max_leaf_size=32),
    "package taxonomy": taxonomy,
    "sorted runs": SortedRuns(),
}
beam_widths = [1, 2, 4, 8, 16]
precision, leaf_sizes = {}, {}
for name, indexer in indexers.items():
    model = XRLinearClassifier(indexer=indexer, random_state=0).fit(X_train, Y_train)
    leaf_sizes[name] = model.tree_.leaf_sizes
    precision[name] = [
        100 * precision_at_k(Y_test, model.predict_topk(X_test, k=5, beam_width=width), k=5)
        for width in beam_widths
    ]
    print(f"{name:21s} {model.tree_}, P@5 with a beam of 1 and of 16: ", end="")
    print(f"{precision[name][0]:.1f} and {precision[name][-1]:.1f}")

# %%
# On the left the precision, on the right the sizes of the leaves. The taxonomy does well:
# people have put together what belongs together. But it is lopsided: a few modules hold
# hundreds of functions, and whenever one of these is in the beam, all of them are scored.
# Part of its precision is bought with work that the beam width does not show, so compare
# trees by both panels. Sorting along a single direction puts unrelated labels side by side,
# and a wider beam makes up for only some of it.
import matplotlib.pyplot as plt

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
for (name, values), marker in zip(precision.items(), "osD", strict=True):
    left.plot(beam_widths, values, marker=marker, label=name)
    right.plot(
        np.arange(1, leaf_sizes[name].size + 1), np.sort(leaf_sizes[name])[::-1], label=name
    )
left.set_xscale("log", base=2)
left.set_xticks(beam_widths, [str(width) for width in beam_widths])
left.set(xlabel="beam width", ylabel="precision at 5, %", title="Precision")
left.legend()
right.set(
    xlabel="leaves, the largest first",
    ylabel="labels in the leaf",
    title="Leaf sizes",
    yscale="log",
)
for ax in (left, right):
    ax.grid(alpha=0.3)
plt.show()
