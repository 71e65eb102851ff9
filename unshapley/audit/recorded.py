"""A valuation as it was recorded, read from its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unshapley.audit.verdict import DIFFERENT, IDENTICAL, Check
from unshapley.config import Params, parse_params
from unshapley.data.tables import read_table
from unshapley.errors import InputError
from unshapley.estimators import Plan, make_plan
from unshapley.estimators.base import Floats, Ints
from unshapley.estimators.stopping import affordable
from unshapley.files import from_text, read_json
from unshapley.game.coalitions import Coalitions, from_bits, nobody
from unshapley.game.measuring import Measured, not_resampled
from unshapley.project import Project
from unshapley.results.integrity import check_schema
from unshapley.results.layout import MANIFEST
from unshapley.results.published import TEXT

CORRECTED = "_corrected"
"""What the name of the column of corrected utilities ends with."""
ENDS = 2
"""Rows of utilities.parquet before the plan's: the empty and the full coalition."""
CALIBRATED = -2
"""In column `chunk`: retrained by calibration."""
TRIED = 64
"""Numbers of coalitions for which a plan that was stopped early is looked for."""
DO = "restore it with `git checkout` or `dvc checkout`"


@dataclass(frozen=True)
class RecordedValuation:
    """What the files of a valuation hold.

    project: where they are; manifest: of the valuation; params: its configuration; coalitions: of
    the plan, in the order of utilities.parquet `(m, n)`; chunks: the chunk of each `(m,)`; columns:
    utilities by name, of the empty and the full coalition and then of the plan's `(m + 2,)`.
    """

    project: Project
    manifest: Mapping[str, Any]
    params: Params
    coalitions: Coalitions
    chunks: Ints
    columns: Mapping[str, Floats]

    @property
    def players(self) -> tuple[str, ...]:
        return tuple(self.manifest["players"])

    @property
    def primary(self) -> str:
        """Column of the primary utility."""
        return self.params.valuation.utilities[0]

    @property
    def corrected(self) -> Floats | None:
        """Corrected primary utilities of the plan `(m,)`; None where nothing was corrected."""
        column = self.columns.get(self.primary + CORRECTED)
        return None if column is None else column[ENDS:]

    @property
    def table(self) -> Floats:
        """What the values were computed of: empty, plan, full coalition `(m + 2,)`."""
        primary = self.columns[self.primary]
        planned = primary[ENDS:] if self.corrected is None else self.corrected
        ends = self.columns.get(self.primary + CORRECTED, primary)[:ENDS]
        return np.array([ends[0], *planned, ends[1]])

    @property
    def by_calibration(self) -> NDArray[np.bool_]:
        """Which coalitions of the plan calibration has retrained `(m,)`."""
        out: NDArray[np.bool_] = self.chunks == CALIBRATED
        return out

    @property
    def measured(self) -> Measured:
        """The plan's coalitions with all utilities but corrected ones; no bootstrap samples."""
        return Measured(
            self.coalitions, self._part(slice(ENDS, None)), not_resampled(self.coalitions)
        )

    @property
    def endpoints(self) -> Measured:
        """U(none) and U(all), in this order."""
        ends = _ends(len(self.players))
        return Measured(ends, self._part(slice(0, ENDS)), not_resampled(ends))

    def _part(self, rows: slice) -> dict[str, list[float]]:
        skipped = self.primary + CORRECTED
        return {n: v[rows].tolist() for n, v in self.columns.items() if n != skipped}

    @cached_property
    def plan(self) -> Plan:
        """The plan that the parameters give; where it is another than was measured, the measured
        coalitions for the recorded estimator.
        """
        measured = Plan(self.manifest["estimator"]["name"], self.coalitions, "as recorded")
        return self.planned or measured

    @cached_property
    def planned(self) -> Plan | None:
        """What the parameters plan, or the part of it after which a rule may have stopped, if it is
        what was measured; else None.
        """
        settings, n, count = self.params.valuation, len(self.players), len(self.coalitions)
        budget = affordable(settings.budget, settings.stop)
        whole = make_plan(settings.estimator, n, budget, settings.seed)
        if self._is(whole):
            return whole
        if settings.stop.needs_interim_estimates:
            for shorter in range(count, min(budget, count + TRIED)):
                try:
                    plan = make_plan(settings.estimator, n, shorter, settings.seed)
                except InputError:  # too few for this estimator
                    continue
                if self._is(plan):
                    return plan
        return None

    def _is(self, plan: Plan) -> bool:
        return plan.estimator == self.manifest["estimator"]["name"] and np.array_equal(
            plan.coalitions, self.coalitions
        )

    def csv(self, name: str) -> pd.DataFrame:
        """A published CSV, every number as it was written."""
        path = self.project.valuation / name
        try:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False)
            for column in frame.columns:
                read = from_text if column in TEXT else _number
                frame[column] = frame[column].map(read)
        except (OSError, ValueError) as error:
            raise InputError(f"not readable: {error}", where=path, do=DO) from None
        return frame


def read_recorded(project: Project) -> RecordedValuation:
    """The valuation in data/valuation.

    Raises `InputError` where the manifest is missing, of a newer schema, or of another form than
    ours, or where utilities.parquet is not readable.
    """
    path = project.valuation / MANIFEST
    manifest = read_json(path, do=DO)
    check_schema(manifest, path)
    params = parse_params(manifest["config"], where=path)
    where = project.valuation / "utilities.parquet"
    frame = read_table(where)
    try:
        bits, chunks = list(frame.pop("coalition")), frame.pop("chunk").to_numpy(dtype=np.int64)
        coalitions = from_bits(bits)
        columns = {str(n): frame[n].to_numpy(dtype=np.float64) for n in frame}
        ends = coalitions[:ENDS]
        if len(bits[0]) != len(manifest["players"]) or not (ends == _ends(len(bits[0]))).all():
            raise ValueError("its first rows are not the empty and the full coalition")
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"not a table of utilities: {error}", where=where, do=DO) from None
    return RecordedValuation(project, manifest, params, coalitions[ENDS:], chunks[ENDS:], columns)


def check_plan(recorded: RecordedValuation) -> Check:
    """Whether the coalitions are those that estimator, budget and seed give."""
    what, count = "coalitions of the plan", len(recorded.coalitions)
    stated = recorded.manifest["coalitions"]["planned"]
    if recorded.planned is not None and stated == count:
        return Check("plan", what, IDENTICAL, count)
    detail = (
        f"{count} coalitions are recorded, and {stated} in the manifest: they are not those that"
    )
    settings = recorded.params.valuation
    detail += f" {settings.estimator} plans for {settings.budget} with seed {settings.seed}"
    return Check("plan", what, DIFFERENT, count, count, details=(detail,))


def _ends(n: int) -> Coalitions:
    return np.vstack([nobody(n), ~nobody(n)])


def _number(cell: str) -> float:
    return float(cell) if cell else float("nan")
