"""Full-batch training of many models at once: pretraining, retraining and fine-tuning alike.

A batch of models is one `State` whose tensors carry the models along their first dimension; which
rows a model learns from is a matrix of row weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from unshapley.models import State


def deterministic() -> None:
    """One thread and deterministic kernels: results must not depend on how work is spread."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def stack(state: State, models: int) -> State:
    """The same weights `models` times `(models, …)`."""
    return {name: t.unsqueeze(0).repeat(models, *[1] * t.dim()) for name, t in state.items()}


def trainable(model: nn.Module) -> list[str]:
    """Names of what is trained; buffers stay as they are."""
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

    Minimises for every model k the weighted mean of cross-entropy plus ½ · `weight_decay` · ‖θ_k‖².

    start: weights of all models `(models, …)`; x: `(models, rows, features)`; y: `(models, rows)`;
    weights: non-negative row weights `(models, rows)`; a model whose weights are all zero only
    decays. Gives the trained parameters `(models, …)`, without buffers.
    """
    names = trainable(model)
    theta = {n: start[n].detach().clone().requires_grad_() for n in names}
    buffers = {n: start[n][0] for n in start if n not in theta}
    share = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-12)
    optimizer = torch.optim.Adam(list(theta.values()), lr=learning_rate)
    for _ in range(steps):
        optimizer.zero_grad()
        # Adam works elementwise, so summing over models trains each as if it were alone
        loss = (share * cross_entropy(batched_logits(model, theta, buffers, x, 0), y)).sum()
        penalty = sum((t.square().sum() for t in theta.values()), torch.zeros(()))
        (loss + 0.5 * weight_decay * penalty).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return {n: t.detach() for n, t in theta.items()}


def batched_logits(
    model: nn.Module, batch: State, shared: State, x: Tensor, x_dim: int | None = None
) -> Tensor:
    """Logits `(models, rows, classes)` of models that differ in `batch` `(models, …)` and have
    `shared` in common; layers before the first that differs are computed once.

    x: `(rows, features)` for all models, or with `x_dim=0` its own for each `(models, rows, …)`.
    """

    def logits(one: State, x: Tensor) -> Tensor:
        return functional_call(model, {**shared, **one}, (x,))  # type: ignore[no-any-return]

    return vmap(logits, in_dims=(0, x_dim))(batch, x)


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of every row `(models, rows)`, in nats; y: `(rows,)` or `(models, rows)`."""
    target = y.expand(logits.shape[:-1]).unsqueeze(-1)
    return -torch.log_softmax(logits, dim=-1).gather(-1, target).squeeze(-1)
