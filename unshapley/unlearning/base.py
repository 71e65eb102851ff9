"""What every unlearner is: one function from coalitions to a batch of models."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from unshapley.errors import InputError
from unshapley.models.batching import State
from unshapley.models.pretrained import Pretrained, TrainingRows
from unshapley.models.training import train


class Unlearner(BaseModel):
    """Turns the pretrained model into one model a coalition. Its fields are its options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str]
    retain_free: ClassVar[bool]
    """True if it touches only the forgotten rows and what is stored beside the checkpoint."""
    control: ClassVar[bool] = False
    """True for what unlearners are held against."""
    needs: ClassVar[str | None] = None
    """What it needs of what is stored: `curvature` or `features`."""
    reads_rows: ClassVar[bool] = True
    """False if nothing but what is stored is touched."""
    reads_all: ClassVar[bool] = False
    """True if the rows of every provider pass through every coalition's model."""

    @property
    def masks(self) -> bool:
        """Whether each coalition has a mask of its own over the weights, chosen by sorting them."""
        return False

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        """Tensors that differ from the pretrained model, stacked `(m, …)`.

        staying: boolean `(m, n)` over all providers in the model. Raises `InputError` where what
        the unlearner needs is not at hand.
        """
        raise NotImplementedError

    def fitted(self, pretrained: Pretrained, staying: Tensor) -> Self:
        """With the options resolved that depend on the plan `(m, n)`: alike for all its chunks."""
        return self

    def exact(self, pretrained: Pretrained, staying: Tensor) -> Tensor:
        """Which coalitions are really retrained, so that nothing is to be corrected `(m,)`."""
        return torch.zeros(len(staying), dtype=torch.bool, device=staying.device)

    def described(self) -> list[Any]:
        """Name and options, as a chunk's key holds them."""
        return [self.name, self.model_dump(mode="json")]


def train_on_retained(
    pretrained: Pretrained, start: State, staying: Tensor, steps: int, rate: float, who: str
) -> State:
    """Train one model a coalition from `start` `(m, …)` on the rows of the providers that stay."""
    x, y, weights = padded(reachable_rows(pretrained, staying, who), staying)
    return train(
        pretrained.model,
        start,
        x,
        y,
        weights,
        steps=steps,
        learning_rate=rate,
        weight_decay=pretrained.recipe.weight_decay,
    )


def padded(rows: TrainingRows, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each coalition's own rows, padded to the longest: x `(m, rows, features)`, y, weights.

    chosen: whose rows, boolean `(m, n)`. Weights are 1 for rows and 0 for padding. Training then
    costs what the largest coalition keeps, so coalitions of like size are measured together.
    """
    keeps = chosen[:, rows.owner]
    longest = max(1, int(keeps.sum(dim=1).max()))
    index = torch.argsort(~keeps, dim=1, stable=True)[:, :longest]
    return rows.x[index], rows.y[index], keeps.gather(1, index).to(rows.x.dtype)


def reachable_rows(
    pretrained: Pretrained, wanted: Tensor, who: str, which: str = "stays"
) -> TrainingRows:
    """All reachable rows; `InputError` where `who` needs rows `wanted` `(m, n)` that are not.

    which: end of the sentence that names the wanted, "every provider that …".
    """
    rows = pretrained.rows
    there = torch.bincount(rows.owner, minlength=len(pretrained.counts)) > 0
    lacking = wanted.any(dim=0) & ~there
    if lacking.any():
        raise out_of_reach(who, which, int(lacking.sum()), len(lacking))
    return rows


def out_of_reach(who: str, which: str, lacking: int, providers: int) -> InputError:
    """That `who` needs rows of every provider that `which`, and some are `lacking`."""
    return InputError(
        f"{who} needs the rows of every provider that {which}, and those of "
        f"{lacking} of {providers} providers are not reachable",
        where="valuation.unlearner",
        expected="an unlearner that reads less: a retain-free one needs only what is forgotten "
        "and what is stored beside the model, newton no rows at all",
        do="set valuation.unlearner to newton, or restore the partitions",
    )
