"""Running a batch of models at once with `torch.func`, and finding out whether that can be done."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from unshapley.errors import InputError

log = logging.getLogger("unshapley.models")

State = dict[str, Tensor]
"""Parameters and buffers by name."""


def batched_outputs(
    model: nn.Module, batch: State, shared: State, x: Tensor, x_dim: int | None = None
) -> Tensor:
    """Outputs `(models, rows, classes)` of models that differ in `batch` `(models, …)` and have
    `shared` in common; layers before the first that differs are computed once.

    x: `(rows, features)` for all models, or with `x_dim=0` its own for each `(models, rows, …)`.
    A model that `torch.func.vmap` cannot batch runs one by one (`probe_batching` has said so).
    """

    def outputs(one: State, x: Tensor) -> Tensor:
        return functional_call(model, {**shared, **one}, (x,))  # type: ignore[no-any-return]

    if is_batchable(model):
        return vmap(outputs, in_dims=(0, x_dim))(batch, x)
    count = len(next(iter(batch.values())))
    ones = [{n: t[k] for n, t in batch.items()} for k in range(count)]
    return torch.stack([outputs(one, x if x_dim is None else x[k]) for k, one in enumerate(ones)])


def probe_batching(model: nn.Module, x: Tensor) -> None:
    """Find out whether `torch.func` can run the model, alone and as a batch.

    Raises `InputError` naming the module where weights handed in are not those that are used.
    Where only batching fails, the model is marked to run one by one, and the log says so.
    """
    _check_untied(model)
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    moved = {n: t + 0.01 if t.is_floating_point() else t for n, t in state.items()}
    try:
        with torch.no_grad():
            found = functional_call(model, moved, (x,))
            copy = deepcopy(model)
            before = copy(x)
            copy.load_state_dict(moved)
            usable = torch.allclose(found, copy(x), atol=1e-5, equal_nan=True)
            usable &= not torch.equal(found, before)
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        raise _not_functional(model, x, moved, str(error)) from None
    if not usable:
        raise _not_functional(model, x, moved, "it does not use the weights it is given")
    try:
        with torch.no_grad():
            _as_batches(model, moved, x)
        model.unshapley_sequential = False  # type: ignore[assignment]
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        model.unshapley_sequential = True  # type: ignore[assignment]
        log.warning(
            "%s cannot run as a batch of models, so coalitions run one by one, which is slower: "
            "module %s: %s",
            type(model).__name__,
            _failing(model, lambda: _as_batches(model, moved, x)),
            str(error).splitlines()[0],
        )


def _as_batches(model: nn.Module, state: State, x: Tensor) -> None:
    """Run the model in the ways that unlearning does: models on shared rows, models on rows of
    their own, and the slope of every row.
    """
    pair = {n: torch.stack([t, t]) for n, t in state.items()}

    def outputs(one: State, x: Tensor) -> Tensor:
        return functional_call(model, one, (x,))  # type: ignore[no-any-return]

    vmap(outputs, in_dims=(0, None))(pair, x)
    vmap(outputs)(pair, torch.stack([x, x]))
    names = {name for name, _ in model.named_parameters()}
    fixed = {n: t for n, t in state.items() if n not in names}

    def total(theta: State, row: Tensor) -> Tensor:
        return outputs({**fixed, **theta}, row.unsqueeze(0)).sum()

    vmap(grad(total), in_dims=(None, 0))({n: state[n] for n in names}, x)


def _check_untied(model: nn.Module) -> None:
    """Raise `InputError` where one parameter stands under two names."""
    known: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in known:
            raise InputError(
                f"{type(model).__name__} has tied weights: {known[id(parameter)]!r} is {name!r}",
                where="pretrain.architecture",
                expected="parameters of their own in every module",
                do="register the shared parameter once and use it from there",
            )
        known[id(parameter)] = name


def is_batchable(model: nn.Module) -> bool:
    """Whether `probe_batching` found that `torch.func.vmap` can run the model."""
    return not getattr(model, "unshapley_sequential", False)


def _not_functional(model: nn.Module, x: Tensor, state: State, why: str) -> InputError:
    name = _failing(model, lambda: functional_call(model, state, (x,)))
    return InputError(
        f"torch.func.functional_call cannot run {type(model).__name__}, module {name}: "
        f"{why.splitlines()[0]}",
        where="pretrain.architecture",
        expected="a torch.nn.Module that computes with its registered parameters and buffers",
        do="register what it computes with as parameters or buffers, and use no TorchScript",
    )


def _failing(model: nn.Module, run: Callable[[], Any]) -> str:
    """Name and type of the innermost module that was entered and not left when `run` failed."""
    entered: list[str] = []
    named = [(name or "(itself)", module) for name, module in model.named_modules()]

    def enter(name: str) -> Callable[..., None]:
        return lambda *_: entered.append(name)

    def leave(*_: Any) -> None:
        entered.pop()

    hooks: list[Any] = []
    for name, module in named:
        with suppress(RuntimeError):  # TorchScript takes no hooks
            hooks += [module.register_forward_pre_hook(enter(name))]
            hooks += [module.register_forward_hook(leave)]
    try:
        with suppress(Exception), torch.no_grad():
            run()
    finally:
        for hook in hooks:
            hook.remove()
    innermost = entered[-1] if entered else "(itself)"
    return f"{innermost} ({type(dict(named)[innermost]).__name__})"
