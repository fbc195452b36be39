"""Label propensities and the metrics that weigh hits by them."""

import numbers
import reprlib

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.metrics._ranking import ideal_discount_sums, rank_discounts
from sklearn_xmr.metrics._topk import rank_against_truth, topk
from sklearn_xmr.utils._validation import check_label_matrix


def jain_propensity(y_train, *, a=0.55, b=1.5):
    """Estimate how likely a true label is to be recorded, from its training frequency.

    The model of Jain et al. [1]_: with N training rows, N_l of them with label l,
    p_l = 1 / (1 + c (N_l + b)^(-a)) and c = (ln N - 1) (b + 1)^a. Rare labels get low propensities.

    Parameters
    ----------
    y_train : {array-like, sparse matrix, sparse array} of shape (n_samples, n_labels)
        Indicator matrix of the training set, at least three rows.
    a : float, default=0.55
        Exponent, above 0. Customary: 0.5 for the Wikipedia sets, 0.6 for the Amazon sets, 0.55
        otherwise.
    b : float, default=1.5
        Shift of the counts, above 0. Customary: 0.4 for the Wikipedia sets, 2.6 for the Amazon sets,
        1.5 otherwise.

    Returns
    -------
    ndarray of shape (n_labels,)
        In (0, 1].

    Raises
    ------
    TypeError
        If `a` or `b` is not a real number.
    ValueError
        If `y_train` is not an indicator matrix, has fewer than three rows (the model then yields no
        propensity), `a` or `b` is not positive and finite, or they are so large that a propensity is 0.

    See Also
    --------
    propensity_scored_precision_at_k : Takes the result as `propensities`.

    References
    ----------
    .. [1] H. Jain, Y. Prabhu and M. Varma, "Extreme multi-label loss functions for recommendation,
       tagging, ranking & other missing label applications", KDD 2016.

    Examples
    --------
    >>> from sklearn_xmr.metrics import jain_propensity
    >>> y_train = [[1, 0], [1, 0], [1, 1], [1, 0], [1, 0], [1, 0]]
    >>> jain_propensity(y_train).round(3)
    array([0.698, 0.558])
    """
    for name, value in (("a", a), ("b", b)):
        if not isinstance(value, numbers.Real):
            raise TypeError(f"{name} must be a number, got {value!r} of type {type(value).__name__}.")
        if not 0 < value < np.inf:
            raise ValueError(f"{name} must be positive and finite, got {value!r}.")
    y_train = check_label_matrix(y_train, input_name="y_train")
    n_samples, n_labels = y_train.shape
    if n_samples < 3:
        raise ValueError(f"y_train must have at least 3 rows, got {n_samples}.")
    counts = np.bincount(y_train.indices, minlength=n_labels)
    with np.errstate(over="ignore", invalid="ignore"):
        exponent, shift = float(a), np.float64(b)  # integers have no negative powers
        c = (np.log(n_samples) - 1) * (shift + 1) ** exponent
        propensities = 1 / (1 + c * (counts + shift) ** -exponent)
    if not np.all(propensities > 0):
        raise ValueError(f"a={a!r} and b={b!r} are out of the range in which propensities are above 0.")
    return propensities


def propensity_scored_precision_at_k(y_true, y_pred, *, propensities, k=5, sample_weight=None):
    """Compute precision at k with hits weighed by inverse propensity.

    A hit on label l counts 1 / p_l. The total over all rows is divided by the total of the best
    possible predictions: one ratio of totals, not a mean of ratios, as in the tools of the Extreme
    Classification Repository. 0 if no row has a true label.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, sparse array} of shape (n_samples, n_labels)
        True labels as an indicator matrix of 0 and 1.
    y_pred : tuple (labels, scores) or {array-like, sparse matrix, sparse array}
        Ranked pair or scores, see :func:`precision_at_k`.
    propensities : array-like of shape (n_labels,)
        Propensities in (0, 1], from :func:`jain_propensity` of the *training* labels.
    k : int, default=5
        Number of predictions that count. May exceed the number of labels.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative row weights of both totals.

    Returns
    -------
    float
        Between 0 and 1, higher is better.

    Raises
    ------
    TypeError
        If `k` is not an integer.
    ValueError
        If `propensities` has another length than `y_true` has columns or values outside (0, 1], or for
        the reasons given in :func:`precision_at_k`.

    See Also
    --------
    jain_propensity : Estimate the propensities.
    precision_at_k : All hits count the same.

    References
    ----------
    .. [1] H. Jain, Y. Prabhu and M. Varma, "Extreme multi-label loss functions for recommendation,
       tagging, ranking & other missing label applications", KDD 2016.

    Examples
    --------
    >>> from sklearn_xmr.metrics import propensity_scored_precision_at_k
    >>> y_true = [[1, 0, 1], [0, 1, 0]]
    >>> y_score = [[0.9, 0.8, 0.7], [0.2, 0.6, 0.1]]
    >>> propensity_scored_precision_at_k(y_true, y_score, propensities=[0.5, 0.5, 0.25], k=1)
    0.6666666666666666
    """
    ranking = rank_against_truth(y_true, y_pred, k, sample_weight)
    gains, best_gains = _inverse_propensity_gains(ranking, propensities)
    return _ratio_of_totals(gains.sum(axis=1), best_gains.sum(axis=1), ranking.sample_weight)


