"""The interface of unlearners: a function from coalitions to a batch of models."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from unshapley.errors import InputError
from unshapley.models.batches import FullBatch, padded
from unshapley.models.batching import State
from unshapley.models.pretrained import Pretrained
from unshapley.models.training import train
from unshapley.models.training_rows import TrainingRows


class Unlearner(BaseModel):
    """Turns the pretrained model into one model per coalition. Its fields are its options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str]
    retain_free: ClassVar[bool]
    """True if it reads only the forgotten rows and what is stored beside the checkpoint."""
    control: ClassVar[bool] = False
    """True for baselines that unlearners are compared with."""
    needs: ClassVar[str | None] = None
    """Stored statistics that it needs: `curvature` or `features`."""
    reads_rows: ClassVar[bool] = True
    """False if it reads no training rows, only what is stored."""
    predicts: ClassVar[bool] = False
    """True if it makes no models: what they would answer is predicted."""
    of_text: ClassVar[bool | None] = None
    """True if it is for language models only, False if it is for none."""
    in_blocks: ClassVar[bool] = True
    """False if all rows of a step are in the model at once, however many they are."""
    reads_all: ClassVar[bool] = False
    """True if every coalition's model is evaluated on the rows of all providers."""

    @property
    def masks(self) -> bool:
        """Whether each coalition has its own mask over the weights, which takes a sort of them."""
        return False

    @property
    def holds_curvature(self) -> bool:
        """Whether each coalition's matrix of stored curvature is in memory while it is trained."""
        return False

    @property
    def vanishes(self) -> bool:
        """Whether forgetting nobody gives the pretrained model, or nearly so; False where training
        begins anew. Then what it misses of retraining need not vanish there either.
        """
        return True

    def reads_statistics(self, providers: int) -> bool:
        """Whether coalitions of so many providers, all of whose rows are there, are unlearned by
        stored statistics; not so where all of them are retrained.
        """
        return self.needs is not None

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        """Tensors that differ from the pretrained model, stacked `(m, …)`.

        staying: boolean `(m, n)` over all providers in the model. Raises `InputError` where rows or
        statistics that the unlearner needs are missing.
        """
        raise NotImplementedError

    def answers(self, pretrained: Pretrained, staying: Tensor) -> Tensor | None:
        """What the models of coalitions `(m, n)` answer on the test set, where that is predicted
        without models, as `models.tokens.token_scores` gives it; None where there are models.
        """
        return None

    def fitted(self, pretrained: Pretrained, staying: Tensor) -> Self:
        """A copy with the options set that depend on the plan `(m, n)`, the same for all chunks."""
        return self

    def training_steps(self, pretrained: Pretrained) -> int:
        """Number of training steps that a coalition takes."""
        return int(getattr(self, "steps", 0))

    def flop(self, pretrained: Pretrained, staying: Tensor, row_step: float) -> Tensor:
        """Counted work of each coalition in floating-point operations `(m,)`, float64.

        row_step: work of one training step on one row. Counts the training steps on the rows that
        are read, and what a subclass adds; an upper bound where training may stop early.
        """
        share = pretrained.share(staying)
        if self.reads_all:
            share = torch.ones_like(share)
        elif self.retain_free:
            share = 1 - share
        rows = share * pretrained.counts.sum()
        return self.training_steps(pretrained) * row_step * rows

    def rows_of_step(self, pretrained: Pretrained, rows: int) -> int:
        """Most rows that a training step takes of a coalition that has so many."""
        return rows

    def exact(self, pretrained: Pretrained, staying: Tensor) -> Tensor:
        """Which coalitions are really retrained and so need no correction `(m,)`."""
        return torch.zeros(len(staying), dtype=torch.bool, device=staying.device)

    def described(self) -> list[Any]:
        """Name and options, for the cache keys of results."""
        return [self.name, self.model_dump(mode="json")]


def step_length(pretrained: Pretrained, staying: Tensor) -> Tensor:
    """Factor on the steps of fine-tuning from weights near the pretrained ones `(m,)`.

    Twice the share of rows that are forgotten, at most 1, times the deviation of the residuals:
    Adam begins anew, and its first steps move every weight by the learning rate, however little is
    forgotten, and however exactly the model fits. So forgetting nothing changes nothing.
    """
    length: Tensor = (2 * (1 - pretrained.share(staying))).clamp(max=1) * pretrained.noise**0.5
    return length


def train_on_retained(
    pretrained: Pretrained,
    start: State,
    staying: Tensor,
    steps: int,
    rate: float,
    unlearner: str,
    length: Tensor | None = None,
) -> State:
    """Train one model per coalition, from `start` `(m, …)`, on its providers' rows.

    length: factor on the steps of each `(m,)`.
    """
    x, y, weights = padded(reachable_rows(pretrained, staying, unlearner), staying)
    return train(
        pretrained.model,
        start,
        FullBatch.weighted(x, y, weights),
        steps=steps,
        learning_rate=rate,
        weight_decay=pretrained.recipe.penalty,
        seed=pretrained.recipe.seed,
        length=length,
    )


def reachable_rows(
    pretrained: Pretrained, needed: Tensor, unlearner: str, which: str = "stays"
) -> TrainingRows:
    """All reachable rows; `InputError` if those of a `needed` `(m, n)` provider are unreachable.

    which: completes "needs the rows of every provider that …" in the message.
    """
    rows = pretrained.rows
    reachable = torch.bincount(rows.owner, minlength=len(pretrained.counts)) > 0
    missing = needed.any(dim=0) & ~reachable
    if missing.any():
        raise out_of_reach(unlearner, which, int(missing.sum()), len(missing))
    return rows


def out_of_reach(unlearner: str, which: str, missing: int, providers: int) -> InputError:
    """An error: `unlearner` needs the rows of every provider that `which`, and `missing` lack."""
    return InputError(
        f"{unlearner} needs the rows of every provider that {which}, and those of "
        f"{missing} of {providers} providers are not reachable",
        where="valuation.unlearner",
        expected="an unlearner that reads fewer rows: a retain-free one needs only the forgotten "
        "rows and what is stored beside the model, newton no rows at all",
        do="set valuation.unlearner to newton, or restore the partitions",
    )
