"""Step: write the outputs; values that the fidelity check refuses are kept apart."""

from __future__ import annotations

import logging
from typing import Any

from flows.alerts import events
from flows.runtime.arguments import unvisited
from flows.runtime.tracking import write_run
from flows.valuation_steps.loading import OpenedGame
from flows.valuation_steps.run import ValuationRun
from flows.valuation_steps.validating import ValidatedTables
from tasks.publish import publish
from unshapley.analysis.moved import moved_beyond
from unshapley.data.tables import TEXT
from unshapley.errors import InputError, UntrustedError
from unshapley.fidelity.gate import may_publish
from unshapley.fidelity.refusal import refusal
from unshapley.results.published import PublishedValue, read_published, read_values
from unshapley.results.tables import metrics
from unshapley.results.valuation import Valuation

log = logging.getLogger("unshapley.run")


def publish_values(
    run: ValuationRun, opened: OpenedGame, valuation: Valuation, tables: ValidatedTables
) -> dict[str, Any]:
    """Raises `UntrustedError` where the values are not published."""
    tracker, root = run.tracker, run.project.root
    before = _last_values(run)
    with tracker.step("publish"):
        folder = publish(opened.execution.source, run.params, unvisited(valuation), tables.reports)
    summary = tracker.summary(run.params.run)
    write_run(run.project, folder.name, summary)
    log.info(_memory(summary["memory_mb"]))
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in summary["seconds"].items())
    log.info("seconds: %s", seconds)
    if not may_publish(valuation.fidelity, run.params.fidelity):
        unlearner, text = run.params.valuation.unlearner, run.params.prepare.task == TEXT
        why = refusal(valuation.fidelity, f"the values are in {folder}", unlearner, text=text)
        events.untrusted(root, folder, why)
        raise UntrustedError(f"not published: {why}")
    events.moved(root, moved_beyond(before, read_values(folder / "values.csv")))
    figures = metrics(valuation)
    events.published(root, folder, figures)
    return {"folder": str(folder), "metrics": figures, "run": summary}


def _last_values(run: ValuationRun) -> tuple[PublishedValue, ...]:
    """What is published now, if it is of the same game: utility and targets; nothing if it cannot
    be read.
    """
    settings = run.params.valuation
    try:
        last = read_published(run.project)
        targets = last.manifest["config"]["valuation"]["targets"]
    except (InputError, KeyError):
        return ()
    same = last.utility == settings.utilities[0] and targets == settings.targets
    return last.providers if same else ()


def _memory(memory: dict[str, Any]) -> str:
    """The peak in words, held against the estimate for the process that measures."""
    peak, workers = memory["peak"], memory["workers"]
    others = f", of the largest of {len(workers)} workers {workers[0]:.0f} MiB" if workers else ""
    measuring = workers[0] if workers else peak
    return (
        f"memory: peak of this process {peak:.0f} MiB{others}; {memory['estimated']:.0f} MiB were "
        f"estimated where it measures ({measuring / memory['estimated']:.2f} of the estimate)"
    )
