"""Step 2: cluster the label vectors, Z -> LabelTree."""

from sklearn_xmr.indexing._hierarchical_kmeans import HierarchicalKMeans
from sklearn_xmr.indexing._overlapping import OverlappingIndexer

__all__ = ["HierarchicalKMeans", "OverlappingIndexer"]
