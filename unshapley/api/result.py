"""The result of `unshapley.value`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from unshapley.config import Params
from unshapley.fidelity.gate import Fidelity, may_publish
from unshapley.fidelity.refusal import refusal
from unshapley.game.loading import LoadedGame
from unshapley.results import tables
from unshapley.results.published import GRADES
from unshapley.results.valuation import Valuation

PLACE = "the values are in this result"
DIGITS = 4
"""Significant digits of numbers in the printed table."""


@dataclass(frozen=True)
class Result:
    """Values with their intervals, and whether they are to be believed.

    valuation: everything that was measured; params: how; game: the model and the test set;
    findings: what is to be known of the rows.
    """

    valuation: Valuation
    params: Params
    game: LoadedGame
    findings: tuple[str, ...] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each provider, as values.csv has it: `provider, rows, value, std_error, ci_low,
        ci_high, rank, status` and the parts of the error. `frame.attrs` holds the verdict.
        """
        frame = tables.values_table(self.valuation)
        frame.attrs = {"utility": self.utility, "fidelity": self.status, "grade": self.grade}
        return frame

    @property
    def utility(self) -> str:
        """Name of the utility that is divided among the providers; `unit` says in what."""
        return self.valuation.primary

    @property
    def unit(self) -> str:
        """Unit of the values."""
        return self.valuation.unit

    @property
    def fidelity(self) -> Fidelity:
        """How far unlearning is from really retraining, and what that implies for the values."""
        return self.valuation.fidelity

    @property
    def status(self) -> str:
        """`trusted`, `untrusted`, or `unchecked` where nothing was retrained to check."""
        return self.fidelity.status

    @property
    def grade(self) -> str | None:
        """What the values are good for: `values`, `ranks`, `extremes` or `none`; None: unknown."""
        return self.fidelity.grade

    @property
    def publishable(self) -> bool:
        """Whether the gate lets these values pass: `unshapley run` would publish them."""
        return may_publish(self.fidelity, self.params.fidelity)

    @property
    def warnings(self) -> tuple[str, ...]:
        """All that speaks against believing the values as they stand; empty if nothing does."""
        return (*self._of_fidelity(), *self.findings)

    def differences(self) -> pd.DataFrame:
        """Is one provider worth more than another? A row a pair, as differences.csv has it."""
        return tables.differences_table(self.valuation)

    def interactions(self) -> pd.DataFrame:
        """Pairwise Shapley interactions, the most redundant pair first, as interactions.csv."""
        return tables.interactions_table(self.valuation)

    def semivalues(self) -> pd.DataFrame:
        """Other ways to divide the same utilities (Banzhaf, least core …), as semivalues.csv."""
        return tables.semivalues_table(self.valuation)

    def utilities(self) -> pd.DataFrame:
        """Every measured coalition with its utilities, as utilities.parquet has them."""
        return tables.utilities_table(self.valuation)

    def _of_fidelity(self) -> Iterator[str]:
        fidelity = self.fidelity
        if fidelity.status != "trusted":
            unlearner = self.params.valuation.unlearner
            yield f"{fidelity.status}: {refusal(fidelity, PLACE, unlearner, compare='')}"
        elif fidelity.grade == "extremes":
            yield f"fidelity {fidelity.grade}: {GRADES['extremes']}"
        elif fidelity.is_weak:
            yield f"unlearning explains only {fidelity.explained:.0%} of what forgetting does"

    def __str__(self) -> str:
        shown = self.frame.sort_values("rank", na_position="last")
        columns = ["rank", "provider", "rows", "value", "std_error", "ci_low", "ci_high"]
        table = shown[columns].to_string(index=False, float_format=f"{{:.{DIGITS}g}}".format)
        verdict = f"fidelity: {self.status}"
        if self.grade is not None and self.status == "trusted":
            verdict += f", {GRADES[self.grade]}"
        head = f"{self.utility}, {self.unit}: {self.valuation.u_all:.{DIGITS}g} with all providers"
        head += f", {self.valuation.u_none:.{DIGITS}g} with none"
        return "\n".join([head, table, verdict, *(f"warning: {w}" for w in self.warnings)])

    __repr__ = __str__
