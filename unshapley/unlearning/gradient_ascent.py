"""Gradient ascent on the forgotten rows with a penalty on the divergence (Unlearning Shapley)."""

from __future__ import annotations

import logging
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from unshapley.errors import InputError
from unshapley.models.pretrained import Pretrained
from unshapley.unlearning.ascent import AscentUnlearner

log = logging.getLogger("unshapley.unlearning")


class GradientAscentUnlearner(AscentUnlearner):
    """Maximise the loss of forgotten rows, and stay near the pretrained model on other rows.

    minimise −(1/|F|) Σ_F ℓ(θ) + kl · (1/|R|) Σ_R KL(p_pretrained ‖ p_θ)

    over forgotten rows F and rows R of the reference set; for numeric labels, half the squared
    difference of outputs replaces KL. The method of Ma et al., "Losing is for Cherishing: Data
    Valuation Based on Machine Unlearning and Shapley Value" (arXiv 2505.16147, 2025), as far as it
    is published. There R is the test set (`regulariser="test"`), so that the models are tuned on
    the rows that score them. The paper gives no stopping rule; here a model stops at the held-out
    loss. Reads forgotten rows and the reference set. Cost per coalition: at most `steps` steps on
    both.
    """

    name: ClassVar[str] = "gradient_ascent"
    regulariser: Literal["reference", "test"] = Field(
        "reference", description="rows on which divergence is penalised; test leaks the test set"
    )

    def push(self, loss: Tensor, before: Tensor) -> Tensor:
        return -loss

    def anchors(self, pretrained: Pretrained) -> Tensor:
        if self.regulariser == "reference":
            return pretrained.reference[0]
        if pretrained.test is None:
            raise InputError(
                f"{self.name} should regularise on the test set, and there is none",
                where="valuation.options",
                do="set valuation.options.regulariser to reference",
            )
        log.warning(
            "%s regularises on the test set: the test set leaks into the models that it scores, "
            "and utilities are too high; regulariser: reference does not leak",
            self.name,
        )
        return pretrained.test[0]
