"""Combine the published valuations of several pretrained models, and write what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from unshapley.files import written_whole
from unshapley.project import Project
from unshapley.published import Published, read_published
from unshapley.seeds import combined


def seeds(places: Sequence[Project], out: Path | None) -> tuple[Published, pd.DataFrame]:
    """The first valuation, and values over all; written with their differences to `out`."""
    published = [read_published(place) for place in places]
    tables = combined(places, published)
    if out:
        for name, table in tables.items():
            with written_whole(out / f"{name}.csv") as part:
                table.to_csv(part, index=False, lineterminator="\n")
    return published[0], tables["values"]
