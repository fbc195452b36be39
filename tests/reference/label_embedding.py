"""Label embeddings once more, in plain loops or dense linear algebra."""

import math

import numpy as np


def pii(Y):
    n_samples, n_labels = len(Y), len(Y[0])
    return [_unit([float(Y[i][label]) for i in range(n_samples)]) for label in range(n_labels)]


def pifa(X, Y, *, normalize_labels=True, max_features=None, sample_weight=None):
    n_samples, n_features, n_labels = len(X), len(X[0]), len(Y[0])
    Z = []
    for label in range(n_labels):
        v = [0.0] * n_features
        for i in range(n_samples):
            if not Y[i][label]:
                continue
            weight = 1.0 if sample_weight is None else float(sample_weight[i])
            if normalize_labels:
                weight /= math.sqrt(sum(Y[i]))
            for j in range(n_features):
                v[j] += weight * float(X[i][j])
        if max_features is not None:
            kept = sorted(range(n_features), key=lambda j: (-abs(v[j]), j))[:max_features]
            v = [v[j] if j in kept else 0.0 for j in range(n_features)]
        Z.append(_unit(v))
    return Z


def graph_spectral(A, n_dims):
    """Dhillon's definition by a full SVD; for a connected graph, where the first pair is unique."""
    A = np.asarray(A, dtype=float)
    d1, d2 = A.sum(axis=1), A.sum(axis=0)
    d1[d1 == 0] = 1
    isolated = d2 == 0
    d2[isolated] = 1
    _, _, Vt = np.linalg.svd(A / np.sqrt(d1)[:, None] / np.sqrt(d2)[None, :])
    Z = []
    for j in range(1, n_dims + 1):
        v = Vt[j]
        v = v if v[np.argmax(np.abs(v))] > 0 else -v
        Z.append(v / np.sqrt(d2))
    Z = np.array(Z).T
    Z[isolated] = 0
    Z[np.abs(Z) < 1e-9] = 0
    return [_unit(list(row)) for row in Z]


def _unit(v):
    norm = math.sqrt(sum(value * value for value in v))
    return [value / norm if norm else 0.0 for value in v]
