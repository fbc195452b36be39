"""libpecos (XR-Linear) with its defaults, or with the settings of an option ``recipe``.

That is PIFA, hierarchical k-means (16 splits, leaves of up to 100 labels), squared hinge, teacher-forcing
negatives, and weights below 0.1 dropped.

Predictions come from the saved model, loaded for prediction only: the object that training returns is
many times slower. Both weight layouts are measured, because which one is faster depends on the data.
"""

from benchmarks.versus.worker import BEAM_WIDTH, K, Library, main, pad_lists

#: Published settings: the defaults, costs induced from the labels, harder negatives.
RECIPES = {
    "default": {"threshold": 0.1},
    "relevance": {"threshold": 1e-3, "Cp": 4.0, "rel_mode": "induce", "rel_norm": "l1"},
    "tfn+man": {
        "threshold": 0.1, "negative_sampling_scheme": "tfn+man", "only_topk": K, "beam_size": BEAM_WIDTH,
    },
}  # fmt: skip


class Pecos(Library):
    distribution = "libpecos"
    modes = ("BINARY_SEARCH_CHUNKED", "HASH_CHUNKED")

    def __init__(self, threads, options):
        super().__init__(threads, options)
        # imported here: its code (torch among it) is part of neither the fit's memory nor the model's
        from pecos.xmc import Indexer, LabelEmbeddingFactory
        from pecos.xmc.xlinear.model import XLinearModel

        self.embed, self.index, self.linear = LabelEmbeddingFactory.create, Indexer.gen, XLinearModel

    def prepare(self, X, Y, folder):
        return X, Y, Y.tocsc()

    def train(self, X, Y, Y_by_label):
        Z = self.embed(Y, X, method="pifa", threads=self.threads)
        tree = self.index(Z, indexer_type="hierarchicalkmeans", threads=self.threads, seed=0)
        recipe = dict(RECIPES[self.options.get("recipe", "default")])
        relevance = {"R": Y_by_label} if "rel_mode" in recipe else {}
        return self.linear.train(X, Y_by_label, C=tree, threads=self.threads, **relevance, **recipe)

    def save(self, model, path):
        model.save(path)

    def load(self, path, mode):
        return self.linear.load(path, is_predict_only=True, weight_matrix_type=mode)

    def topk(self, model, queries):
        return model.predict(queries, only_topk=K, beam_size=BEAM_WIDTH, threads=self.threads)

    def topk_single(self, model, query):
        return model.predict(query, only_topk=K, beam_size=BEAM_WIDTH, threads=1)

    def ranked(self, answer):
        rows = (answer.getrow(i) for i in range(answer.shape[0]))
        return pad_lists([row.indices[(-row.data).argsort(kind="stable")] for row in rows])


if __name__ == "__main__":
    main(Pecos)
