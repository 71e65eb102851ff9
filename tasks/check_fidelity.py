"""Task: retrain a few coalitions and compare with what unlearning says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from prefect import task

from tasks.load import Source, inputs_of
from tasks.options import seal
from unshapley import fidelity
from unshapley.coalitions import from_bits
from unshapley.config import Valuation
from unshapley.unlearning import build_unlearner


@task(name="check fidelity")
def check_fidelity(
    source: Source, params: Valuation, bits: Sequence[str], full: float, key: str
) -> dict[str, Any]:
    """The comparison of the primary utility; `full` is U(all)."""
    result = fidelity.check_fidelity(
        inputs_of(source), build_unlearner(params), from_bits(bits), params.utilities[0], full
    )
    return seal(asdict(result))
