"""
A label embedding of your own
=============================

Any object with ``fit_transform(X, Y)`` that returns one row per label is a label embedding.
Here is one that blends what the rows of a label say (PIFA) with what its name says, and the
search for the best blend.
"""

# %%
# The class is an ordinary estimator of scikit-learn: parameters in ``__init__``, nothing else
# there. The square roots make the dot product of two blended vectors the blend of the two dot
# products.
import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator

from sklearn_xmr import PIFA, LabelTextEmbedding


class BlendedEmbedding(BaseEstimator):
    """PIFA beside an embedding of the label names, `names_share` of the whole."""

    def __init__(self, names=(), names_share=0.5):
        self.names = names
        self.names_share = names_share

    def fit_transform(self, X, Y):
        of_rows = PIFA().fit_transform(X, Y)
        of_names = LabelTextEmbedding(self.names).fit_transform(None)
        rows_share = 1 - self.names_share
        return sp.hstack(
            [np.sqrt(rows_share) * of_rows, np.sqrt(self.names_share) * of_names], format="csr"
        )


# %%
# Names such as ``scipy.sparse.linalg.spsolve`` are cut into words.
from sklearn.feature_extraction.text import TfidfVectorizer

from sklearn_xmr.datasets import load_api_docs

docs = load_api_docs()
names = [name.replace(".", " ").replace("_", " ") for name in docs.label_names]
X = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, stop_words="english").fit_transform(
    docs.texts
)
train, test = docs.train_indices, docs.test_indices
X_train, Y_train, X_test, Y_test = X[train], docs.Y[train], X[test], docs.Y[test]

# %%
# The blend is a nested parameter like any other, ``label_embedding__names_share``. How well a
# tree groups the labels shows best with a narrow beam, so we look at widths of 1 and 10.
from sklearn_xmr import HierarchicalKMeans, XRLinearClassifier
from sklearn_xmr.metrics import precision_at_k

classifier = XRLinearClassifier(
    BlendedEmbedding(names),
    HierarchicalKMeans(branching_factor=16, max_leaf_size=32),
    random_state=0,
)
shares = [0, 0.2, 0.4, 0.6, 0.8, 1]
precision = {1: [], 10: []}
for share in shares:
    classifier.set_params(label_embedding__names_share=share).fit(X_train, Y_train)
    for width, values in precision.items():
        ranking = classifier.predict_topk(X_test, k=5, beam_width=width)
        values.append(100 * precision_at_k(Y_test, ranking, k=5))
    print(
        f"share of the names {share:.1f}: "
        + ", ".join(f"{v[-1]:.1f}" for v in precision.values())
    )

# %%
# Names alone make the worse tree: modules group functions by package and not by what passages
# about them have in common. With the usual beam of 10 the choice hardly matters. That is
# worth knowing before one spends time on embeddings: widen the beam first.
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
for (width, values), marker in zip(precision.items(), "os", strict=True):
    ax.plot(shares, values, marker=marker, label=f"beam width {width}")
ax.set(
    xlabel="share of the label names (0: PIFA alone, 1: names alone)",
    ylabel="precision at 5, %",
    title="A blend of two label embeddings",
    ylim=(0, None),
)
ax.grid(alpha=0.3)
ax.legend(loc="lower left")
plt.show()
