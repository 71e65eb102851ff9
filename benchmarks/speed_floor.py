"""The floor: what an unlearner's bare matrix products take at the rate this machine multiplies."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from unshapley.game.coalitions import Coalitions
from unshapley.game.game import Game
from unshapley.numerics import deterministic
from unshapley.unlearning import Unlearner
from unshapley.unlearning.hybrid import HybridUnlearner
from unshapley.unlearning.newton import NewtonUnlearner
from unshapley.unlearning.retrain import RetrainUnlearner


@dataclass(frozen=True)
class Rates:
    """FLOP a second of one thread in square matrix products, single and double precision."""

    single: float
    double: float


@dataclass(frozen=True)
class Work:
    """FLOP of bare matrix products per coalition, by precision."""

    single: float
    double: float

    def seconds(self, rates: Rates) -> float:
        """At the measured rates."""
        return self.single / rates.single + self.double / rates.double


@deterministic()
def measure_rates(repeats: int = 7) -> Rates:
    """Best of several products of 512, 768 and 1,024 rows and columns."""
    return Rates(*(_rate(dtype, repeats) for dtype in (torch.float32, torch.float64)))


def _rate(dtype: torch.dtype, repeats: int) -> float:
    found = []
    for size in (512, 768, 1024):
        a, b = torch.rand(2, size, size, dtype=dtype)
        out = a @ b
        for _ in range(repeats):
            begin = time.perf_counter()
            torch.mm(a, b, out=out)
            found.append(2 * size**3 / (time.perf_counter() - begin))
    return max(found)


def count(game: Game, unlearner: Unlearner, coalitions: Coalitions) -> Work:
    """Mean FLOP per coalition `(m, n)` of the products without which there is no result.

    Forward: 2 a weight and row. Training step: forward, the gradient by weights, and the gradient
    by inputs of all layers but the first. Newton: accumulating H_S over n providers, in double
    precision, a Cholesky factor and its triangular solves for the length of the step and again for
    the step, which is then lifted to the weights. No padding, no elementwise work, no optimiser.
    """
    pretrained = game.pretrained
    layers = [p.numel() for p in pretrained.model.parameters() if p.dim() == 2]
    forward = 2 * sum(layers)
    step = 2 * forward + 2 * sum(layers[1:])
    staying = game.staying(coalitions).cpu()
    kept = staying.double() @ pretrained.counts.cpu().double()
    retrains = _retrained(unlearner, game, staying)
    steps = torch.full_like(kept, getattr(unlearner, "steps", 0))
    steps[retrains] = pretrained.recipe.steps
    single = forward * len(game.test_y) + step * float((steps * kept).mean())
    double = 0.0
    if isinstance(unlearner, NewtonUnlearner) and pretrained.curvature is not None:
        n, k, _ = pretrained.curvature.hessian.shape
        moved = sum(p.numel() for p in pretrained.model.parameters())
        share = 1 - float(retrains.double().mean())
        solves = 2 if unlearner.proximal else 1
        double = share * (2 * n * k**2 + solves * (k**3 / 3 + 2 * k**2))
        single += share * 2 * k * moved
    return Work(single, double)


def _retrained(unlearner: Unlearner, game: Game, staying: Tensor) -> Tensor:
    """Which coalitions are trained by the whole recipe `(m,)`."""
    share = game.pretrained.share(staying)
    if isinstance(unlearner, HybridUnlearner):
        few = staying.shape[1] <= unlearner.retrain_up_to
        return share <= (1.0 if few else unlearner.retrain_below or 0.0) + 1e-12
    return torch.full_like(share, isinstance(unlearner, RetrainUnlearner), dtype=torch.bool)
