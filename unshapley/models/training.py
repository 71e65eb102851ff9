"""Training of many models at once, for pretraining, retraining and fine-tuning.

A batch of models is one `State` with the models along the first dimension of its tensors. The
shares of the rows of a step in the loss determine which rows each model is trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count

import torch
from torch import Tensor, nn
from torch.func import functional_call

from unshapley.models.adapting import set_noise, training
from unshapley.models.batches import Batches
from unshapley.models.batching import State, batched_outputs, forward_hooks
from unshapley.models.losses import row_loss
from unshapley.models.optimizers import MakeOptimizer, Schedule, adam

Objective = Callable[[State, State], Tensor | Iterator[Tensor]]
"""(trained tensors `(models, …)`, tensors shared by all models) → loss summed over models, or its
summands, which are differentiated one after the other"""
Stepped = Callable[[int, State], bool]
"""Called after each step with the number of steps and the trained tensors as they are; says whether
training ends."""
LARGEST_ACTIVATION = 4 * 2**20
"""Bytes of a layer's outputs for one model; more rows go through the model in blocks. The C library
gives larger pieces of memory back to the system after every step, which took more time than the
training of a convolutional network."""


def stack(state: State, models: int) -> State:
    """The weights repeated `models` times `(models, …)`."""
    return {name: t.unsqueeze(0).repeat(models, *[1] * t.dim()) for name, t in state.items()}


def trainable(model: nn.Module) -> list[str]:
    """Names of the parameters; buffers are not trained."""
    return [name for name, _ in model.named_parameters()]


def train(
    model: nn.Module,
    start: State,
    batches: Batches,
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float,
    seed: int = 0,
    stepped: Stepped | None = None,
    length: Tensor | None = None,
    optimizer: MakeOptimizer = adam,
    schedule: Schedule | None = None,
) -> State:
    """Train a batch of models.

    Minimises for every model k the weighted mean of the row loss plus ½ · `weight_decay` · ‖θ_k‖².

    start: weights of all models `(models, …)`; batches: the rows of each step; a model without any
    only has weight decay; seed: of the noise of dropout layers; length: factor on the steps of each
    model `(models,)`. Returns the trained parameters `(models, …)`, without buffers.
    """
    block = rows_of_block(model, start, batches(0)[0])
    steps_begun = count()

    def objective(theta: State, shared: State) -> Iterator[Tensor]:
        step = next(steps_begun)
        x, y, share = batches(step)
        for i in range(0, x.shape[1], block):
            rows = slice(i, i + block)
            set_noise(model, (seed, step, i // block))
            outputs = batched_outputs(model, theta, shared, x[:, rows], 0)
            yield (share[:, rows] * row_loss(outputs, y[:, rows])).sum()

    with training(model):
        return descend(
            model,
            start,
            objective,
            steps=steps,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            stepped=stepped,
            length=length,
            optimizer=optimizer,
            schedule=schedule,
        )


def rows_of_block(model: nn.Module, state: State, x: Tensor) -> int:
    """How many of the rows `(models, rows, features)` go through the model at once, however many
    models there are.
    """
    largest = 1

    def note(_module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal largest
        if isinstance(output, Tensor):
            largest = max(largest, output.nbytes)

    one = {name: tensor[0] for name, tensor in state.items()}
    with torch.no_grad(), forward_hooks(dict(model.named_modules()), lambda _: note):
        functional_call(model, one, (x[0, :1],))
    return max(1, LARGEST_ACTIVATION // largest)


def descend(
    model: nn.Module,
    start: State,
    objective: Objective | Sequence[Objective],
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float = 0.0,
    mask: State | None = None,
    stepped: Stepped | None = None,
    length: Tensor | None = None,
    optimizer: MakeOptimizer = adam,
    schedule: Schedule | None = None,
) -> State:
    """Minimise any objective that is summed over models.

    objective: one for all steps, or one for each step; mask: by name `(models, …)`, 1 where a
    parameter is trained and 0 where it is fixed; length: factor on the steps of each model.
    """
    names = trainable(model)
    theta = {n: start[n].detach().clone().requires_grad_() for n in names}
    shared = {n: start[n][0] for n in start if n not in theta}
    # optimizers work elementwise, so summing over models trains each as if it were alone
    steps_of = optimizer(list(theta.values()), learning_rate)
    objectives = [objective] * steps if callable(objective) else objective
    for step in range(steps):
        steps_of.zero_grad()
        losses = objectives[step](theta, shared)
        for i, loss in enumerate([losses] if isinstance(losses, Tensor) else losses):
            if weight_decay and i == 0:
                decay = 0.5 * weight_decay * sum(t.square().sum() for t in theta.values())
                (loss + decay).backward()  # type: ignore[no-untyped-call]
            else:
                loss.backward()  # type: ignore[no-untyped-call]
        if mask is not None:
            for name, tensor in theta.items():
                if tensor.grad is not None:
                    tensor.grad.mul_(mask[name])
        if schedule is not None:
            for group in steps_of.param_groups:
                group["lr"] = learning_rate * schedule(step)
        if length is None:
            steps_of.step()
        else:
            _step_shorter(steps_of, theta, length)
        if stepped is not None and stepped(step + 1, theta):
            break
    return {n: t.detach() for n, t in theta.items()}


@torch.no_grad()
def _step_shorter(optimizer: torch.optim.Optimizer, theta: State, length: Tensor) -> None:
    """Go only a part `(models,)` of the way of the optimizer's step."""
    before = {name: tensor.clone() for name, tensor in theta.items()}
    optimizer.step()
    for name, tensor in theta.items():
        factor = length.to(tensor.dtype).view(-1, *[1] * (tensor.dim() - 1))
        tensor.copy_(before[name] + factor * (tensor - before[name]))
