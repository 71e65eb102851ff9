"""Counted work: floating-point operations, which do not depend on the machine or on the clock."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from unshapley.game.coalitions import Coalitions
from unshapley.game.game import Game
from unshapley.unlearning import Unlearner

TRAINING = 3
"""Passes of a training step, in forward passes: forward, and backward by weights and by inputs."""


def flop_of_coalitions(
    game: Game, unlearner: Unlearner, coalitions: Coalitions
) -> NDArray[np.float64]:
    """Operations that unlearning and evaluating each coalition takes `(m,)`.

    Matrix products and convolutions count, elementwise work and padding do not.
    """
    forward = forward_flop(game)
    staying = game.staying(coalitions)
    work = unlearner.flop(game.pretrained, staying, TRAINING * forward).double().cpu().numpy()
    tested = 0 if unlearner.predicts else len(game.test_y)
    total: NDArray[np.float64] = work + forward * tested
    return total


def forward_flop(game: Game) -> float:
    """Operations of the model's forward pass on one row, at least one."""
    pretrained = game.pretrained
    with _Counting() as counter, torch.no_grad():
        functional_call(pretrained.model, pretrained.trained, (game.test_x[:1],))
    return max(1.0, float(counter.total))


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up what torch's registry counts for each operation.

    `FlopCounterMode` of torch does the same, and imports torch's compiler, which takes 1.5 s.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def coalitions_worth(game: Game, unlearner: Unlearner, typical: Coalitions, gflop: float) -> int:
    """How many coalitions take this many billions of operations, at least one.

    typical: coalitions `(m, n)` whose mean work is counted.
    """
    mean = float(flop_of_coalitions(game, unlearner, typical).mean())
    return max(1, round(gflop * 1e9 / mean))
