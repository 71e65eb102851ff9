"""A utility: what is measured of a model on the test set, and its noise, of a finite test set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unshapley.errors import InputError
from unshapley.game import scores
from unshapley.models import choices

RESAMPLES = 60
"""Bootstrap samples of the test rows, by which the noise of a finite test set is measured."""
UNDEFINED = 0.25
"""Largest share of them on which the primary utility may be undefined; the others would tell too
little of its noise. Two test rows of the rarer class leave 14 % undefined on average, one 37 %."""
QUESTIONS = 10
"""Fewest questions on which accuracy means anything, and of which each bootstrap sample has one."""
WHERE = "valuation.utilities"


@dataclass(frozen=True)
class Utility:
    """What is measured of a model.

    score: (outputs `(models, rows, classes)`, labels `(rows,)`) → one number a model `(models,)`,
    or one a class `(models, classes)` if `per_class`; task: that of params.yaml, or any;
    varied: not defined where all test rows have the same label; asks: defined on questions with
    options alone; per_byte: counted by the bytes of the test set, which `build_utilities` is told;
    rows: what each test row adds `(models, rows)`, for a utility that is the mean of it; weights:
    of the rows `(rows,)`, for one that is the sum of it over the sum of these; source: hash of the
    source of a function of the user's own.
    """

    name: str
    task: str
    unit: str
    score: Callable[[Tensor, Tensor], Tensor]
    per_class: bool = False
    varied: bool = False
    asks: bool = False
    per_byte: bool = False
    rows: Callable[[Tensor, Tensor], Tensor] | None = None
    weights: Callable[[Tensor], Tensor] | None = None
    source: str | None = None

    def columns(self, outputs: Tensor, y: Tensor, classes: Sequence[str]) -> dict[str, Tensor]:
        """Scores by column `(models,)`: one, or one for each class that occurs in the test set,
        such as `recall_per_class[three]`.

        Raises `InputError` where the utility is not defined on this test set, and where a function
        of the user's own fails.
        """
        self.check_defined(y)
        score = self.score(outputs, y)
        if not self.per_class:
            return {self.name: score}
        return {
            f"{self.name}[{classes[c] if classes else c}]": score[:, c]
            for c in scores.occurring_classes(y)
        }

    def check_defined(self, y: Tensor) -> None:
        """Raise `InputError` where the utility is not defined on test rows with these labels."""
        if self.varied and not (len(y) and vary(y)):
            raise InputError(
                f"{self.name} is not defined where all test rows have the same label",
                where=WHERE,
                do="leave it out, or use a test set with different labels",
            )
        if self.asks and choices.questions_of(y).sum() < QUESTIONS:
            raise InputError(
                f"{self.name} is not defined on a test set with "
                f"{choices.questions_of(y).sum():.0f} questions",
                where=WHERE,
                expected=f"{QUESTIONS} questions with options, or more",
                do="name a table of questions in prepare.test (docs/language-models.md)",
            )

    def resampled(self, outputs: Tensor, y: Tensor) -> Tensor | None:
        """The utility on bootstrap samples of the test rows `(models, RESAMPLES)` (Efron 1979).

        The samples are the same for all models of all chunks; those on which the utility is not
        defined are left out. None for a function of the user's own, which would be called as often.
        """
        if self.source is not None:
            return None
        count, draws = len(y), self.samples_of(y)
        if self.rows is not None:
            times = torch.zeros(len(draws), count, dtype=torch.float64)
            times.scatter_add_(1, draws, torch.ones_like(draws, dtype=torch.float64))
            times = times.to(outputs.device).T
            total = count if self.weights is None else self.weights(y) @ times
            return self.rows(outputs, y).double() @ times / total
        samples = [self.score(outputs[:, sample], y[sample]) for sample in draws.to(outputs.device)]
        return torch.stack(samples, dim=1)

    def samples_of(self, y: Tensor) -> Tensor:
        """Rows of the bootstrap samples on which the utility is defined `(samples, rows)`, of
        `RESAMPLES` in all.

        Raises `InputError` where these are too few to tell its noise.
        """
        count = len(y)
        draws = torch.randint(count, (RESAMPLES, count), generator=torch.Generator().manual_seed(0))
        if not self.varied:
            return draws
        labels = y.cpu()[draws]
        defined = draws[(labels != labels[:, :1]).any(dim=1)]
        undefined = RESAMPLES - len(defined)
        if undefined > UNDEFINED * RESAMPLES:
            raise InputError(
                f"{self.name} is not defined on {undefined} of {RESAMPLES} bootstrap samples of "
                f"the {count} test rows, as nearly all have the same label",
                where=WHERE,
                expected=f"at most {UNDEFINED:.0%} of them: two test rows or more of every class",
                do="use a test set with more rows of it, or name another utility first",
            )
        return defined


def vary(y: Tensor) -> bool:
    """Whether labels differ."""
    return not bool((y == y[0]).all())