def propensity_scored_ndcg_at_k(y_true, y_pred, *, propensities, k=5, sample_weight=None):
    """Compute the discounted cumulative gain at k with hits weighed by inverse propensity.

    A hit on label l at rank r gains 1 / (p_l log2(r + 1)). Each row's gain is divided by the plain
    ideal of :func:`ndcg_at_k`; the total over all rows is then divided by the same total of the best
    possible predictions. 0 if no row has a true label.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, sparse array} of shape (n_samples, n_labels)
        True labels as an indicator matrix of 0 and 1.
    y_pred : tuple (labels, scores) or {array-like, sparse matrix, sparse array}
        Ranked pair or scores, see :func:`precision_at_k`.
    propensities : array-like of shape (n_labels,)
        Propensities in (0, 1], from :func:`jain_propensity` of the *training* labels.
    k : int, default=5
        Number of predictions that count. May exceed the number of labels.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative row weights of both totals.

    Returns
    -------
    float
        Between 0 and 1, higher is better.

    Raises
    ------
    TypeError
        If `k` is not an integer.
    ValueError
        For the reasons given in :func:`propensity_scored_precision_at_k`.

    See Also
    --------
    jain_propensity : Estimate the propensities.
    ndcg_at_k : All hits count the same.

    References
    ----------
    .. [1] H. Jain, Y. Prabhu and M. Varma, "Extreme multi-label loss functions for recommendation,
       tagging, ranking & other missing label applications", KDD 2016.

    Examples
    --------
    >>> from sklearn_xmr.metrics import propensity_scored_ndcg_at_k
    >>> y_true = [[1, 0, 1], [0, 1, 0]]
    >>> y_score = [[0.9, 0.8, 0.7], [0.2, 0.6, 0.1]]
    >>> propensity_scored_ndcg_at_k(y_true, y_score, propensities=[0.5, 0.5, 0.25], k=1)
    0.6666666666666666
    """
    ranking = rank_against_truth(y_true, y_pred, k, sample_weight)
    gains, best_gains = _inverse_propensity_gains(ranking, propensities)
    return _ratio_of_totals(
        gains @ rank_discounts(gains.shape[1]),
        best_gains @ rank_discounts(best_gains.shape[1]),
        ranking.sample_weight / ideal_discount_sums(ranking),
    )


def _inverse_propensity_gains(ranking, propensities):
    """1 / p of the hits at their ranks, and 1 / p of each row's true labels in descending order."""
    inverse = 1 / _check_propensities(propensities, ranking.y_true.shape[1])
    gains = np.where(ranking.hits, inverse[ranking.labels], 0)
    y_true = ranking.y_true
    worth = sp.csr_array((inverse[y_true.indices], y_true.indices, y_true.indptr), shape=y_true.shape)
    best_gains = topk(worth, max(1, min(ranking.k, ranking.n_true.max())))[1]
    best_gains[best_gains == -np.inf] = 0
    return gains, best_gains


def _check_propensities(propensities, n_labels):
    try:
        propensities = np.asarray(propensities, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"propensities must be numbers, got {reprlib.repr(propensities)}.") from error
    if propensities.shape != (n_labels,):
        raise ValueError(
            f"propensities must have shape ({n_labels},), one per column of y_true, got shape "
            f"{propensities.shape}."
        )
    wrong = propensities[~((propensities > 0) & (propensities <= 1))]
    if wrong.size:
        raise ValueError(f"propensities must lie in (0, 1], got {wrong[0]}.")
    return propensities


def _ratio_of_totals(gains, best_gains, weights):
    total = weights @ best_gains
    return float(weights @ gains / total) if total > 0 else 0.0
