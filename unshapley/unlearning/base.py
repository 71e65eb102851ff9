"""What every unlearner is: one function from coalitions to a batch of models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor, nn

from unshapley.config import Pretrain
from unshapley.models import State
from unshapley.statistics import HeadStatistics


@dataclass(frozen=True)
class TrainingRows:
    """Training rows of all providers in the model.

    x: `(rows, features)`; y: `(rows,)`; owner: index of each row's provider `(rows,)`.
    """

    x: Tensor
    y: Tensor
    owner: Tensor


@dataclass(frozen=True)
class Pretrained:
    """The pretrained model and what is stored beside it; `n` providers in provider order.

    model: the module that runs the states; trained, initial: its weights after and before training;
    rows: `None` where the providers' rows are not reachable; recipe: how it was trained.
    """

    model: nn.Module
    trained: State
    initial: State
    statistics: HeadStatistics | None
    rows: TrainingRows | None
    recipe: Pretrain


class Unlearner(Protocol):
    """Turns the pretrained model into one model a coalition."""

    name: ClassVar[str]
    retain_free: ClassVar[bool]
    """True if it touches only the forgotten rows and what is stored beside the checkpoint."""

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        """Tensors that differ from the pretrained model, stacked `(m, …)`.

        staying: boolean `(m, n)` over all providers in the model. Raises `InputError` where what
        the unlearner needs is not at hand.
        """
        ...
