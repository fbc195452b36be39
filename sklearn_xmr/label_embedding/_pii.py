"""PII: a label is the set of instances that carry it."""

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.label_embedding._base import BaseLabelEmbedding, label_indicator


class PII(BaseLabelEmbedding):
    r"""Embed labels by positive instance indices.

    Row l of the embedding is column l of the indicator matrix Y, scaled to unit length:
    :math:`Z = \mathrm{rownorm}_2(Y^\top)`. The dot product of two labels is the cosine of their sets of
    instances. No features are needed.

    Read more in the :ref:`User Guide <label_embedding>`.

    Attributes
    ----------
    embedding_ : csr_array of shape (n_labels, n_samples), dtype float32
        One row per label, of unit l2 norm; zero for a label that no instance carries.
    has_embedding_ : ndarray of shape (n_labels,), dtype bool
        False for the zero rows.

    See Also
    --------
    PIFA : Sums the features of the instances instead; can also place instances.
    GraphSpectralEmbedding : Few dense dimensions from Y alone.

    References
    ----------
    .. [1] H.-F. Yu, K. Zhong, J. Zhang, W.-C. Chang and I. S. Dhillon, "PECOS: Prediction for enormous
       and correlated output spaces", Journal of Machine Learning Research 23, 2022, section 3.1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_xmr import PII
    >>> Y = np.array([[1, 0, 0], [1, 1, 0]])
    >>> embedding = PII()
    >>> embedding.fit_transform(None, Y).toarray().round(2)
    array([[0.71, 0.71],
           [0.  , 1.  ],
           [0.  , 0.  ]], dtype=float32)
    >>> embedding.has_embedding_
    array([ True,  True, False])
    """

    _parameter_constraints: dict = {}  # noqa: RUF012

    def _embed(self, X, y):
        Y = label_indicator(X, y, name=type(self).__name__)
        return sp.csr_array(Y.T, dtype=np.float32), {}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.no_validation = True  # X is only counted, so it may be anything, texts included
        return tags
