"""The report: one self-contained page that asks nothing of any network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from unshapley.files import csv_text
from unshapley.results.conclusion import conclusion
from unshapley.results.published import GRADES, TEST_SOURCES
from unshapley.results.report import lines, matrices
from unshapley.results.report.charts import Chart
from unshapley.results.report.colours import LIGHT
from unshapley.results.report.rendering import as_json, fingerprint, render, script
from unshapley.results.report.sections import (
    FINDINGS,
    clearest_pairs,
    digits,
    extreme_pairs,
    findings_rows,
    value_rows,
)
from unshapley.results.valuation import Valuation
from unshapley.unlearning import UNLEARNERS
from unshapley.unlearning.auto import METHODS

MOST_ROWS = 10_000
"""Of a table that the page carries to be saved; a larger one lies beside the page."""
SCRIPTS = ("report.js", "vega.js")


def render_report(
    valuation: Valuation,
    tables: Mapping[str, pd.DataFrame],
    validation: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
    figures: Mapping[str, Any],
) -> str:
    """The page as HTML; the same valuation gives the same text.

    tables: those of `all_tables`; figures: those of `metrics`.
    """
    table, pairs = tables["values.csv"], tables["interactions.csv"]
    fidelity = figures["fidelity"]
    players = len(valuation.players)
    filled = {name: content for name, content in tables.items() if len(content)}
    downloads = {name: csv_text(t) for name, t in filled.items() if len(t) <= MOST_ROWS}
    rows = value_rows(table, valuation.quarantined)
    pictures = {chart.name: chart for chart in _pictures(tables, valuation.primary)}
    scripts = [script(name) for name in SCRIPTS]
    return render(
        "report.html.j2",
        valuation=valuation,
        metrics=figures,
        by_proxy=_by_proxy(valuation),
        rows=rows,
        digits=digits(table["value"]),
        findings=[FINDINGS[f] for f in FINDINGS if any(row["finding"] == f for row in rows)],
        words=FINDINGS,
        conclusion=conclusion(
            table.to_dict("records"),
            tables["differences.csv"].to_dict("records"),
            fidelity,
            tables[TEST_SOURCES].to_dict("records"),
        ),
        apart=clearest_pairs(tables["differences.csv"]),
        pairs=extreme_pairs(pairs).to_dict("records"),
        pairs_in_all=players * (players - 1) // 2,
        validation=findings_rows(validation),
        provenance=provenance,
        unit=valuation.unit,
        grades=GRADES,
        downloads=list(downloads),
        beside=[name for name in filled if name not in downloads],
        pictures=pictures,
        data=as_json(
            {
                "tables": downloads,
                "pictures": {name: chart.spec for name, chart in pictures.items()},
                "colours": LIGHT,
            }
        ),
        scripts=scripts,
        policy=" ".join(f"'{fingerprint(text)}'" for text in scripts),
    )


def _by_proxy(valuation: Valuation) -> bool:
    """Whether utilities were predicted, by the unlearner or by the method that `auto` chose."""
    name, *rest = valuation.unlearner or ("",)
    options = rest[0] if rest else {}
    if (options.get("retrain_below") or 0) >= 1:
        return False  # all of them were retrained
    method = options.get("method")
    kinds = [METHODS.get(str(method)), UNLEARNERS.get(name)]
    return any(kind is not None and kind.predicts for kind in kinds)


def _pictures(tables: Mapping[str, pd.DataFrame], utility: str) -> Iterator[Chart]:
    """The pictures for which a valuation has numbers."""
    values, history = tables["values.csv"], tables["plots/convergence.csv"]
    yield lines.values(values, utility)
    if len(tables["differences.csv"]):
        yield matrices.order(values, tables["differences.csv"])
    if len(tables["interactions.csv"]):
        yield matrices.interactions(values, tables["interactions.csv"])
    if len(tables[TEST_SOURCES]):
        yield matrices.test_sources(values, tables[TEST_SOURCES])
    yield lines.removal(tables["plots/removal.csv"], utility)
    if history["coalitions"].nunique() > 1:
        yield lines.convergence(history, values)
    if len(tables["plots/fidelity.csv"]):
        yield lines.fidelity(tables["plots/fidelity.csv"])
