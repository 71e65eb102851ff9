"""Task: write the outputs, and show them as Prefect artifacts."""

from __future__ import annotations

import base64
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from tasks.worker import WORKER, GameSource
from unshapley.config import Params
from unshapley.project import Project
from unshapley.results.publishing import publish_valuation
from unshapley.results.report.plots import bars_png
from unshapley.results.tables import metrics, values_table
from unshapley.results.valuation import Valuation

log = logging.getLogger("unshapley.publish")


@task(name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish(
    source: GameSource, params: Params, valuation: Valuation, validation: Sequence[dict[str, Any]]
) -> Path:
    """Write data/valuation (or data/untrusted) and the artifacts; return the folder."""
    game = WORKER.load(source)
    folder = publish_valuation(Project(source.root), params, valuation, game, validation)
    try:
        show(valuation, folder)
    except Exception as error:  # noqa: BLE001 (artifacts are optional: the outputs are on disk)
        log.warning("artifacts could not be shown in Prefect: %s", error)
    return folder


def show(valuation: Valuation, folder: Path) -> None:
    """The valuation as Prefect artifacts: table, summary and plot."""
    table = values_table(valuation)
    ordered = table.sort_values("rank", na_position="last").astype(object)
    rows: Any = ordered.where(ordered.notna(), None).to_dict("records")
    create_table_artifact(rows, key="values", description="Values by provider")
    figures = metrics(valuation)
    check = figures.pop("fidelity")
    lines = [f"| {name} | {value} |" for name, value in figures.items()]
    lines += [f"| fidelity: {name} | {value} |" for name, value in check.items()]
    create_markdown_artifact(
        "\n".join(["| figure | value |", "| --- | --- |", *lines, "", f"Report: `{folder}`"]),
        key="valuation",
        description="Figures of the valuation",
    )
    picture = base64.b64encode(bars_png(table, valuation.primary)).decode()
    create_image_artifact(
        f"data:image/png;base64,{picture}",
        key="values-picture",
        description="Values with intervals",
    )
