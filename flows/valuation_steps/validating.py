"""Step: check what can be known beforehand, then every table against its expectations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flows.alerts import events
from flows.preflight import preflight
from flows.valuation_steps.run import ValuationRun
from tasks.expectations.validation import state_of, verdict
from tasks.validate import validate


@dataclass(frozen=True)
class ValidatedTables:
    """What was found in every table, and who is left out for it.

    state: hash of all that was read; quarantined: reason by provider.
    """

    state: str
    reports: list[dict[str, Any]]
    quarantined: dict[str, str]

    @property
    def left_out(self) -> dict[str, tuple[str, int]]:
        """Reason and rows by provider of those that are in quarantine."""
        rows = {report["table"]: report["rows"] for report in self.reports}
        return {name: (reason, rows[name]) for name, reason in self.quarantined.items()}


def validate_tables(run: ValuationRun) -> ValidatedTables:
    """Raises `ValidationError` where tables break their expectations and the policy is to stop."""
    with run.tracker.step("validate"):
        preflight(run.project, run.params)
        state = state_of(run.project)
        reports = validate(run.project, run.params.valuation.targets, state)
        quarantined = verdict(reports, run.params.validation.policy)
        events.quarantined(run.project.root, quarantined)
        return ValidatedTables(state, reports, quarantined)
