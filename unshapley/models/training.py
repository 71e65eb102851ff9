"""Full-batch training of many models at once, for pretraining, retraining and fine-tuning.

A batch of models is one `State` with the models along the first dimension of its tensors. A matrix
of row weights determines which rows each model is trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from unshapley.models.batching import State, batched_outputs
from unshapley.models.losses import row_loss

Objective = Callable[[State, State], Tensor]
"""(trained tensors `(models, …)`, tensors shared by all models) → loss summed over models"""


def stack(state: State, models: int) -> State:
    """The weights repeated `models` times `(models, …)`."""
    return {name: t.unsqueeze(0).repeat(models, *[1] * t.dim()) for name, t in state.items()}


def trainable(model: nn.Module) -> list[str]:
    """Names of the parameters; buffers are not trained."""
    return [name for name, _ in model.named_parameters()]


def train(
    model: nn.Module,
    start: State,
    x: Tensor,
    y: Tensor,
    weights: Tensor,
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float,
) -> State:
    """Train a batch of models with full-batch Adam.

    Minimises for every model k the weighted mean of the row loss plus ½ · `weight_decay` · ‖θ_k‖².

    start: weights of all models `(models, …)`; x: `(models, rows, features)`; y: `(models, rows)`;
    weights: non-negative row weights `(models, rows)`; a model whose weights are all zero only
    has weight decay. Returns the trained parameters `(models, …)`, without buffers.
    """
    share = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-12)

    def objective(theta: State, shared: State) -> Tensor:
        return (share * row_loss(batched_outputs(model, theta, shared, x, 0), y)).sum()

    return descend(
        model,
        start,
        objective,
        steps=steps,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
    )


def descend(
    model: nn.Module,
    start: State,
    objective: Objective | Sequence[Objective],
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float = 0.0,
    mask: State | None = None,
) -> State:
    """Minimise any objective that is summed over models, with Adam.

    objective: one for all steps, or one for each step; mask: by name `(models, …)`, 1 where a
    parameter is trained and 0 where it is fixed.
    """
    names = trainable(model)
    theta = {n: start[n].detach().clone().requires_grad_() for n in names}
    shared = {n: start[n][0] for n in start if n not in theta}
    # Adam works elementwise, so summing over models trains each as if it were alone
    optimizer = torch.optim.Adam(list(theta.values()), lr=learning_rate)
    objectives = [objective] * steps if callable(objective) else objective
    for step in range(steps):
        optimizer.zero_grad()
        loss = objectives[step](theta, shared)
        if weight_decay:
            loss = loss + 0.5 * weight_decay * sum(t.square().sum() for t in theta.values())
        loss.backward()  # type: ignore[no-untyped-call]
        if mask is not None:
            for name, tensor in theta.items():
                if tensor.grad is not None:
                    tensor.grad.mul_(mask[name])
        optimizer.step()
    return {n: t.detach() for n, t in theta.items()}
