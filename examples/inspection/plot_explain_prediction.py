"""
Explain a prediction
====================

A label's score is a product of factors, one for each level of the label tree. We look at what
each word of a question contributed at each level, find the level at which a missed label left
the beam, and measure how many true labels are lost on each level.
"""

# %%
# Passages of the documentation of NumPy, SciPy and scikit-learn; labels are the functions that
# they concern.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from sklearn_xmr import HierarchicalKMeans, XRLinearClassifier
from sklearn_xmr.datasets import load_api_docs
from sklearn_xmr.inspection import LabelTreeDisplay, describe_tree

docs = load_api_docs()
train, test = docs.train_indices, docs.test_indices
vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, stop_words="english")
X_train, X_test = (
    vectorizer.fit_transform(docs.texts[train]),
    vectorizer.transform(docs.texts[test]),
)
indexer = HierarchicalKMeans(branching_factor=16, max_leaf_size=32)
classifier = XRLinearClassifier(indexer=indexer, random_state=0).fit(X_train, docs.Y[train])
print(classifier.tree_)

# %%
# Ask a question, and see why the best answer came first. Each pair of lines is a level of the
# tree: the node on the way to the label, its margin, the factor that the margin becomes, the
# product so far, and the place among the nodes that were looked at. Below stands what the
# margin is made of: the intercept, and weight times value of each word.
names = {"feature_names": vectorizer.get_feature_names_out(), "label_names": docs.label_names}
question = vectorizer.transform(["cluster points by density"])
labels, scores = classifier.predict_topk(question, k=3)
print([str(docs.label_names[label]) for label in labels[0]])
print(classifier.explain(question, labels[0, 0], **names))

# %%
# With a beam that keeps a single node, a label is lost as soon as its node is not the best of
# its level. The explanation of a missed label tells where that happened. Below that level
# nothing was searched, so there are no ranks; margins and scores are computed all the same.
wanted = list(docs.label_names).index("sklearn.cluster.DBSCAN")
narrow = classifier.explain(question, wanted, beam_width=1, **names)
print(narrow)

# %%
# The numbers are plain attributes. Of the true labels of some test passages, count at which
# level those that were missed left the beam. A wider beam helps most on the first level.
rows = np.random.default_rng(0).choice(X_test.shape[0], 200, replace=False)
widths = [1, 2, 5, 10]
n_levels = classifier.tree_.n_levels
lost = np.zeros((len(widths), n_levels + 1))
for i, width in enumerate(widths):
    for row in rows:
        for label in docs.Y[test][[row]].indices:
            explanation = classifier.explain(X_test[[row]], label, beam_width=width)
            lost[i, explanation.lost_at_level or 0] += 1
lost = 100 * lost / lost.sum(axis=1, keepdims=True)
print("% of true labels reached:", dict(zip(widths, lost[:, 0].round(1).tolist(), strict=True)))

# %%
# What the nodes stand for is written in their weights. The words with the largest weights of
# each node:
counts = docs.Y[train].sum(axis=0)
print(
    describe_tree(
        classifier, max_depth=1, max_children=4, n_labels=2, label_counts=counts, **names
    )
)

# %%
# Both as drawings.
fig, (left, right) = plt.subplots(
    1, 2, figsize=(11, 5), width_ratios=[1, 1], layout="constrained"
)
bottom = np.zeros(len(widths))
for level in range(1, n_levels):
    left.bar(range(len(widths)), lost[:, level], bottom=bottom, label=f"lost at level {level}")
    bottom += lost[:, level]
left.set(xlabel="Beam width", ylabel="% of true labels", title="True labels lost on the way")
left.set_xticks(range(len(widths)), widths)
left.legend()
LabelTreeDisplay.from_estimator(
    classifier, max_depth=2, max_children=4, ax=right, name="The label tree", **names
)
plt.show()
