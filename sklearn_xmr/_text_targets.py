"""What a fit on texts learns, and how much each row and label of it counts."""

import copy
import inspect

import numpy as np

from sklearn_xmr.indexing._unused_labels import columns_of
from sklearn_xmr.ranking._relevance import check_relevance
from sklearn_xmr.utils._sklearn_private import check_sample_weight
from sklearn_xmr.utils._targets import encode_targets, rows_that_count


class TextTargets:
    """Labels and weights of the texts, checked.

    Parameters
    ----------
    n_samples : int
    y, sample_weight, relevance
        As for the estimator's ``fit``.
    ranker : estimator
        Its ``fit`` must take what is given.

    Attributes
    ----------
    Y : csr_array of shape (n_samples, n_labels)
        Ones where a row has a label.
    classes : ndarray of shape (n_labels,)
    relevance : csr_array of shape (n_samples, n_labels)
        How much they count; Y itself where no relevance is given.
    row_weights : ndarray of shape (n_samples,)
        With a mean of 1 over the rows that count.
    given : dict
        Weights for the ranker's ``fit``.

    Raises
    ------
    ValueError
        If y, sample_weight or relevance is malformed.
    TypeError
        If the ranker cannot be fitted with such weights.
    """

    def __init__(self, n_samples, y, sample_weight, relevance, ranker):
        self.Y, self.classes, _ = encode_targets(y, n_samples)
        self.relevance, self.row_weights, self.given = self.Y, np.ones(n_samples), {}
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, self.Y, ensure_non_negative=True)
            used = rows_that_count(sample_weight, self.Y)
            shares = sample_weight / sample_weight.max()  # whose sum cannot overflow
            self.row_weights = shares / shares[used].mean()
            self.given["sample_weight"] = sample_weight
        if relevance is not None:
            self.relevance = self.given["relevance"] = check_relevance(relevance, self.Y)
        try:
            inspect.signature(ranker.fit).bind(None, None, **self.given)
        except TypeError as error:
            raise TypeError(
                f"ranker must have a fit(X, y{''.join(f', {name}=' for name in self.given)}), {ranker!r} "
                f"has none: {error}."
            ) from error

    def of_labels(self, used):
        """The same without labels that no row has; `used` are the others, or None for all."""
        if used is None:
            return self
        targets = copy.copy(self)
        targets.Y, targets.relevance = columns_of(self.Y, used), columns_of(self.relevance, used)
        return targets
