"""Training of many models at once, for pretraining, retraining and fine-tuning.

A batch of models is one `State` with the models along the first dimension of its tensors. The
shares of the rows of a step in the loss determine which rows each model is trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from unshapley.models.adapting import set_noise, training
from unshapley.models.batches import Batches, FullBatch
from unshapley.models.batching import State, batched_outputs, forward_hooks
from unshapley.models.chain_gradients import ChainGradients
from unshapley.models.chains import Chain, chain_of
from unshapley.models.losses import row_loss
from unshapley.models.optimizers import MakeOptimizer, Optimizer, Schedule, adam

Objective = Callable[[State, State], Tensor | Iterator[Tensor] | None]
"""(trained tensors `(models, …)`, tensors shared by all models) → loss summed over models, or its
summands, which are differentiated one after the other, or None where it has written the gradient
itself into the `grad` of the trained tensors"""
Stepped = Callable[[int, State], bool]
"""Called after each step with the number of steps and the trained tensors as they are; says whether
training ends."""
CACHE = 3 * 2**20
"""Bytes of rows and activations of the models that one thread trains together. With 1 or 8 MiB, 15
steps on the embedded digits took 1.6 times as long."""
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
    options: dict[str, Any] = {
        "steps": steps,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "optimizer": optimizer,
        "schedule": schedule,
    }
    chain = chain_of(model)
    if chain is None:
        objective = _training_loss(model, start, batches, seed)
        with training(model):
            return descend(model, start, objective, stepped=stepped, length=length, **options)
    if stepped is not None or not isinstance(batches, FullBatch):
        objective = ChainGradients(chain, batches)
        return descend(model, start, objective, stepped=stepped, length=length, **options)
    # a few models through all steps, then the next: what they need stays in the processor's cache
    lengths = batches.lengths()
    order = lengths.argsort(stable=True)
    trained: list[State] = []
    for models in torch.split(order, _models_at_once(chain, start, batches)):
        part = {name: tensor[models] for name, tensor in start.items()}
        shorter = None if length is None else length[models]
        objective = ChainGradients(chain, batches.take(models, int(lengths[models].max())))
        trained.append(descend(model, part, objective, length=shorter, **options))
    index = order.argsort()
    return {name: torch.cat([state[name] for state in trained])[index] for name in trained[0]}


def _models_at_once(chain: Chain, start: State, batches: FullBatch) -> int:
    x, _, _ = batches(0)
    models, rows, features = x.shape
    if x.device.type != "cpu":
        return models
    widths = sum(start[layer.weight].shape[1] for layer in chain.layers)
    return max(1, CACHE // (rows * (features + widths) * x.element_size()))


def _training_loss(model: nn.Module, start: State, batches: Batches, seed: int) -> Objective:
    block = rows_of_block(model, start, batches(0)[0])
    steps_begun = count()

    def objective(theta: State, shared: State) -> Iterator[Tensor]:
        step = next(steps_begun)
        x, y, share = batches(step)
        for i in range(0, x.shape[1], block):
            rows = slice(i, i + block)
            set_noise(model, (seed, step, i // block))
            # no name for the outputs: they would stay while the next block is computed
            losses = row_loss(batched_outputs(model, theta, shared, x[:, rows], 0), y[:, rows])
            yield (share[:, rows] * losses).sum()

    return objective


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
        loss = objectives[step](theta, shared)
        if loss is not None:
            steps_of.zero_grad()
            _differentiate(loss)
        if weight_decay:
            _add_penalty(theta, weight_decay)
        if mask is not None:
            for name, tensor in theta.items():
                _gradient(tensor).mul_(mask[name])
        if schedule is not None:
            steps_of.rate = learning_rate * schedule(step)
        if length is None:
            steps_of.step()
        else:
            _step_shorter(steps_of, theta, length)
        if stepped is not None and stepped(step + 1, theta):
            break
    return {n: t.detach() for n, t in theta.items()}


def _differentiate(loss: Tensor | Iterator[Tensor]) -> None:
    for summand in [loss] if isinstance(loss, Tensor) else loss:
        summand.backward()  # type: ignore[no-untyped-call]


@torch.no_grad()
def _add_penalty(theta: State, weight_decay: float) -> None:
    """Add the gradient of ½ · `weight_decay` · ‖θ‖²."""
    for tensor in theta.values():
        _gradient(tensor).add_(tensor, alpha=weight_decay)


def _gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


@torch.no_grad()
def _step_shorter(optimizer: Optimizer, theta: State, length: Tensor) -> None:
    """Go only a part `(models,)` of the way of the optimizer's step."""
    before = {name: tensor.clone() for name, tensor in theta.items()}
    optimizer.step()
    for name, tensor in theta.items():
        factor = length.to(tensor.dtype).view(-1, *[1] * (tensor.dim() - 1))
        torch.lerp(before[name], tensor, factor, out=tensor)
