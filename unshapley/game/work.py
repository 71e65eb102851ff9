"""Counted work: floating-point operations, which do not depend on the machine or on the clock."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import functional_call

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
    total: NDArray[np.float64] = work + forward * len(game.test_y)
    return total


def forward_flop(game: Game) -> float:
    """Operations of the model's forward pass on one row, at least one."""
    # here, for importing it takes a moment that few need
    from torch.utils.flop_counter import FlopCounterMode

    pretrained = game.pretrained
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        functional_call(pretrained.model, pretrained.trained, (game.test_x[:1],))
    return max(1.0, float(counter.get_total_flops()))


def coalitions_worth(game: Game, unlearner: Unlearner, typical: Coalitions, gflop: float) -> int:
    """How many coalitions take this many billions of operations, at least one.

    typical: coalitions `(m, n)` whose mean work is counted.
    """
    mean = float(flop_of_coalitions(game, unlearner, typical).mean())
    return max(1, round(gflop * 1e9 / mean))
