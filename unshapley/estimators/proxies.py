"""Simple models of the utility whose semivalues have a closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special

from unshapley.estimators.base import Floats
from unshapley.game.coalitions import Coalitions

TREES: dict[str, Any] = {"n_estimators": 50, "max_depth": 3, "learning_rate": 0.2}
LEAF = -1
"""Child of a leaf in scikit-learn's trees."""


class Proxy(Protocol):
    """A model fitted on coalitions `(m, n)` and c columns of utilities `(m, c)`."""

    def predict(self, coalitions: Coalitions) -> Floats:
        """Utilities `(k, c)`."""
        ...

    def semivalue(self, weights: Floats) -> Floats:
        """Exact semivalues of the model `(n, c)`."""
        ...


class Fit(Protocol):
    """Fits a proxy with row weights `(m,)`."""

    def __call__(self, coalitions: Coalitions, utilities: Floats, weight: Floats) -> Proxy: ...


@dataclass(frozen=True)
class LinearProxy:
    """f(S) = coefficients[0] + Σ_{i∈S} coefficients[i + 1]; `(n + 1, c)`."""

    coefficients: Floats

    def predict(self, coalitions: Coalitions) -> Floats:
        out: Floats = self.coefficients[0] + coalitions @ self.coefficients[1:]
        return out

    def semivalue(self, weights: Floats) -> Floats:
        out: Floats = self.coefficients[1:] * weights.sum()
        return out


def fit_linear(coalitions: Coalitions, utilities: Floats, weight: Floats) -> LinearProxy:
    """Weighted least squares."""
    root = np.sqrt(weight)[:, None]
    design = np.column_stack([np.ones(len(coalitions)), coalitions])
    # the pseudo-inverse also serves where utilities are the identity matrix
    coefficients: Floats = np.linalg.pinv(design * root) @ (root * utilities)
    return LinearProxy(coefficients)


@dataclass(frozen=True)
class TreeProxy:
    """Gradient-boosted trees of scikit-learn for (utility − level) / scale."""

    model: Any
    level: float
    scale: float

    def predict(self, coalitions: Coalitions) -> Floats:
        predicted: Floats = self.model.predict(coalitions.astype(np.float32))
        return self.level + self.scale * predicted[:, None]

    def semivalue(self, weights: Floats) -> Floats:
        total = np.zeros(len(weights))
        for tree in self.model.estimators_[:, 0]:
            total += tree_semivalue(tree.tree_, weights)
        return self.scale * float(self.model.learning_rate) * total[:, None]


def fit_trees(coalitions: Coalitions, utilities: Floats, weight: Floats) -> TreeProxy:
    """50 trees of depth 3 on one column of utilities."""
    from sklearn.ensemble import GradientBoostingRegressor

    level, scale = float(utilities.mean()), float(utilities.std()) or 1.0
    model = GradientBoostingRegressor(**TREES, random_state=0)
    # scikit-learn treats tiny weights as zero and tiny variances as none, whatever their unit;
    # rounding of the unit must not decide between equally good splits
    standard = np.round((utilities[:, 0] - level) / scale, 10)
    model.fit(coalitions.astype(np.float32), standard, weight / weight.mean())
    return TreeProxy(model, level, scale)


def tree_semivalue(tree: Any, weights: Floats) -> Floats:
    """Exact semivalues `(n,)` of a regression tree whose inputs are memberships.

    A leaf has value v where all of A are present and none of B. Then i ∈ A gains v whenever the
    others of A are present and none of B; i ∈ B loses v whenever all of A are present and none of
    the others of B; all other providers gain zero.
    """
    n = len(weights)
    out = np.zeros(n)
    path: list[tuple[int, tuple[int, ...], tuple[int, ...]]] = [(0, (), ())]
    while path:
        node, present, absent = path.pop()
        left, right = tree.children_left[node], tree.children_right[node]
        if left == LEAF:
            value, a, b = tree.value[node, 0, 0], len(present), len(absent)
            out[list(present)] += value * _probability(weights, n - a - b, a - 1)
            out[list(absent)] -= value * _probability(weights, n - a - b, a)
            continue
        provider = int(tree.feature[node])
        path += [(left, present, (*absent, provider)), (right, (*present, provider), absent)]
    return out


def _probability(weights: Floats, free: int, required: int) -> float:
    """Σ_s weights[s] · share of the coalitions of s others that have all `required` providers and,
    besides them, only `free` ones.
    """
    n = len(weights)
    size: NDArray[np.int64] = np.arange(n)
    share = special.binom(free, size - required) / special.binom(n - 1, size)
    return float(weights @ np.where(size >= required, share, 0.0))
