"""napkinXC: probabilistic label tree with its Python defaults (balanced 2-means tree, logistic loss).

It writes its model to disk while it trains, so fit includes that, and predicts by exact search.
"""

import os
import shutil

from benchmarks.versus.worker import K, Library, main, pad_lists


class NapkinXC(Library):
    distribution = "napkinxc"

    def __init__(self, threads, options):
        super().__init__(threads, options)
        from napkinxc.models import PLT

        self.plt = PLT

    def prepare(self, X, Y, folder):
        return X, Y, os.path.join(folder, "trained")

    def train(self, X, Y, folder):
        model = self.plt(folder, threads=self.threads, seed=0)
        model.fit(X, Y)
        return folder

    def save(self, model, path):
        shutil.move(model, path)

    def load(self, path, mode):
        model = self.plt(path, threads=self.threads)
        model.load()
        return model

    def topk(self, model, queries):
        return model.predict(queries, top_k=K)

    def ranked(self, answer):
        return pad_lists(answer)


if __name__ == "__main__":
    main(NapkinXC)
