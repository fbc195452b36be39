"""
Compare label embeddings
========================

A label embedding decides which labels stand together in the label tree. How much does it
matter? We build the same kind of tree from five embeddings, and from random vectors as a
control, and rank with beams of different widths.
"""

# %%
# The data are passages of installed documentation; a passage's labels are the functions it is
# about.
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from sklearn_xmr.datasets import load_api_docs

docs = load_api_docs()
vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, stop_words="english")
X_train = vectorizer.fit_transform(docs.texts[docs.train_indices])
X_test = vectorizer.transform(docs.texts[docs.test_indices])
Y_train, Y_test = docs.Y[docs.train_indices], docs.Y[docs.test_indices]
print(f"{X_train.shape[0]:,} passages, {X_train.shape[1]:,} words, {Y_train.shape[1]:,} labels")

# %%
# PIFA sums the features of the passages with a label. PII and the spectral embedding look at
# which labels occur together, and the label names know nothing about the passages. A pipeline
# that starts with an embedding is one too, and an array of label vectors is taken as it is.
from sklearn.decomposition import TruncatedSVD
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sklearn_xmr import PIFA, PII, GraphSpectralEmbedding, LabelTextEmbedding

names = [name.replace(".", " ").replace("_", " ") for name in docs.label_names]
embeddings = {
    "PIFA": PIFA(),
    "PIFA, 100 dimensions": make_pipeline(
        PIFA(), TruncatedSVD(100, random_state=0), Normalizer()
    ),
    "PII": PII(),
    "spectral": GraphSpectralEmbedding(n_dims=50),
    "label names": LabelTextEmbedding(names),
    "random": np.random.default_rng(0).normal(size=(len(names), 16)),
}

# %%
# Small leaves of at most 32 labels make the search selective, so that a bad tree shows. The
# beam is an argument of prediction: each model is fitted once.
from sklearn_xmr import HierarchicalKMeans, XRLinearClassifier
from sklearn_xmr.metrics import precision_at_k

beam_widths = [1, 2, 4, 8, 16, 32]
precision = {}
for name, embedding in embeddings.items():
    indexer = HierarchicalKMeans(branching_factor=16, max_leaf_size=32)
    model = XRLinearClassifier(embedding, indexer, random_state=0).fit(X_train, Y_train)
    precision[name] = [
        100 * precision_at_k(Y_test, model.predict_topk(X_test, k=5, beam_width=width), k=5)
        for width in beam_widths
    ]
    print(f"{name:22s}", " ".join(f"{value:5.1f}" for value in precision[name]))

# %%
# With a narrow beam the tree is everything: a label whose leaf is missed is lost. Labels in
# random places cost most of the precision. A wide beam forgives a poor tree, yet not
# entirely: the labels of a leaf are also each other's negatives in training, and negatives
# that have nothing to do with a label teach its ranker little.
#
# The differences among the sensible embeddings are small, which is why PIFA is the default:
# it needs nothing but X and Y.
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(8, 4.8), layout="constrained")
markers = dict(zip(embeddings, "osD^vX", strict=True))
for name, values in precision.items():
    color = "0.5" if name == "random" else None
    ax.plot(beam_widths, values, marker=markers[name], color=color, label=name)
ax.set_xscale("log", base=2)
ax.set_xticks(beam_widths, [str(width) for width in beam_widths])
ax.set(
    xlabel="beam width",
    ylabel="precision at 5, %",
    title="The wider the beam, the less the tree matters",
)
ax.grid(alpha=0.3)
ax.legend(title="label embedding")
plt.show()
