"""Gradient descent on retained rows and ascent on forgotten rows in the same steps."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from unshapley.models.batching import State, batched_outputs
from unshapley.models.losses import row_loss
from unshapley.models.pretrained import Pretrained
from unshapley.models.training import descend, stack
from unshapley.unlearning.ascent import capped, held_out_loss, shares
from unshapley.unlearning.base import Unlearner, reachable_rows, step_length


class NegGradPlusUnlearner(Unlearner):
    """Fine-tune on retained rows while the loss of forgotten rows is increased.

    minimise β · (1/|S|) Σ_S ℓ(θ) − (1 − β) · min((1/|F|) Σ_F ℓ(θ), c) + ½ w ‖θ‖²

    over retained rows S and forgotten rows F, with w the recipe's penalty and c the held-out
    loss: that of the pretrained model on the reference set. Without the minimum with c it is
    NegGrad+ of Kurmanji et al., "Towards Unbounded Machine Unlearning" (NeurIPS 2023), section 4.
    Reads retained and forgotten rows. Cost per coalition: `steps` steps on all rows.
    """

    name: ClassVar[str] = "neggrad_plus"
    retain_free: ClassVar[bool] = False
    reads_all: ClassVar[bool] = True
    in_blocks: ClassVar[bool] = False
    steps: int = Field(15, ge=1, description="Adam steps on all rows")
    learning_rate: float = Field(0.02, gt=0)
    beta: float = Field(0.95, ge=0, le=1, description="β, weight of the retained rows")

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        model, recipe = pretrained.model, pretrained.recipe
        rows = reachable_rows(pretrained, staying | ~staying, self.name, "takes part")
        kept, forgotten = shares(rows, staying), shares(rows, ~staying)
        ceiling = held_out_loss(pretrained)

        def objective(theta: State, shared: State) -> Tensor:
            loss = row_loss(batched_outputs(model, theta, shared, rows.x), rows.y)
            push = capped((forgotten * loss).sum(dim=1), ceiling)
            return self.beta * (kept * loss).sum() - (1 - self.beta) * push.sum()

        return descend(
            model,
            stack(pretrained.trained, len(staying)),
            objective,
            steps=self.steps,
            learning_rate=self.learning_rate,
            weight_decay=recipe.penalty,
            length=step_length(pretrained, staying),
        )
