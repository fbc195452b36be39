"""sklearn-xmr: XRLinearClassifier with its defaults, a wider tree or none (exact one-vs-rest)."""

from benchmarks.versus.worker import BEAM_WIDTH, K, Library, main


class Ours(Library):
    distribution = "sklearn-xmr"

    def __init__(self, threads, options):
        super().__init__(threads, options)
        # imported here: its code is part of neither the fit's memory nor the model's
        from sklearn_xmr import HierarchicalKMeans, LabelTree, XRLinearClassifier

        self.classifier, self.indexer, self.tree = XRLinearClassifier, HierarchicalKMeans, LabelTree

    def refuses(self, n_features, n_labels):
        return self.too_many_labels(n_labels) if "flat" in self.options else None

    def train(self, X, Y):
        indexer = None
        if "flat" in self.options:
            indexer = self.tree.flat(Y.shape[1])
        elif "branching_factor" in self.options:
            indexer = self.indexer(branching_factor=int(self.options["branching_factor"]))
        return self.classifier(indexer=indexer, beam_width=BEAM_WIDTH, random_state=0).fit(X, Y)

    def save(self, model, path):
        import joblib

        joblib.dump(model, path)

    def load(self, path, mode):
        import joblib

        return joblib.load(path)

    def topk(self, model, queries):
        return model.predict_topk(queries, k=K)

    def ranked(self, answer):
        return answer[0]


if __name__ == "__main__":
    main(Ours)
