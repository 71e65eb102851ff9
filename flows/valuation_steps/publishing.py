"""Step: write the outputs; values that the fidelity check refuses are kept apart."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from flows.runtime.arguments import unvisited
from flows.runtime.tracking import write_run
from flows.valuation_steps.loading import OpenedGame
from flows.valuation_steps.run import ValuationRun
from flows.valuation_steps.validating import ValidatedTables
from tasks.publish import publish
from unshapley.errors import UntrustedError
from unshapley.fidelity.gate import Fidelity, may_publish
from unshapley.results.tables import metrics
from unshapley.results.valuation import Valuation
from unshapley.unlearning import UNLEARNERS

log = logging.getLogger("unshapley.run")


def publish_values(
    run: ValuationRun, opened: OpenedGame, valuation: Valuation, tables: ValidatedTables
) -> dict[str, Any]:
    """Raises `UntrustedError` where the values are not published."""
    tracker = run.tracker
    with tracker.step("publish"):
        folder = publish(opened.execution.source, run.params, unvisited(valuation), tables.reports)
    summary = tracker.summary(run.params.run)
    write_run(run.project, folder.name, summary)
    log.info(_memory(summary["memory_mb"]))
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in summary["seconds"].items())
    log.info("seconds: %s", seconds)
    if not may_publish(valuation.fidelity, run.params.fidelity):
        unlearner = run.params.valuation.unlearner
        raise UntrustedError(_refusal(valuation.fidelity, folder, unlearner))
    return {"folder": str(folder), "metrics": metrics(valuation), "run": summary}


def _memory(memory: dict[str, Any]) -> str:
    """The peak in words, held against the estimate for the process that measures."""
    peak, workers = memory["peak"], memory["workers"]
    others = f", of the largest of {len(workers)} workers {workers[0]:.0f} MiB" if workers else ""
    measuring = workers[0] if workers else peak
    return (
        f"memory: peak of this process {peak:.0f} MiB{others}; {memory['estimated']:.0f} MiB were "
        f"estimated where it measures ({measuring / memory['estimated']:.2f} of the estimate)"
    )


def _refusal(fidelity: Fidelity, folder: Path, unlearner: str) -> str:
    if fidelity.status == "unchecked":
        why = fidelity.reason or "no coalition was retrained to check the values"
        remedy = "restore the rows" if fidelity.reason else "set fidelity.coalitions"
        return (
            f"not published: {why}\n"
            f"  the values are in {folder}\n"
            f"  do: {remedy}, or set fidelity.publish_unchecked: true"
        )
    implied = fidelity.implied
    if implied is not None and fidelity.beats_no_unlearning:
        return (
            "not published: by what retraining a few coalitions implies, the values tell not even "
            "the best from the worst provider\n"
            f"  the best is worth more with probability {implied.best_above_worst:.2f}, and the "
            f"values are off by about {implied.rel_l2.expected:.0%}; they are in {folder}\n"
            "  do: compare unlearners with `unshapley fidelity`, raise correction.coalitions, or "
            "use retrain"
        )
    others = [n for n, kind in UNLEARNERS.items() if not kind.control and n != unlearner]
    return (
        "not published: unlearning predicts retraining no better than leaving the model as it is\n"
        f"  root mean squared error {fidelity.rmse:.4f}, without unlearning "
        f"{fidelity.rmse_no_unlearning:.4f}; the values are in {folder}\n"
        f"  do: run `unshapley fidelity`, which compares the unlearners on this project, and set "
        f"valuation.unlearner to {', '.join(others)} or retrain"
    )
