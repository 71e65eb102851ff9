"""Negative preference optimisation: gradient ascent that fades out on unlikely rows."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from unshapley.unlearning.ascent import AscentUnlearner


class NPOUnlearner(AscentUnlearner):
    """Make every forgotten row less likely than under the pretrained model.

    minimise (2/β) · (1/|F|) Σ_F log(1 + (p_θ(y|x) / p_pretrained(y|x))^β) + kl · KL on R

    over forgotten rows F, with the divergence on the reference set R as in `gradient_ascent`, which
    is the limit β → 0. With a larger β, the gradient of a row fades sooner as the row becomes
    unlikely. Zhang et al., "Negative Preference Optimization: From Catastrophic Collapse to
    Effective Unlearning" (COLM 2024), section 3. For numeric labels log p is minus the row's loss.
    A model stops at the held-out loss. Reads forgotten rows and the reference set. Cost per
    coalition: at most `steps` steps on both.
    """

    name: ClassVar[str] = "npo"
    beta: float = Field(1.0, gt=0, description="β, how soon the gradient of an unlikely row fades")

    def push(self, loss: Tensor, before: Tensor) -> Tensor:
        return 2 / self.beta * nn.functional.softplus(self.beta * (before - loss))
