"""Write the stored model of the current format: format_<number>.joblib and format_<number>_answers.npz.

    python tests/persistence/make_model.py

Run it once, when `FORMAT_VERSION` has grown, and commit both files; older ones stay as they are, as the
models of users do. The answers are kept in a file of their own that NumPy reads without pickle.
"""

from pathlib import Path

import joblib
import numpy as np

from sklearn_xmr import HierarchicalKMeans, XRLinearClassifier
from sklearn_xmr._base import FORMAT_VERSION

HERE = Path(__file__).parent


def make_problem(n_samples=30, n_features=12, n_labels=9):
    """Dense integers, so that no generator or container of another library takes part."""
    i, j = np.indices((n_samples, n_features))
    X = ((i * 7 + j * 3 + i * j) % 5).astype(np.float32) / 10
    labels = (np.arange(n_samples)[:, None] + np.array([0, 4])) % n_labels
    Y = np.zeros((n_samples, n_labels), dtype=np.int64)
    np.put_along_axis(Y, labels, 1, axis=1)
    return X, Y


def main():
    """Fit, store, ask."""
    X, Y = make_problem()
    indexer = HierarchicalKMeans(branching_factor=2, max_leaf_size=3)
    model = XRLinearClassifier(indexer=indexer, beam_width=3, weight_dtype="int16", random_state=0).fit(
        X, Y
    )
    joblib.dump(model, HERE / f"format_{FORMAT_VERSION}.joblib")
    labels, scores = model.predict_topk(X, k=4)
    np.savez_compressed(
        HERE / f"format_{FORMAT_VERSION}_answers.npz",
        X=X,
        labels=labels,
        scores=scores,
        decision=model.decision_function(X),
    )


if __name__ == "__main__":
    main()
