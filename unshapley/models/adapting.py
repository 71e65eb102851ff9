"""Make a module of the user's own usable: standardise its inputs, seed its noise, refuse what would
silently train otherwise than its author meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from unshapley.errors import InputError
from unshapley.models.batching import State, is_batchable, name_of
from unshapley.models.chains import Chain, chain_of

Key = tuple[int, ...]
"""Seed, step and block of rows; with the number of the layer it decides the noise."""


class StandardisedInputs(nn.Module):
    """Mean and scale of its inputs, as buffers."""

    mean: Tensor
    scale: Tensor

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(in_features))
        self.register_buffer("scale", torch.ones(in_features))

    def standardise(self, x: Tensor) -> None:
        """Take mean and scale from rows `(rows, in_features)`; constant features are only moved."""
        deviation = x.std(dim=0, correction=0)
        self.mean.copy_(x.mean(dim=0))
        self.scale.copy_(torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)))

    def standardised(self, x: Tensor) -> Tensor:
        """Rows `(…, in_features)` with mean 0 and deviation 1 in the rows that were taken."""
        return (x - self.mean) / self.scale


class Standardised(StandardisedInputs):
    """A module whose inputs are standardised by the reference set, which its buffers record."""

    def __init__(self, wrapped: nn.Module, in_features: int) -> None:
        super().__init__(in_features)
        self.wrapped = wrapped

    def forward(self, x: Tensor) -> Tensor:
        return self.wrapped(self.standardised(x))  # type: ignore[no-any-return]

    def chain(self) -> Chain | None:
        """That of the module, with its inputs standardised."""
        chain = chain_of(self.wrapped)
        if chain is None or chain.inputs is not None:
            return None
        return replace(chain.inside("wrapped"), inputs=("mean", "scale"))


class TwoLogits(nn.Module):
    """A module with one output for two classes, as one with a logit for each: 0 and its output.

    Softmax of both is the sigmoid of the output, as a binary cross-entropy trains it.
    """

    def __init__(self, wrapped: nn.Module) -> None:
        super().__init__()
        self.wrapped = wrapped

    def forward(self, x: Tensor) -> Tensor:
        logit = self.wrapped(x)
        return torch.cat([torch.zeros_like(logit), logit], dim=-1)


class SeededDropout(nn.Module):
    """Dropout whose noise is decided by a key and the row's position: coalitions that train as one
    batch, in whichever chunks, all have the same (Srivastava et al. 2014, with inverse scaling).
    """

    def __init__(self, p: float, number: int) -> None:
        super().__init__()
        self.p, self.number = p, number
        self.key: Key = (0, 0, 0)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x
        drawn = np.random.default_rng([self.number, *self.key]).random(tuple(x.shape), np.float32)
        kept = torch.from_numpy((drawn >= self.p).astype(np.float32)).to(x.device, x.dtype)
        return x * kept / max(1 - self.p, 1e-6)


def with_seeded_noise(model: nn.Module) -> nn.Module:
    """The module with dropout of ours in place of torch's.

    Raises `InputError` naming a layer whose training depends on which rows or models are computed
    together.
    """
    _check_layers(model)
    number = 0
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, SeededDropout(child.p, number))
                number += 1
    return model


def standardised(model: nn.Module, in_features: int) -> nn.Module:
    """The module with its inputs standardised, unless it has a `standardise` of its own, or None to
    take its inputs as they are.
    """
    if getattr(model, "standardise", ()) != ():
        return model
    outer = Standardised(model, in_features)
    outer.unshapley_sequential = not is_batchable(model)  # type: ignore[assignment]
    return outer.train(model.training)


def _check_layers(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):  # also InstanceNorm
            by_row = isinstance(module, nn.modules.instancenorm._InstanceNorm)
            if by_row and not module.track_running_stats:
                continue
            raise InputError(
                f"layer {name or '(itself)'} ({type(module).__name__}) normalises each row by the "
                "other rows of its batch, so a coalition's model is not determined by its rows",
                where="pretrain.architecture",
                expected="layers that treat each row by itself",
                do="use torch.nn.LayerNorm or torch.nn.GroupNorm",
            )


def check_noise(model: nn.Module, state: State, x: Tensor) -> None:
    """Raise `InputError` if the module draws noise in training that no seed of ours decides."""

    def outputs(x: Tensor) -> Tensor:
        return functional_call(model, state, (x,))  # type: ignore[no-any-return]

    with torch.no_grad(), training(model):
        before = torch.get_rng_state()
        try:
            outputs(x)
            drawn = not torch.equal(before, torch.get_rng_state())
            if is_batchable(model):
                vmap(outputs)(torch.stack([x, x]))
        except RuntimeError as error:
            drawn = "randomness" in str(error)
        finally:
            torch.set_rng_state(before)
    if drawn:
        raise InputError(
            f"{name_of(model)} draws random numbers in training that cannot be seeded for "
            "each model of a batch",
            where="pretrain.architecture",
            expected="no noise but that of torch.nn.Dropout",
            do="replace other layers of noise and calls of torch.nn.functional.dropout by it",
        )


@contextmanager
def training(model: nn.Module) -> Iterator[None]:
    """The module in training mode."""
    with _in_mode(model, training=True):
        yield


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The module in evaluation mode, without noise."""
    with _in_mode(model, training=False):
        yield


@contextmanager
def _in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    before = model.training
    model.train(training)
    try:
        yield
    finally:
        model.train(before)


def set_noise(model: nn.Module, key: Key) -> None:
    """Decide the noise of all its dropout layers until the next call."""
    for module in model.modules():
        if isinstance(module, SeededDropout):
            module.key = key
