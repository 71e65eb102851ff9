"""Fine-tuning that begins the nearer to the initialisation, the more is forgotten."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from unshapley.models.batching import State
from unshapley.models.pretrained import Pretrained
from unshapley.models.training import stack, trainable
from unshapley.unlearning.base import Unlearner, train_on_retained


class ShrinkFinetuneUnlearner(Unlearner):
    """Forget by shrinking the weights towards where they began, then training on what is retained.

    θ_start = θ_0 + (rows_S / rows) · (θ − θ_0), then `steps` of the recorded recipe on S.

    Plain fine-tuning remembers too much where few rows are kept; there this begins almost at the
    recorded initialisation θ_0, as retraining would, and where little is forgotten almost at the
    pretrained θ. The shrinking of Ash and Adams, "On Warm-Starting Neural Network Training"
    (NeurIPS 2020), section 5, with θ_0 in place of fresh noise. Touches retained rows. Cost per
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
    """One start a coalition `(m, …)`: as far from the initialisation as its share of rows."""
    share = pretrained.share(staying)
    start = stack(pretrained.trained, len(share))
    for name in trainable(pretrained.model):
        begin, theta = pretrained.initial[name], pretrained.trained[name]
        scale = share.to(theta.dtype).view(-1, *[1] * theta.dim())
        start[name] = begin + scale * (theta - begin)
    return start
