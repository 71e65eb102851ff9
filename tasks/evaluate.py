"""Task: measure the utilities of a batch of unlearned models."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.load import Source, inputs_of
from unshapley.coalitions import from_bits
from unshapley.config import Valuation
from unshapley.measurement import Utilities, checked, evaluate_batch
from unshapley.models import State
from unshapley.unlearning import build_unlearner


@task(name="evaluate", cache_policy=NO_CACHE, persist_result=False)
def evaluate(source: Source, params: Valuation, bits: Sequence[str], batch: State) -> Utilities:
    """Utilities of a chunk's models; raises `UnshapleyError` for a model that is not finite."""
    utilities = evaluate_batch(inputs_of(source), batch, params.utilities)
    return checked(utilities, build_unlearner(params), from_bits(bits))
