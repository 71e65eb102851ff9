"""A student that follows the pretrained model on retained rows and departs on forgotten rows."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unshapley.models.batching import State, batched_outputs
from unshapley.models.losses import row_loss
from unshapley.models.pretrained import Pretrained
from unshapley.models.training import descend, stack, trainable
from unshapley.unlearning.ascent import divergence, held_out_loss, shares
from unshapley.unlearning.base import Unlearner, reachable_rows, step_length


class ScrubUnlearner(Unlearner):
    """Alternate between two objectives, with the pretrained model as the teacher.

    min-steps: α · (1/|S|) Σ_S KL(p_teacher ‖ p_θ) + γ · (1/|S|) Σ_S ℓ(θ) + ½ w ‖θ‖²
    max-steps: −g · (1/|F|) Σ_F KL(p_teacher ‖ p_θ) + ½ w ‖θ‖²

    over retained rows S and forgotten rows F, with w the recipe's penalty; each of the first
    `max_steps` min-steps is followed by a max-step. g falls from one to zero as the mean loss of
    the forgotten rows approaches the held-out loss, that of the pretrained model on the reference
    set. SCRUB of Kurmanji et al., "Towards Unbounded Machine Unlearning" (NeurIPS 2023), section 3;
    a min-step comes first here, since the gradient of the divergence is zero at the teacher itself.
    For numeric labels, half the squared difference of outputs replaces KL. Reads retained and
    forgotten rows. Cost per coalition: `steps` + `max_steps` steps on all rows.
    """

    name: ClassVar[str] = "scrub"
    of_text: ClassVar[bool | None] = False
    retain_free: ClassVar[bool] = False
    reads_all: ClassVar[bool] = True
    steps: int = Field(15, ge=1, description="min-steps of Adam")
    max_steps: int = Field(5, ge=0, description="max-steps of Adam, between the first min-steps")
    learning_rate: float = Field(0.02, gt=0)
    alpha: float = Field(0.1, ge=0, description="α, weight of the teacher on retained rows")
    gamma: float = Field(1.0, ge=0, description="γ, weight of the labels of retained rows")

    def training_steps(self, pretrained: Pretrained) -> int:
        return self.steps + self.max_steps

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        model, recipe = pretrained.model, pretrained.recipe
        rows = reachable_rows(pretrained, staying | ~staying, self.name, "takes part")
        kept, forgotten = shares(rows, staying), shares(rows, ~staying)
        ceiling = held_out_loss(pretrained)
        with torch.no_grad():
            theta = stack({n: pretrained.trained[n] for n in trainable(model)}, 1)
            shared = {n: t for n, t in pretrained.trained.items() if n not in theta}
            teacher = batched_outputs(model, theta, shared, rows.x)

        def min_objective(theta: State, shared: State) -> Tensor:
            student = batched_outputs(model, theta, shared, rows.x)
            distillation = self.alpha * divergence(teacher, student, rows.y)
            return (kept * (distillation + self.gamma * row_loss(student, rows.y))).sum()

        def max_objective(theta: State, shared: State) -> Tensor:
            student = batched_outputs(model, theta, shared, rows.x)
            loss = (forgotten * row_loss(student.detach(), rows.y)).sum(dim=1)
            # a ramp, since with a hard threshold rounding could decide
            gate = ((ceiling - loss) / (0.05 * ceiling).clamp(min=1e-6)).clamp(0, 1)
            distance = (forgotten * divergence(teacher, student, rows.y)).sum(dim=1)
            return -(gate * distance).sum()

        objectives = [min_objective, max_objective] * min(self.max_steps, self.steps)
        objectives += [min_objective] * (self.steps - self.max_steps)
        return descend(
            model,
            stack(pretrained.trained, len(staying)),
            objectives,
            steps=len(objectives),
            learning_rate=self.learning_rate,
            weight_decay=recipe.penalty,
            length=step_length(pretrained, staying),
        )
