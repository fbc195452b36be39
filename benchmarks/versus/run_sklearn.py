"""scikit-learn: OneVsRestClassifier(LinearSVC()), for small problems.

Labels are trained on threads rather than processes (the solver releases the interpreter lock), so that CPU
seconds and memory count whole. Weights are dense float64, which bounds the size.
"""

import warnings

from benchmarks.versus.worker import K, Library, main

MAX_WEIGHTS = 4e8
ROWS_PER_BLOCK = 512


class OneVsRest(Library):
    distribution = "scikit-learn"

    def __init__(self, threads, options):
        super().__init__(threads, options)
        # imported here: its code is part of neither the fit's memory nor the model's
        from sklearn.multiclass import OneVsRestClassifier
        from sklearn.svm import LinearSVC

        self.one_vs_rest, self.svm = OneVsRestClassifier, LinearSVC

    def refuses(self, n_features, n_labels):
        reason = self.too_many_labels(n_labels)
        if reason is None and n_features * n_labels > MAX_WEIGHTS:
            reason = f"{n_features} x {n_labels} dense weights do not fit"
        return reason

    def prepare(self, X, Y, folder):
        import numpy as np

        used = np.flatnonzero(np.asarray(Y.sum(axis=0)).ravel())
        return X.astype(np.float64), Y[:, used], used

    def train(self, X, Y, used):
        import joblib

        with joblib.parallel_config("threading"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # labels that liblinear gives up on after 1000 passes
            model = self.one_vs_rest(self.svm(random_state=0), n_jobs=self.threads).fit(X, Y)
        return model, used

    def save(self, model, path):
        import joblib

        joblib.dump(model, path)

    def load(self, path, mode):
        import joblib

        return joblib.load(path)

    def queries(self, X):
        return X.astype("float64")

    def query(self, X, i):
        return X[i].astype("float64")

    def topk(self, model, queries):
        import numpy as np

        classifier, used = model
        blocks = []
        for start in range(0, queries.shape[0], ROWS_PER_BLOCK):
            scores = classifier.decision_function(queries[start : start + ROWS_PER_BLOCK])
            best = np.argpartition(-scores, K - 1, axis=1)[:, :K]
            order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
            blocks.append(used[np.take_along_axis(best, order, axis=1)])
        return np.vstack(blocks)


if __name__ == "__main__":
    main(OneVsRest)
