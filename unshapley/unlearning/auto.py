"""Retrain small coalitions, and forget for the others as calibration on the project's data says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor

from unshapley.errors import InputError, UnshapleyError
from unshapley.models.batching import State
from unshapley.models.losses import is_text
from unshapley.models.pretrained import Pretrained
from unshapley.unlearning.base import Unlearner
from unshapley.unlearning.ekfac import EkfacUnlearner
from unshapley.unlearning.finetune import FinetuneUnlearner
from unshapley.unlearning.natural_gradient import NaturalGradientUnlearner
from unshapley.unlearning.newton import NewtonUnlearner
from unshapley.unlearning.newton_finetune import NewtonFinetuneUnlearner
from unshapley.unlearning.ngram import EkfacNgramUnlearner, NgramProxy, answers_of_models
from unshapley.unlearning.none import NoUnlearning
from unshapley.unlearning.retrain import (
    RetrainUnlearner,
    TruncatedRetrainUnlearner,
    full_steps,
    retrained_or,
)
from unshapley.unlearning.short_retrain import ShortRetrainUnlearner
from unshapley.unlearning.shrink_finetune import ShrinkFinetuneUnlearner

CANDIDATES: Mapping[str, Unlearner] = {
    "no_unlearning": NoUnlearning(),
    "newton": NewtonUnlearner(),
    "natural_gradient": NaturalGradientUnlearner(steps=3),
    "newton_finetune": NewtonFinetuneUnlearner(steps=8, learning_rate=0.02),
    "newton_finetune, slow": NewtonFinetuneUnlearner(steps=8, learning_rate=0.005),
    "finetune": FinetuneUnlearner(steps=12, learning_rate=0.02),
    "shrink_finetune": ShrinkFinetuneUnlearner(steps=12, learning_rate=0.02),
    "truncated_retrain": TruncatedRetrainUnlearner(steps=12, learning_rate=0.05),
}
"""What calibration chooses from, the cheaper first among equals."""
CANDIDATES_OF_TEXT: Mapping[str, Unlearner] = {
    "no_unlearning": NoUnlearning(),
    "ngram": NgramProxy(),
    "ekfac": EkfacUnlearner(),
    "ekfac_ngram": EkfacNgramUnlearner(),
    "short_retrain": ShortRetrainUnlearner(part=0.05),
}
"""The same where rows are text."""
METHODS: Mapping[str, Unlearner] = {**CANDIDATES, **CANDIDATES_OF_TEXT}
LONGEST = 0.05
"""Most steps of a candidate, in shares of the full-batch steps that cost as much as the recipe:
more would cost more than they save where the model was trained for a few steps only."""
WITHOUT_ROWS, WITHOUT_TEXT = "newton", "ngram"
"""Where rows are out of reach, or text, nothing can be retrained to choose by, and this is used: it
had the smallest errors of those that need no retained rows (benchmarks/README.md)."""


class AutoUnlearner(Unlearner):
    """Really retrain the coalitions with the fewest rows, and forget for all others with the
    candidate that comes closest to retraining on this project's data.

    A run retrains some coalitions first, tries the candidates on them and sets `method`
    (`unshapley.fidelity.calibration`); by itself this unlearner cannot be called before that. What
    the chosen candidate misses is learnt from the same coalitions and added to the utilities.
    Where the rows of a provider are out of reach, nothing can be retrained, and the method is
    `newton`, or `ngram` where the rows are text. Reads retained rows otherwise.
    """

    name: ClassVar[str] = "auto"
    retain_free: ClassVar[bool] = False
    needs: ClassVar[str | None] = "curvature"
    cost: float = Field(
        0.03,
        ge=0,
        le=1,
        description="share of the cost of retraining everything that is spent on really retraining "
        "the smallest coalitions",
    )
    retrain_up_to: int = Field(
        6, ge=0, description="with at most this many providers, all coalitions are retrained"
    )
    retrain_below: float | None = Field(
        None, ge=0, description="largest share of rows to retrain; none: set by cost"
    )
    method: str | None = Field(
        None, description="candidate for the other coalitions; none: set by calibration"
    )

    @property
    def retrains_all(self) -> bool:
        """Whether every coalition is retrained, so that `method` is not used."""
        return (self.retrain_below or 0.0) >= 1

    def retrains_few(self, providers: int) -> bool:
        """Whether a game of so many providers is small enough to retrain every coalition of it."""
        return self.method is None and providers <= self.retrain_up_to

    def reads_statistics(self, providers: int) -> bool:
        return not (self.retrains_all or self.retrains_few(providers))

    @field_validator("method")
    @classmethod
    def _check_method(cls, method: str | None) -> str | None:
        if method is not None and method not in METHODS:
            raise ValueError(f"the candidates are {', '.join(METHODS)}")
        return method

    @property
    def holds_curvature(self) -> bool:
        return self.method is not None and METHODS[self.method].holds_curvature

    @property
    def vanishes(self) -> bool:
        return self.method is None or METHODS[self.method].vanishes

    def candidate(self, pretrained: Pretrained) -> Unlearner:
        """The unlearner of the coalitions that are not retrained."""
        if self.method is None:
            raise UnshapleyError("auto was called before calibration has set its method")
        choice = candidates(pretrained)
        if self.method not in choice:
            raise InputError(
                f"auto: the method {self.method} is not for these rows",
                where="valuation.options",
                expected=f"one of {', '.join(choice)}",
            )
        return choice[self.method]

    def exact(self, pretrained: Pretrained, staying: Tensor) -> Tensor:
        if self.retrain_below is None:
            return torch.zeros(len(staying), dtype=torch.bool, device=staying.device)
        return rows_kept(pretrained, staying) <= self.retrain_below

    def flop(self, pretrained: Pretrained, staying: Tensor, row_step: float) -> Tensor:
        retrained = RetrainUnlearner().flop(pretrained, staying, row_step)
        if self.method is None:
            return retrained
        unlearned = self.candidate(pretrained).flop(pretrained, staying, row_step)
        return torch.where(self.exact(pretrained, staying), retrained, unlearned)

    def answers(self, pretrained: Pretrained, staying: Tensor) -> Tensor | None:
        exact = self.exact(pretrained, staying)
        if exact.all():
            return None
        predicted = self.candidate(pretrained).answers(pretrained, staying[~exact])
        if predicted is None:
            return None
        out = predicted.new_empty(len(staying), *predicted.shape[1:])
        out[~exact] = predicted
        if exact.any():
            models = RetrainUnlearner()(pretrained, staying[exact])
            out[exact] = answers_of_models(pretrained, models).to(out.dtype)
        return out

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        exact = self.exact(pretrained, staying)
        return retrained_or(self.candidate(pretrained), exact, pretrained, staying)


def candidates(pretrained: Pretrained) -> dict[str, Unlearner]:
    """What calibration chooses from, with no more steps than `LONGEST` allows."""
    if is_text(pretrained.reference[1]):
        return dict(CANDIDATES_OF_TEXT)
    limit = max(1, round(LONGEST * full_steps(pretrained)))
    steps = {name: getattr(kind, "steps", 0) for name, kind in CANDIDATES.items()}
    return {
        name: kind.model_copy(update={"steps": limit}) if steps[name] > limit else kind
        for name, kind in CANDIDATES.items()
    }


def without_rows(pretrained: Pretrained) -> str:
    """The method where nothing can be retrained to choose by."""
    return WITHOUT_TEXT if is_text(pretrained.reference[1]) else WITHOUT_ROWS


def rows_kept(pretrained: Pretrained, staying: Tensor) -> Tensor:
    """Share of the rows that each coalition keeps `(m,)`, float64, different for each.

    Less than a row's share is added, by who is in it: providers of equal size would otherwise make
    equal coalitions, of which a budget pays for all or none.
    """
    lots = torch.from_numpy(np.random.default_rng(0).random(staying.shape[1])).to(staying.device)
    part_of_a_row = (staying.double() @ lots).frac() / (2 * pretrained.counts.sum())
    return pretrained.share(staying) + part_of_a_row
