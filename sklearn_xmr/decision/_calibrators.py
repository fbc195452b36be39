"""Monotone maps from scores to probabilities."""

import numpy as np
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression


def calibrated(calibrator, scores):
    """Probabilities of scores, of which there may be none."""
    return calibrator.predict(scores) if scores.size else np.empty(0)


class PlattScaling:
    """P(y = 1 | s) = 1 / (1 + exp(-(slope s + offset))), by Newton's method with backtracking.

    The targets are not 0 and 1 but (n_pos + 1) / (n_pos + 2) and 1 / (n_neg + 2), which keeps the fit
    finite where scores separate the classes.

    Attributes
    ----------
    slope_, offset_ : float
        The slope is not negative: where the best one would be, a constant is fitted.

    References
    ----------
    .. [1] H.-T. Lin, C.-J. Lin, R. C. Weng, "A note on Platt's probabilistic outputs for support vector
       machines", Machine Learning 68, 2007.
    """

    MAX_ITER = 100
    SMALLEST_STEP = 1e-10

    def fit(self, scores, hits, weights):
        """Fit to scores, whether each is true, and weights; all ndarray of shape (n_pairs,)."""
        s = np.asarray(scores, dtype=np.float64)
        n_pos, n_neg = float(weights @ hits), float(weights @ ~hits)
        target = np.where(hits, (n_pos + 1) / (n_pos + 2), 1 / (n_neg + 2))

        def loss(a, b):
            z = a * s + b
            return float(weights @ (np.logaddexp(0, z) - target * z))

        a, b = 0.0, float(np.log((n_pos + 1) / (n_neg + 1)))
        current = loss(a, b)
        for _ in range(self.MAX_ITER):
            p = expit(a * s + b)
            residual, curvature = weights * (p - target), weights * p * (1 - p)
            gradient = np.array([residual @ s, residual.sum()])
            mixed = float(curvature @ s)
            hessian = np.array([[curvature @ (s * s), mixed], [mixed, curvature.sum()]])
            hessian += 1e-12 * (1 + np.trace(hessian)) * np.eye(2)
            direction = np.linalg.solve(hessian, gradient)
            decrement = float(gradient @ direction)
            if decrement <= 1e-10 * max(1.0, current):
                break
            step = 1.0
            while step >= self.SMALLEST_STEP:
                trial = loss(a - step * direction[0], b - step * direction[1])
                if trial <= current - 1e-4 * step * decrement:
                    break
                step /= 2
            else:
                break
            a, b, current = a - step * direction[0], b - step * direction[1], trial
        if a < 0:
            a, b = 0.0, float(logit(weights @ target / weights.sum()))
        self.slope_, self.offset_ = float(a), float(b)
        return self

    def predict(self, scores):
        """Probability of each score, ndarray of the same shape."""
        return expit(self.slope_ * np.asarray(scores, dtype=np.float64) + self.offset_)


def fit_calibrator(method, scores, hits, weights):
    """Fit a map that never decreases.

    Parameters
    ----------
    method : {"isotonic", "sigmoid"}
    scores : ndarray of shape (n_pairs,)
    hits : ndarray of bool of shape (n_pairs,)
    weights : ndarray of shape (n_pairs,)
        Weight 2 counts as two pairs. Weights of a mean below 1 are scaled to the mean 1.

    Returns
    -------
    calibrator : object
        With ``predict(scores)``; probabilities are never 0 or 1.

    Raises
    ------
    ValueError
        If there is no pair, or all weights are 0.
    """
    if not np.any(weights > 0):
        raise ValueError("Calibration needs at least one held-out candidate of positive weight, got none.")
    used = weights > 0
    scores, hits, weights = scores[used], hits[used], weights[used]
    # The bounds count pairs: weight 2 is two of them, but no weights make them fewer than there are.
    weights = weights / min(1.0, weights.mean())
    if method == "sigmoid":
        return PlattScaling().fit(scores, hits, weights)
    n_pos, n_neg = float(weights @ hits), float(weights @ ~hits)
    lowest, highest = 1 / (n_neg + 2), (n_pos + 1) / (n_pos + 2)
    bounds = {"y_min": min(lowest, highest), "y_max": max(lowest, highest)}
    isotonic = IsotonicRegression(out_of_bounds="clip", **bounds)
    return isotonic.fit(scores, hits.astype(np.float64), sample_weight=weights)


def score_to_logit(scores):
    """Log-odds of scores in (0, 1], float64; finite.

    Raises
    ------
    ValueError
        If a score is not in [0, 1].
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError(
            "The estimator's scores must be in [0, 1], as those of XRLinearClassifier are, got values "
            f"from {scores.min():g} to {scores.max():g}."
        )
    tiny = np.finfo(np.float32).tiny
    return logit(np.clip(scores, tiny, 1 - 2.0**-25))  # from there on scores are 1 in float32
