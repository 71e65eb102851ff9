"""Run a batch of models at once with `torch.func`, and test whether a model supports that."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from unshapley.errors import InputError
from unshapley.models.chains import chain_of, chain_outputs

log = logging.getLogger("unshapley.models")

State = dict[str, Tensor]
"""Parameters and buffers by name."""
NOT_BATCHABLE = (RuntimeError, ValueError, TypeError, NotImplementedError)
"""What `torch.func.vmap` raises for a model that it cannot run."""


def batched_outputs(
    model: nn.Module, batch: State, shared: State, x: Tensor, x_dim: int | None = None
) -> Tensor:
    """Outputs `(models, rows, classes)` of models that differ in `batch` `(models, …)` and have the
    tensors `shared` in common; layers before the first that differs are computed once.

    x: `(rows, features)` for all models, or with `x_dim=0` one for each model `(models, rows, …)`.
    Chains of linear layers are computed by their matrix products, others by `torch.func.vmap`.
    Models that `torch.func.vmap` cannot batch run one by one (`probe_batching` logs a warning). So
    does a single model with convolutions: as `vmap` writes them, they take longer to train.
    """
    if (chain := chain_of(model)) is not None:
        return chain_outputs(chain, batch, shared, x)

    def outputs(theta: State, x: Tensor) -> Tensor:
        return functional_call(model, {**shared, **theta}, (x,))  # type: ignore[no-any-return]

    count = len(next(iter(batch.values())))
    if is_batchable(model) and not (count == 1 and _has_convolutions(model)):
        return vmap(outputs, in_dims=(0, x_dim))(batch, x)
    thetas = [{n: t[k] for n, t in batch.items()} for k in range(count)]
    inputs = [x if x_dim is None else x[k] for k in range(count)]
    return torch.stack([outputs(theta, x) for theta, x in zip(thetas, inputs, strict=True)])


def batch_of_one(state: State) -> State:
    """The state of one model as that of a batch."""
    return {name: tensor.unsqueeze(0) for name, tensor in state.items()}


def _has_convolutions(model: nn.Module) -> bool:
    return any(isinstance(module, nn.modules.conv._ConvNd) for module in model.modules())


def probe_batching(model: nn.Module, x: Tensor) -> None:
    """Test whether `torch.func` can run the model, alone and as a batch.

    Raises `InputError` with the module's name if the model does not use the weights passed to it.
    If only batching fails, the model is marked to run one by one, with a warning in the log.
    """
    _check_untied(model)
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    shifted = {n: t + 0.01 if t.is_floating_point() else t for n, t in state.items()}
    try:
        with torch.no_grad():
            functional = functional_call(model, shifted, (x,))
            copy = deepcopy(model)
            before = copy(x)
            copy.load_state_dict(shifted)
            usable = torch.allclose(functional, copy(x), atol=1e-5, equal_nan=True)
            usable &= not torch.equal(functional, before)
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        raise _not_functional(model, x, shifted, str(error)) from None
    if not usable:
        raise _not_functional(model, x, shifted, "it does not use the weights it is given")
    try:
        with torch.no_grad():
            _run_batches(model, shifted, x)
        model.unshapley_sequential = False  # type: ignore[assignment]
    except NOT_BATCHABLE as error:
        model.unshapley_sequential = True  # type: ignore[assignment]
        log.warning(
            "%s cannot run as a batch of models, so coalitions run one by one, which is slower: "
            "module %s: %s",
            name_of(model),
            _failing(model, lambda: _run_batches(model, shifted, x)),
            str(error).splitlines()[0],
        )


def _run_batches(model: nn.Module, state: State, x: Tensor) -> None:
    """Run several models as unlearners do: on shared rows, and each on rows of its own."""
    pair = {n: torch.stack([t, t]) for n, t in state.items()}

    def outputs(theta: State, x: Tensor) -> Tensor:
        return functional_call(model, theta, (x,))  # type: ignore[no-any-return]

    vmap(outputs, in_dims=(0, None))(pair, x)
    vmap(outputs)(pair, torch.stack([x, x]))


def _check_untied(model: nn.Module) -> None:
    """Raise `InputError` if one parameter has two names."""
    names: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in names:
            raise InputError(
                f"{name_of(model)} has tied weights: {names[id(parameter)]!r} is {name!r}",
                where="pretrain.architecture",
                expected="separate parameters in every module",
                do="register the shared parameter once and use it from there",
            )
        names[id(parameter)] = name


@contextmanager
def forward_hooks(
    modules: Mapping[str, nn.Module], hook: Callable[[str], Callable[..., Any]]
) -> Iterator[None]:
    """Modules by name with a forward hook each, as torch calls them: `hook` makes it for a name."""
    handles = [module.register_forward_hook(hook(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def name_of(model: nn.Module) -> str:
    """Type of a model, for messages: that of the module inside a wrapper of ours."""
    return type(getattr(model, "wrapped", model)).__name__


def is_batchable(model: nn.Module) -> bool:
    """Whether `probe_batching` found that `torch.func.vmap` can run the model."""
    return not getattr(model, "unshapley_sequential", False)


def can_batch_gradients(model: nn.Module, state: State, theta: State, x: Tensor) -> bool:
    """Whether `torch.func.vmap` can differentiate the model for many rows at once.

    Tested once for a model, when first asked, for the first gradient of `torch.func` imports
    torch's compiler (2 s) and few runs need one. If only gradients cannot be batched, a warning
    is logged.
    """
    known = getattr(model, "unshapley_batch_gradients", None)
    if known is None:
        known = is_batchable(model) and _probe_gradients(model, state, theta, x[:2])
        model.unshapley_batch_gradients = known  # type: ignore[assignment]
    return bool(known)


def _probe_gradients(model: nn.Module, state: State, theta: State, x: Tensor) -> bool:
    def total(theta: State, row: Tensor) -> Tensor:
        return functional_call(model, {**state, **theta}, (row.unsqueeze(0),)).sum()  # type: ignore[no-any-return]

    try:
        vmap(grad(total), in_dims=(None, 0))(theta, x)
    except NOT_BATCHABLE as error:
        log.warning(
            "gradients of %s cannot be computed for many rows at once, so rows run one by one, "
            "which is slower: %s",
            name_of(model),
            str(error).splitlines()[0],
        )
        return False
    return True


def _not_functional(model: nn.Module, x: Tensor, state: State, why: str) -> InputError:
    name = _failing(model, lambda: functional_call(model, state, (x,)))
    return InputError(
        f"torch.func.functional_call cannot run {name_of(model)}, module {name}: "
        f"{why.splitlines()[0]}",
        where="pretrain.architecture",
        expected="a torch.nn.Module that computes with its registered parameters and buffers",
        do="register what it computes with as parameters or buffers, and use no TorchScript",
    )


def _failing(model: nn.Module, run: Callable[[], Any]) -> str:
    """Name and type of the innermost module that was running when `run` failed."""
    entered: list[str] = []
    modules = [(name or "(itself)", module) for name, module in model.named_modules()]

    def enter(name: str) -> Callable[..., None]:
        return lambda *_: entered.append(name)

    def leave(*_: Any) -> None:
        entered.pop()

    hooks: list[Any] = []
    for name, module in modules:
        with suppress(RuntimeError):  # TorchScript modules allow no hooks
            hooks += [module.register_forward_pre_hook(enter(name))]
            hooks += [module.register_forward_hook(leave)]
    try:
        with suppress(Exception), torch.no_grad():
            run()
    finally:
        for hook in hooks:
            hook.remove()
    innermost = entered[-1] if entered else "(itself)"
    return f"{innermost} ({type(dict(modules)[innermost]).__name__})"
