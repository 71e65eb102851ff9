"""Gradient ascent on the forgotten rows, held by a divergence: the method of Unlearning Shapley."""

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
    """Forget by maximising the loss of what is forgotten, near to the pretrained model elsewhere.

    minimise −(1/|F|) Σ_F ℓ(θ) + kl · (1/|R|) Σ_R KL(p_pretrained ‖ p_θ)

    over forgotten rows F and rows R of the reference set; for numbers half the squared difference
    of outputs stands for KL. The method of Ma et al., "Losing is for Cherishing: Data Valuation
    Based on Machine Unlearning and Shapley Value" (arXiv 2505.16147, 2025), as far as it is
    published: there R is the test set (`regulariser="test"`), which then takes part in making the
    models that it scores. Where to stop is not said there; here a model stops at the held-out loss.
    Touches forgotten rows and the reference set. Cost per coalition: at most `steps` steps on both.
    """

    name: ClassVar[str] = "gradient_ascent"
    regulariser: Literal["reference", "test"] = Field(
        "reference", description="rows that hold the model; test leaks the test set"
    )

    def push(self, loss: Tensor, before: Tensor) -> Tensor:
        return -loss

    def anchors(self, pretrained: Pretrained) -> Tensor:
        if self.regulariser == "reference":
            return pretrained.reference[0]
        if pretrained.test is None:
            raise InputError(
                f"{self.name} is to regularise on the test set, and there is none",
                where="valuation.options",
                do="set regulariser to reference",
            )
        log.warning(
            "%s regularises on the test set: it leaks into the models that it scores, and "
            "utilities come out too high; regulariser: reference does not leak",
            self.name,
        )
        return pretrained.test[0]
