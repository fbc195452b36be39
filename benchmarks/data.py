"""Matrices, texts and label names of a data folder."""

import gzip

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer

MATRICES = ("X_train", "X_test", "Y_train", "Y_test")


def holdout_rows(n_rows):
    """A fifth of the training rows, drawn at random, to measure on, and the others; both ascending."""
    order = np.random.default_rng(0).permutation(n_rows)
    return np.sort(order[n_rows // 5 :]), np.sort(order[: n_rows // 5])


def load(folder, holdout=False):
    """The `MATRICES`; with `holdout`, some of the training rows are the test rows."""
    if not holdout:
        return [sp.csr_array(sp.load_npz(folder / f"{name}.npz")) for name in MATRICES]
    X, Y = (sp.csr_array(sp.load_npz(folder / f"{part}_train.npz")) for part in "XY")
    train, test = holdout_rows(X.shape[0])
    return X[train], X[test], Y[train], Y[test]


def load_texts(folder, holdout=False):
    """Training and test texts, of the same rows as the matrices."""
    texts = read_texts(folder, "train")
    if not holdout:
        return texts, read_texts(folder, "test")
    return [[texts[row] for row in rows] for rows in holdout_rows(len(texts))]


def read_texts(folder, part):
    """Lines of a part, whole texts if they are there, else their heads."""
    whole, head = folder / f"{part}.txt.gz", folder / f"{part}.head.txt.gz"
    with gzip.open(whole if whole.exists() else head, "rt", encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file]


def read_label_names(folder):
    """Name of each label."""
    return (folder / "labels.txt").read_text(encoding="utf-8").splitlines()


def fit_vectorizer(texts):
    """A vectorizer fitted to training texts, and their features."""
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, dtype=np.float32)
    return vectorizer, sp.csr_array(vectorizer.fit_transform(texts))


def add_name_rows(X, Y, X_names):
    """X and Y with one more row for each label: the features of its name, and that label."""
    names = sp.eye_array(Y.shape[1], dtype=Y.dtype)
    return sp.csr_array(sp.vstack([X, X_names])), sp.csr_array(sp.vstack([Y, names]))
