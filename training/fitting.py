"""Logistic regression whose weights are kept on the side of zero that their meaning allows.

The bounds are what makes the models transfer: a concept that has no business in an attack (a code bracket, a URL alone)
can never earn a positive weight, however well it separates the sources at hand.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.optimize import minimize

Floats = npt.NDArray[np.float64]


def fit_bounded(
    X: sp.csr_matrix,
    y: npt.NDArray[Any],
    weight: Floats,
    penalty: float,
    low: Floats,
    high: Floats,
    steps: int = 100,
    prior: Floats | None = None,
) -> tuple[Floats, float]:
    """Minimise weighted logistic loss plus an L2 penalty within bounds; return (weights, bias). Deterministic.

    The penalty pulls towards ``prior`` (zero without one): what the sources are silent about keeps its prior weight.
    """
    width = X.shape[1]
    middle = np.zeros(width) if prior is None else prior
    transposed = X.T.tocsr()
    sign = np.where(y == 1, 1.0, -1.0)
    share = weight / weight.sum()

    def loss(values: Floats) -> tuple[float, Floats]:
        margin = -sign * (X @ values[:width] + values[width])
        slope = -(share * sign) / (1 + np.exp(-np.clip(margin, -500, 500)))
        gradient = np.empty(width + 1)
        pull = values[:width] - middle
        gradient[:width] = transposed @ slope + penalty * pull
        gradient[width] = slope.sum()
        value = (share * np.logaddexp(0, margin)).sum() + 0.5 * penalty * (pull @ pull)
        return float(value), gradient

    limits = [*zip(low, high, strict=True), (None, None)]
    found = minimize(
        loss,
        np.append(np.clip(middle, low, high), 0.0),
        jac=True,
        method="L-BFGS-B",
        bounds=limits,
        options={"maxiter": steps, "maxcor": 20},
    )
    return found.x[:width], float(found.x[width])


def fit_free(
    X: sp.csr_matrix, y: npt.NDArray[Any], weight: Floats, penalty: float, start: Floats, steps: int = 50
) -> tuple[Floats, float]:
    """Minimise weighted logistic loss plus an L2 penalty, from ``start`` (weights, then bias). Deterministic."""
    width = X.shape[1]
    transposed = X.T.tocsr()
    sign = np.where(y == 1, 1.0, -1.0)
    portion = weight / weight.sum()

    def loss(values: Floats) -> tuple[float, Floats]:
        margin = -sign * (X @ values[:width] + values[width])
        slope = -(portion * sign) / (1 + np.exp(-np.clip(margin, -500, 500)))
        gradient = np.empty(width + 1)
        gradient[:width] = transposed @ slope + penalty * values[:width]
        gradient[width] = slope.sum()
        value = (portion * np.logaddexp(0, margin)).sum() + 0.5 * penalty * (values[:width] @ values[:width])
        return float(value), gradient

    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": steps, "maxcor": 10})
    return found.x[:width], float(found.x[width])
