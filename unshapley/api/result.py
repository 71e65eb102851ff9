"""The result of `unshapley.value`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from unshapley.api.showing import Picture, as_html, as_text
from unshapley.config import Params
from unshapley.errors import UntrustedError
from unshapley.fidelity.gate import Fidelity, may_publish
from unshapley.fidelity.refusal import refusal
from unshapley.game.loading import LoadedGame
from unshapley.results import tables
from unshapley.results.conclusion import conclusion
from unshapley.results.published import GRADES
from unshapley.results.valuation import Valuation

PLACE = "the values are in this result"


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

    @property
    def conclusion(self) -> str:
        """What to conclude, in a few sentences, as the report has them."""
        frames = self.frame, self.differences(), self.test_sources()
        values, pairs, sources = (frame.to_dict("records") for frame in frames)
        fidelity = tables.metrics(self.valuation)["fidelity"]
        return " ".join(conclusion(values, pairs, fidelity, sources))

    def differences(self) -> pd.DataFrame:
        """Is one provider worth more than another? A row a pair, as differences.csv has it."""
        return tables.differences_table(self.valuation)

    def interactions(self) -> pd.DataFrame:
        """Pairwise Shapley interactions, the most redundant pair first, as interactions.csv."""
        return tables.interactions_table(self.valuation)

    def semivalues(self) -> pd.DataFrame:
        """Other ways to divide the same utilities (Banzhaf, least core …), as semivalues.csv."""
        return tables.semivalues_table(self.valuation)

    def test_sources(self) -> pd.DataFrame:
        """Value of each provider on the test rows of each that gave some, as test_sources.csv."""
        return tables.test_sources_table(self.valuation)

    def utilities(self) -> pd.DataFrame:
        """Every measured coalition with its utilities, as utilities.parquet has them."""
        return tables.utilities_table(self.valuation)

    def _of_fidelity(self) -> Iterator[str]:
        fidelity = self.fidelity
        if fidelity.status != "trusted":
            yield f"{fidelity.status}: {self._refusal()}"
        elif fidelity.grade == "extremes":
            yield f"fidelity {fidelity.grade}: {GRADES['extremes']}"
        elif fidelity.is_weak:
            yield f"unlearning explains only {fidelity.explained:.0%} of what forgetting does"

    def _refusal(self) -> str:
        return refusal(self.fidelity, PLACE, self.params.valuation.unlearner, compare="")

    def plot_values(self) -> Picture:
        """Value of every provider with its 95 % interval, largest on top."""
        from unshapley.results.report.plots import draw_bars

        return Picture(draw_bars(self.frame, self.utility))

    def save(self, folder: str | Path, *, untrusted: bool = False) -> Path:
        """Write tables, report and manifest, as `unshapley run` does; give the folder.

        untrusted: also where the gate refuses the values, which otherwise is an `UntrustedError`.
        Raises `InputError` where a file cannot be written.
        """
        from unshapley.api.saving import write_result

        if not (self.publishable or untrusted):
            raise UntrustedError(f"not saved: {self._refusal()}\n  or: save(…, untrusted=True)")
        path = Path(folder)
        write_result(path, self.valuation, self.params, self.game, self.warnings)
        return path

    def _shown(self) -> tuple[pd.DataFrame, str, str, tuple[str, ...]]:
        verdict = f"fidelity: {self.status}"
        if self.grade is not None and self.status == "trusted":
            verdict += f", {GRADES[self.grade]}"
        u_all, u_none = self.valuation.u_all, self.valuation.u_none
        head = (
            f"{self.utility}, {self.unit}: {u_all:.4g} with all providers, {u_none:.4g} with none"
        )
        return self.frame, head, verdict, self.warnings

    def __str__(self) -> str:
        return as_text(*self._shown())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return as_html(*self._shown())
