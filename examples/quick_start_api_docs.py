"""
Find a function by what it does
===============================

Text in, ranked labels out. The texts are passages of the docstrings of the installed NumPy,
SciPy and scikit-learn; the labels of a passage are the function it describes and that
function's See Also.
"""

import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from sklearn_xmr import XRLinearClassifier
from sklearn_xmr.datasets import load_api_docs
from sklearn_xmr.metrics import (
    jain_propensity,
    precision_at_k,
    propensity_scored_precision_at_k,
)

QUESTIONS = [
    "solve a sparse linear system",
    "test whether two samples come from the same distribution",
    "cluster points by density",
]


# %%
# The data come with a fixed split.
start = time.perf_counter()
docs = load_api_docs()
texts_train, Y_train = docs.texts[docs.train_indices], docs.Y[docs.train_indices]
texts_test, Y_test = docs.texts[docs.test_indices], docs.Y[docs.test_indices]
print(
    f"data: {Y_train.shape[0]:,} training and {Y_test.shape[0]:,} test passages, "
    f"{Y_train.shape[1]:,} labels, {docs.Y.nnz / docs.Y.shape[0]:.2f} labels a passage "
    f"({time.perf_counter() - start:.1f} s)"
)

# %%
# A pipeline of two estimators: words to weighted counts, weighted counts to a ranking.
vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, stop_words="english")
pipeline = make_pipeline(vectorizer, XRLinearClassifier(random_state=0))

start = time.perf_counter()
X_train = vectorizer.fit_transform(texts_train)
vectorized = time.perf_counter()
classifier = pipeline[-1].fit(X_train, Y_train)
trained = time.perf_counter()
labels, scores = classifier.predict_topk(vectorizer.transform(texts_test), k=5)
print(
    f"tf-idf: {X_train.shape[1]:,} features in {vectorized - start:.2f} s; "
    f"training {trained - vectorized:.2f} s; "
    f"{Y_test.shape[0]:,} test passages (text included) {time.perf_counter() - trained:.2f} s"
)

# %%
# Precision at 1, 3, 5 on held-out passages, and propensity-scored precision, which counts
# rare labels more.
precisions = [precision_at_k(Y_test, (labels, scores), k=k) for k in (1, 3, 5)]
tail = propensity_scored_precision_at_k(
    Y_test, (labels, scores), propensities=jain_propensity(Y_train), k=5
)
print(
    "P@1/3/5 {:.1f}/{:.1f}/{:.1f}".format(*(100 * p for p in precisions)),
    f" PSP@5 {100 * tail:.1f}",
)


# %%
# Plain questions. A pipeline does not forward ``predict_topk``: apply its steps.
def ask(model, question, k=10):
    labels, scores = model[-1].predict_topk(model[:-1].transform([question]), k=k)
    print(f"\n{question}")
    for label, score in zip(labels[0], scores[0], strict=True):
        if label >= 0:  # -1 pads where the search found fewer than k
            print(f"  {score:.3f}  {docs.label_names[label]}")


for question in QUESTIONS:
    ask(pipeline, question)

# %%
# A saved model is read by memory map: nothing is copied, and processes share the pages.
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "api_docs.joblib"
    joblib.dump(pipeline, path)
    start = time.perf_counter()
    loaded = joblib.load(path, mmap_mode="r")
    seconds = time.perf_counter() - start
    print(f"\nsaved {path.stat().st_size / 1e6:.1f} MB, loaded in {1000 * seconds:.0f} ms")
    query = loaded[:-1].transform(QUESTIONS[:1])
    loaded[-1].predict_topk(query)
    start = time.perf_counter()
    loaded[-1].predict_topk(query)
    print(f"one query against the map: {1e6 * (time.perf_counter() - start):.0f} microseconds")
    for question in QUESTIONS:
        ask(loaded, question)

# %%
# With matplotlib, the answers as a picture. Scores fall off steeply behind a sure hit and
# slowly where several functions answer the question.
try:
    import matplotlib.pyplot as plt
except ImportError:  # the library itself does not need it
    plt = None

if plt is not None:
    fig, axes = plt.subplots(3, 1, figsize=(8, 8), layout="constrained", sharex=True)
    for ax, question in zip(axes, QUESTIONS, strict=True):
        labels, scores = classifier.predict_topk(vectorizer.transform([question]), k=6)
        names = docs.label_names[labels[0][labels[0] >= 0]]
        ax.barh(range(names.size), scores[0][: names.size], color="#4c72b0")
        ax.set_yticks(range(names.size), names)
        ax.invert_yaxis()
        ax.set_title(question, loc="right")
    axes[-1].set_xlabel("score")
