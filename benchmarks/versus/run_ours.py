"""sklearn-xmr: XRLinearClassifier with its defaults."""

from benchmarks.versus.worker import BEAM_WIDTH, K, Library, main


class Ours(Library):
    distribution = "sklearn-xmr"

    def __init__(self, threads, options):
        super().__init__(threads, options)
        # imported here: its code is part of neither the fit's memory nor the model's
        from sklearn_xmr import XRLinearClassifier

        self.classifier = XRLinearClassifier

    def train(self, X, Y):
        return self.classifier(beam_width=BEAM_WIDTH, random_state=0).fit(X, Y)

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
