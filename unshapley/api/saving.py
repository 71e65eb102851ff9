"""Write a result as `unshapley run` writes a valuation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unshapley.config import Params
from unshapley.game.loading import LoadedGame
from unshapley.results.manifest import describe
from unshapley.results.publishing import write_outputs
from unshapley.results.valuation import Valuation


def write_result(
    folder: Path, valuation: Valuation, params: Params, game: LoadedGame, warnings: Sequence[str]
) -> None:
    """Tables, report and manifest; the rows themselves are not written, the manifest has hashes of
    what a model sees of them.

    No expectations were checked: what stands for them is what `unshapley.value` has warned of.
    """
    record = game.record
    inputs = {
        **{f"data/{name}": value for name, value in record.partitions.items()},
        **{f"model/{name}": value for name, value in record.files.items()},
        "test": record.test,
        "reference": record.reference,
    }
    validation = [
        {
            "table": "all, in memory",
            "rows": sum(record.rows.values()),
            "expectations": 0,
            "results": [],
            "critical": [],
            "warnings": list(warnings),
        }
    ]
    write_outputs(folder, valuation, validation, describe(params, valuation, inputs))
