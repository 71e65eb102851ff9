"""Task: turn the pretrained model into one model a coalition."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.load import Source, inputs_of
from unshapley.coalitions import from_bits
from unshapley.config import Valuation
from unshapley.measurement import unlearn as unlearn_chunk
from unshapley.models import State
from unshapley.unlearning import build_unlearner


@task(name="unlearn", cache_policy=NO_CACHE, persist_result=False)
def unlearn(source: Source, params: Valuation, bits: Sequence[str]) -> State:
    """The models of a chunk; they stay in memory, only their utilities are kept."""
    return unlearn_chunk(inputs_of(source), build_unlearner(params), from_bits(bits))
