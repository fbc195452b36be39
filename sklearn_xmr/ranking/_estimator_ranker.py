"""Train the rankers with somebody else's linear classifier: slow, but any loss and penalty."""

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from sklearn_xmr.ranking._chunked_weights import ChunkedWeights, choose_value_dtype
from sklearn_xmr.ranking._linear_ranker import n_nonzeros


def fit_estimator_rankers(X, problems, *, estimator, sample_weight, weight_threshold, weight_dtype):
    """Fit a clone of a linear classifier for every node.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features)
    problems : list of LevelProblem
    estimator : classifier
        After ``fit(X, y)`` with y in {0, 1} it has ``coef_`` of shape (1, n_features) and
        ``intercept_``.
    sample_weight : ndarray of shape (n_samples,) or None
    weight_threshold : float
        Weights smaller in absolute value are dropped.
    weight_dtype : {"auto", "int8", "int16", "float32"}
        How the weights are stored.

    Returns
    -------
    weights : list of ChunkedWeights
        A node without negatives among its rows gets no weights and the intercept 1.

    Raises
    ------
    TypeError
        If the fitted estimator has no ``coef_``, or takes no ``sample_weight`` where one is given.
    ValueError
        If ``coef_`` has not one entry per feature, ``intercept_`` not one, or they are not finite.
    """
    weighted = sample_weight is not None or any(np.any(problem.positives.data != 1) for problem in problems)
    if weighted and not has_fit_parameter(estimator, "sample_weight"):
        raise TypeError(
            f"ranker {estimator!r} does not take sample_weight, but rows or positives have weights."
        )
    weights = []
    for problem in problems:
        rows = sp.csc_array(problem.rows)
        positives = sp.csc_array(problem.positives)
        columns, intercepts = [], np.full(positives.shape[1], -np.inf, dtype=np.float32)
        for parent in range(problem.child_ptr.size - 1):
            span = slice(rows.indptr[parent], rows.indptr[parent + 1])
            members, flags = rows.indices[span], rows.data[span]
            for child in range(problem.child_ptr[parent], problem.child_ptr[parent + 1]):
                entries = slice(positives.indptr[child], positives.indptr[child + 1])
                positive = positives.indices[entries]
                y = np.isin(members, positive)
                used = y | (flags == 1)
                weight = None
                if weighted:
                    weight = np.ones(X.shape[0])
                    weight[positive] = positives.data[entries]
                    weight = (weight if sample_weight is None else weight * sample_weight)[members[used]]
                coef = np.zeros(X.shape[1])
                if y.any():
                    coef, intercepts[child] = _fit_node(
                        estimator, X[members[used]], y[used].astype(int), weight
                    )
                coef = np.where(np.abs(coef) >= weight_threshold, coef, 0)
                columns.append(sp.csc_array(coef.reshape(-1, 1)))
        stacked = sp.csc_array(sp.hstack(columns, format="csc"))
        value_dtype = choose_value_dtype(weight_dtype, n_nonzeros(X, problem))
        weights.append(ChunkedWeights.from_csc(stacked, intercepts, problem.child_ptr, value_dtype))
    return weights


def _fit_node(estimator, X, y, sample_weight):
    if y.all():
        return np.zeros(X.shape[1]), 1.0
    model = clone(estimator)
    if sample_weight is None:
        model.fit(X, y)
    else:
        model.fit(X, y, sample_weight=sample_weight)
    if not hasattr(model, "coef_"):
        raise TypeError(f"ranker must be a linear classifier with coef_ after fit, got {estimator!r}.")
    # a linear SVC that was fitted on sparse X has a sparse coef_
    coef = np.ravel(model.coef_.toarray() if sp.issparse(model.coef_) else model.coef_)
    intercept = np.ravel(getattr(model, "intercept_", 0.0))
    if coef.size != X.shape[1] or intercept.size != 1:
        raise ValueError(
            f"ranker must have one coef_ per feature and one intercept_ after fit, got {coef.size} and "
            f"{intercept.size} for {X.shape[1]} feature(s) from {estimator!r}."
        )
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise ValueError(f"ranker must have a finite coef_ and intercept_ after fit, got {estimator!r}.")
    return coef, float(intercept[0])
