"""The steps of fit and predict alone, each nearly all kernel, called through public names."""

import subprocess
import sys

from sklearn_xmr import PIFA, HierarchicalKMeans, XRLinearClassifier

from .problems import SIZES, fitted, problem  # asv makes this folder the top-level package


class LabelEmbedding:
    """PIFA: a sparse product."""

    params = SIZES
    param_names = ("n_labels",)

    def setup(self, n_labels):
        self.X, self.Y, _, _ = problem(n_labels)

    def time_pifa(self, n_labels):
        PIFA().fit_transform(self.X, self.Y)


class Clustering:
    """Balanced k-means."""

    params = SIZES
    param_names = ("n_labels",)

    def setup(self, n_labels):
        X, Y, _, _ = problem(n_labels)
        self.Z = PIFA().fit_transform(X, Y)

    def time_hierarchical_kmeans(self, n_labels):
        HierarchicalKMeans(random_state=0).fit(self.Z)

    def peakmem_hierarchical_kmeans(self, n_labels):
        HierarchicalKMeans(random_state=0).fit(self.Z)


class Solver:
    """One-vs-rest training down a given tree."""

    params = (SIZES, ["squared_hinge", "hinge", "log_loss"])
    param_names = ("n_labels", "loss")

    def setup(self, n_labels, loss):
        self.X, self.Y, _, _ = problem(n_labels)
        self.tree = fitted(n_labels).tree_

    def time_solve(self, n_labels, loss):
        XRLinearClassifier(indexer=self.tree, loss=loss, random_state=0).fit(self.X, self.Y)


class BeamSearch:
    """Search with several beams."""

    params = (SIZES, [1, 10, 50])
    param_names = ("n_labels", "beam_width")

    def setup(self, n_labels, beam_width):
        self.X = problem(n_labels)[2]
        self.model = fitted(n_labels)

    def time_search(self, n_labels, beam_width):
        self.model.predict_topk(self.X, k=10, beam_width=beam_width)


class Import:
    """Start of a process."""

    params = ("import sklearn_xmr", "from sklearn_xmr import XRLinearClassifier")
    param_names = ("statement",)

    def time_import(self, statement):
        subprocess.run([sys.executable, "-c", statement], check=True)
