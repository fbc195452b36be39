"""
Look at a label tree
====================

A label tree is made by clustering and then decides what is searched and what is learned. One
should have looked at it once. We cluster the functions of NumPy, SciPy and scikit-learn by
the words of their documentation and see whether the groups mean something.
"""

# %%
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from sklearn_xmr import PIFA, HierarchicalKMeans
from sklearn_xmr.datasets import load_api_docs

docs = load_api_docs()
vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, stop_words="english")
Z = PIFA().fit_transform(vectorizer.fit_transform(docs.texts), docs.Y)
indexer = HierarchicalKMeans(
    branching_factor=16, max_leaf_size=32, n_init=3, random_state=0
).fit(Z)
tree = indexer.tree_
tree

# %%
# ``n_nodes`` counts the nodes of each level from the root down; the last level holds the
# labels. Leaves are balanced, so the cost of a query is the same wherever the search ends.
sizes = tree.leaf_sizes
print(f"{sizes.size} leaves of {sizes.min()} to {sizes.max()} labels")

# %%
# The columns of PIFA are words, so the centre of a leaf can be read: its largest entries are
# what its labels have in common.
words = vectorizer.get_feature_names_out()


def top_words(center, n=4):
    return ", ".join(words[np.argsort(-center)[:n]])


for leaf in range(3):
    members = docs.label_names[indexer.labels_ == leaf]
    print(f"leaf {leaf}: {top_words(indexer.leaf_centers_[[leaf]].toarray().ravel())}")
    print("   ", ", ".join(members[:3]), "...\n")

# %%
# ``path`` leads from the root to a label. Functions that do similar work should share a leaf,
# whatever package they are in.
names = list(docs.label_names)
for name in ("numpy.linalg.svd", "scipy.linalg.svd", "sklearn.decomposition.TruncatedSVD"):
    print(name, tree.path(names.index(name)))

# %%
# The nodes of the first level, each with its most typical words and the packages of its
# labels. Where a bar has one colour, clustering has found a package without having been told
# about packages; where it has several, the packages share a subject.
import matplotlib.pyplot as plt

# the tree has two inner levels: the first-level node of each leaf, then of each label
leaf_parent = tree.parent_of(tree.n_levels - 1)
group = leaf_parent[indexer.labels_]
package = np.array([name.partition(".")[0] for name in docs.label_names])
packages = ["numpy", "scipy", "sklearn"]
members = [np.flatnonzero(group == node) for node in range(tree.n_nodes[1])]
counts = np.array([[np.sum(package[rows] == name) for name in packages] for rows in members])
centers = [top_words(np.asarray(Z[rows].sum(axis=0)).ravel()) for rows in members]
order = np.argsort(counts @ [1, 0, -1])

fig, ax = plt.subplots(figsize=(9, 6), layout="constrained")
left = np.zeros(len(counts))
for column, (name, color) in enumerate(
    zip(packages, ["#4c72b0", "#8eb3d8", "#e8954a"], strict=True)
):
    ax.barh(np.arange(len(counts)), counts[order, column], left=left, color=color, label=name)
    left += counts[order, column]
ax.set_yticks(np.arange(len(counts)), [centers[g] for g in order])
ax.set(
    xlabel="number of labels", title="First level of the label tree: typical words and packages"
)
ax.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.09), frameon=False)
ax.set_xlim(0, 1.02 * counts.sum(axis=1).max())
ax.margins(y=0.01)
plt.show()
