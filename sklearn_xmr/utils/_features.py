"""Features of several kinds side by side."""

import numpy as np
import scipy.sparse as sp
from sklearn.preprocessing import normalize


def join_features(features, embeddings, embedding_weight):
    """[features, embedding_weight * unit embeddings] as csr_array of float32; features may be None."""
    dense = sp.csr_array(np.float32(embedding_weight) * normalize(embeddings))
    return dense if features is None else sp.csr_array(sp.hstack([features, dense], format="csr"))
