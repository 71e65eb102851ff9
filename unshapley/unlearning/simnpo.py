"""Negative preference optimisation without the pretrained model's probabilities."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from unshapley.unlearning.ascent import AscentUnlearner


class SimNPOUnlearner(AscentUnlearner):
    """Make every forgotten row unlikely, the most likely rows first.

    minimise −(2/β) · (1/|F|) Σ_F log σ(−β log p_θ(y|x) − γ) + kl · KL on R

    over forgotten rows F, with the divergence on the reference set R as in `gradient_ascent`. At
    the start `npo` weights all rows equally; this gives larger weights to likely rows. Fan et al.,
    "Simplicity Prevails: Rethinking Negative Preference Optimization for LLM Unlearning"
    (arXiv 2410.07163, 2024), section 4, with sequences of length one. For numeric labels log p is
    minus the row's loss. A model stops at the held-out loss. Reads forgotten rows and the reference
    set. Cost per coalition: at most `steps` steps on both.
    """

    name: ClassVar[str] = "simnpo"
    beta: float = Field(1.0, gt=0, description="β, how soon the gradient of an unlikely row fades")
    gamma: float = Field(0.0, ge=0, description="γ, margin: larger values make rows more unlikely")

    def push(self, loss: Tensor, before: Tensor) -> Tensor:
        return -2 / self.beta * nn.functional.logsigmoid(self.beta * loss - self.gamma)
