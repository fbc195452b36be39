"""Step 2: cluster the label vectors, Z -> LabelTree."""

from sklearn_xmr.indexing._hierarchical_kmeans import HierarchicalKMeans

__all__ = ["HierarchicalKMeans"]
