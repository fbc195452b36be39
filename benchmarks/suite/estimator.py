"""What users wait for: fit, predict_topk, one query, loading; with the quality and size that it buys."""

import pickle

from sklearn_xmr import XRLinearClassifier
from sklearn_xmr.metrics import precision_at_k

from .problems import SIZES, fitted, problem  # asv makes this folder the top-level package


class Fit:
    """Training with the defaults."""

    params = SIZES
    param_names = ("n_labels",)

    def setup(self, n_labels):
        self.X, self.Y, _, _ = problem(n_labels)

    def time_fit(self, n_labels):
        XRLinearClassifier(random_state=0).fit(self.X, self.Y)

    def peakmem_fit(self, n_labels):
        XRLinearClassifier(random_state=0).fit(self.X, self.Y)


class Predict:
    """Answers of a fitted model."""

    params = SIZES
    param_names = ("n_labels",)

    def setup(self, n_labels):
        _, _, self.X, self.Y = problem(n_labels)
        self.row = self.X[[0]]
        self.model = fitted(n_labels)
        self.pickled = pickle.dumps(self.model, protocol=5)

    def time_predict_topk(self, n_labels):
        self.model.predict_topk(self.X, k=10)

    def time_single_query(self, n_labels):
        self.model.predict_topk(self.row, k=10)

    def time_load(self, n_labels):
        pickle.loads(self.pickled)

    def peakmem_predict_topk(self, n_labels):
        self.model.predict_topk(self.X, k=10)

    def track_precision_at_1(self, n_labels):
        return 100 * precision_at_k(self.Y, self.model.predict_topk(self.X, k=1), k=1)

    def track_precision_at_5(self, n_labels):
        return 100 * precision_at_k(self.Y, self.model.predict_topk(self.X, k=5), k=5)

    def track_model_bytes(self, n_labels):
        return len(self.pickled)

    track_precision_at_1.unit = track_precision_at_5.unit = "percent"
    track_model_bytes.unit = "bytes"
