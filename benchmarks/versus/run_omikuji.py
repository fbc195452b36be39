"""omikuji with its defaults (Parabel: balanced 2-means trees, hinge loss), option ``trees`` of them;
with the option ``shape=bonsai`` unbalanced 100-means trees of depth 3.

Its Python interface trains from a text file only; writing and parsing that file is "prepare", not "fit". It
predicts one row per call, so a batch is a pool of Python threads over the rows (calls release the
interpreter lock), or a plain loop where that is faster. Weights are densified after loading, as its
command line does. Rows without features, which its loader refuses, are left out of training.
"""

import os
from concurrent.futures import ThreadPoolExecutor

from benchmarks.versus.worker import BEAM_WIDTH, K, Library, main, pad_lists


def write_text(path, X, Y):
    """Write the text format of the extreme classification repository."""
    with open(path, "w") as out:
        out.write(f"{X.shape[0]} {X.shape[1]} {Y.shape[1]}\n")
        for i in range(X.shape[0]):
            row = slice(X.indptr[i], X.indptr[i + 1])
            labels = ",".join(map(str, Y.indices[Y.indptr[i] : Y.indptr[i + 1]].tolist()))
            pairs = zip(X.indices[row].tolist(), X.data[row].tolist())  # noqa: B905
            out.write(labels + " " + " ".join(f"{feature}:{value:.7g}" for feature, value in pairs) + "\n")


class Omikuji(Library):
    distribution = "omikuji"
    modes = ("loop", "threads")

    def __init__(self, threads, options):
        super().__init__(threads, options)
        import omikuji
        from omikuji import _libomikuji

        self.omikuji, self.lib, self.ffi = omikuji, _libomikuji.lib, _libomikuji.ffi
        self.pool = omikuji._ThreadPoolHandle(threads)
        self.modes = self.modes[: min(threads, 2)]

    def prepare(self, X, Y, folder):
        filled = X.getnnz(axis=1) > 0
        if not filled.all():
            self.notes.append(f"omikuji trained without {(~filled).sum()} row(s) that have no features")
            X, Y = X[filled], Y[filled]
        path = os.path.join(folder, "train.txt")
        write_text(path, X, Y)
        data = self.lib.load_omikuji_data_set(self.ffi.new("char[]", path.encode()), self.pool.ptr)
        os.remove(path)
        if data == self.ffi.NULL:
            raise RuntimeError("omikuji could not read the text file")
        return (self.ffi.gc(data, self.lib.free_omikuji_data_set),)

    def train(self, data):
        settings = self.omikuji.Model.default_hyper_param()
        settings.n_trees = int(self.options.get("trees", 1))
        if self.options.get("shape") == "bonsai":  # as its README says
            settings.cluster_balanced, settings.cluster_k, settings.max_depth = False, 100, 3
        trained = self.lib.train_omikuji_model(data, settings, self.pool.ptr)
        if trained == self.ffi.NULL:
            raise RuntimeError("omikuji could not train")
        return self.omikuji.Model(trained)

    def save(self, model, path):
        model.save(path)

    def load(self, path, mode):
        model = self.omikuji.Model.load(path)
        model.init_prediction_thread_pool(self.threads)
        model.densify_weights(0.1, self.threads)
        self.mode = mode
        return model

    def queries(self, X):
        return [self.query(X, i) for i in range(X.shape[0])]

    def query(self, X, i):
        row = slice(X.indptr[i], X.indptr[i + 1])
        return list(zip(X.indices[row].tolist(), X.data[row].tolist()))  # noqa: B905

    def topk(self, model, queries):
        if self.mode == "loop":
            return [self.topk_single(model, query) for query in queries]
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(lambda query: self.topk_single(model, query), queries))

    def one_thread(self, model):
        model.init_prediction_thread_pool(1)

    def topk_single(self, model, query):
        return model.predict(query, beam_size=BEAM_WIDTH, top_k=K)

    def ranked(self, answer):
        return pad_lists([[label for label, _ in row] for row in answer])


if __name__ == "__main__":
    main(Omikuji)
