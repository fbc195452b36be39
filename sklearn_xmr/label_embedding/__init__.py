"""Step 1: represent each label by a vector, (X, Y) -> Z of shape (n_labels, n_dims)."""

from sklearn_xmr.label_embedding._graph_spectral import GraphSpectralEmbedding
from sklearn_xmr.label_embedding._pifa import PIFA
from sklearn_xmr.label_embedding._pii import PII
from sklearn_xmr.label_embedding._text import LabelTextEmbedding

__all__ = ["PIFA", "PII", "GraphSpectralEmbedding", "LabelTextEmbedding"]
