"""Unlearners: a file each, and one line each in this registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from unshapley.config import Valuation
from unshapley.unlearning.base import Pretrained, TrainingRows, Unlearner
from unshapley.unlearning.finetune import FinetuneUnlearner
from unshapley.unlearning.hybrid import HybridUnlearner
from unshapley.unlearning.newton import NewtonUnlearner
from unshapley.unlearning.none import NoUnlearning
from unshapley.unlearning.retrain import RetrainUnlearner
from unshapley.unlearning.shrink_finetune import ShrinkFinetuneUnlearner

UNLEARNERS: Mapping[str, Callable[[Valuation], Unlearner]] = {
    "newton": lambda params: NewtonUnlearner(**params.newton.model_dump()),
    "finetune": lambda params: FinetuneUnlearner(**params.finetune.model_dump()),
    "hybrid": lambda params: HybridUnlearner(**params.hybrid.model_dump()),
    "shrink_finetune": lambda params: ShrinkFinetuneUnlearner(
        **params.shrink_finetune.model_dump()
    ),
    "retrain": lambda _: RetrainUnlearner(),
    "no_unlearning": lambda _: NoUnlearning(),
}


def build_unlearner(params: Valuation) -> Unlearner:
    """The unlearner that the configuration names, with its options."""
    return UNLEARNERS[params.unlearner](params)


__all__ = ["UNLEARNERS", "Pretrained", "TrainingRows", "Unlearner", "build_unlearner"]
