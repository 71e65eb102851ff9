"""Table and plot of unlearners compared with real retraining."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pandas as pd

from unshapley.fidelity.benchmark import EDGES, UnlearnerRow
from unshapley.files import write_csv, written_whole
from unshapley.results.report.plots import errors_by_share

BINS = tuple(f"{100 * a:.0f}–{100 * b:.0f} %" for a, b in pairwise(EDGES))
"""Labels of the plot: shares of the training rows that are forgotten."""


def write_benchmark(rows: Sequence[UnlearnerRow], folder: Path) -> None:
    """Write fidelity.csv and fidelity.svg."""
    write_csv(benchmark_table(rows), folder / "fidelity.csv")
    errors = {row.unlearner: row.rmse_by_share for row in rows}
    with written_whole(folder / "fidelity.svg") as part:
        part.write_text(errors_by_share(errors, BINS, _noise_floor(rows)), encoding="utf-8")


def benchmark_table(rows: Sequence[UnlearnerRow]) -> pd.DataFrame:
    """fidelity.csv: one row for each unlearner, with one error column for each share."""
    lines = []
    for row in rows:
        line = {k: v for k, v in vars(row).items() if not k.endswith("_by_share")}
        for i, (low, high) in enumerate(pairwise(EDGES)):
            share = f"{100 * low:.0f}_{100 * high:.0f}"
            line[f"rmse_{share}"] = row.rmse_by_share[i]
            line[f"noise_{share}"] = row.noise_by_share[i]
        line["reason"] = line.pop("reason")  # last, because it is a sentence
        lines.append(line)
    return pd.DataFrame(lines)


def _noise_floor(rows: Sequence[UnlearnerRow]) -> tuple[float | None, ...]:
    return next((r.noise_by_share for r in rows if r.noise_floor is not None), (None,) * len(BINS))
