"""Fine-tuning that starts nearer to the initialisation, the more rows are forgotten."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from unshapley.models.batching import State
from unshapley.models.pretrained import Pretrained
from unshapley.models.training import stack, trainable
from unshapley.unlearning.base import Unlearner, train_on_retained


class ShrinkFinetuneUnlearner(Unlearner):
    """Shrink the weights towards the initialisation, then train on the retained rows.

    θ_start = θ_0 + (rows_S / rows) · (θ − θ_0), then `steps` of Adam on S.

    Plain fine-tuning forgets too little where few rows are kept. There this starts almost at the
    recorded initialisation θ_0, as retraining does, and where few rows are forgotten almost at the
    pretrained θ. The shrinking of Ash and Adams, "On Warm-Starting Neural Network Training"
    (NeurIPS 2020), section 5, with θ_0 in place of new noise. Reads retained rows. Cost per
    coalition: `steps` full-batch steps.
    """

    name: ClassVar[str] = "shrink_finetune"
    retain_free: ClassVar[bool] = False
    steps: int = Field(15, ge=1, description="Adam steps on the retained rows")
    learning_rate: float = Field(0.02, gt=0)

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        start = shrunk(pretrained, staying)
        return train_on_retained(
            pretrained, start, staying, self.steps, self.learning_rate, self.name
        )


def shrunk(pretrained: Pretrained, staying: Tensor) -> State:
    """Start weights per coalition `(m, …)`: θ_0 + share of rows · (θ − θ_0)."""
    share = pretrained.share(staying)
    start = stack(pretrained.trained, len(share))
    for name in trainable(pretrained.model):
        begin, theta = pretrained.initial[name], pretrained.trained[name]
        scale = share.to(theta.dtype).view(-1, *[1] * theta.dim())
        start[name] = begin + scale * (theta - begin)
    return start
