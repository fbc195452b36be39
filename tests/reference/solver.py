"""One binary problem at a time, solved by a general optimiser on the primal."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit


def primal_objective(coef, X, y, costs, loss, bias):
    """1/2 |w|^2 + sum_i C_i loss(y_i w.x_i), the last entry of coef being the intercept's weight."""
    total = 0.5 * float(np.dot(coef, coef))
    for row, sign, cost in zip(X, y, costs, strict=True):
        margin = sign * (float(np.dot(row, coef[:-1])) + bias * coef[-1])
        if loss == "squared_hinge":
            total += cost * max(0.0, 1 - margin) ** 2
        elif loss == "hinge":
            total += cost * max(0.0, 1 - margin)
        else:
            total += cost * float(np.logaddexp(0, -margin))
    return total


def primal_gradient(coef, X, y, costs, loss, bias):
    """Gradient of the smooth losses."""
    augmented = np.hstack([X, np.full((len(y), 1), bias)])
    margins = y * (augmented @ coef)
    slope = -2 * np.maximum(0, 1 - margins) if loss == "squared_hinge" else -expit(-margins)
    return coef + augmented.T @ (costs * y * slope)


def solve_smooth(X, y, costs, loss, bias):
    """Minimum of squared hinge or log loss by L-BFGS."""
    start = np.zeros(X.shape[1] + 1)
    result = minimize(
        primal_objective, start, args=(X, y, costs, loss, bias), jac=primal_gradient, method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 5000},
    )  # fmt: skip
    return result.x
