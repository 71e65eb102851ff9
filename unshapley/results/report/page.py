"""The report: one self-contained page that needs neither network nor scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from unshapley.results.conclusion import conclusion
from unshapley.results.published import GRADES, TEST_SOURCES
from unshapley.results.report import plots
from unshapley.results.report.rendering import picture, render
from unshapley.results.valuation import Valuation

PAIRS = 6
"""Most pairs of providers that the report lists."""


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
    extremes = pairs
    if len(pairs) > PAIRS:
        extremes = pd.concat([pairs[: PAIRS // 2], pairs[-PAIRS // 2 :]])
    fidelity, history = tables["plots/fidelity.csv"], tables["plots/convergence.csv"]
    players = len(valuation.players)
    return render(
        "report.html.j2",
        valuation=valuation,
        metrics=figures,
        rows=table.sort_values("rank", na_position="last").to_dict("records"),
        conclusion=conclusion(
            table.to_dict("records"),
            tables["differences.csv"].to_dict("records"),
            figures["fidelity"]["status"],
            figures["fidelity"].get("grade"),
            tables[TEST_SOURCES].to_dict("records"),
        ),
        pairs=extremes.to_dict("records"),
        pairs_in_all=players * (players - 1) // 2,
        validation=validation,
        provenance=provenance,
        unit=valuation.unit,
        grades=GRADES,
        bars=picture(plots.bars(table, valuation.primary)),
        convergence=picture(plots.convergence(history, table))
        if history["coalitions"].nunique() > 1
        else None,
        fidelity=picture(plots.fidelity(fidelity)) if len(fidelity) else None,
    )
