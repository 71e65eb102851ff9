"""Build the model of an importable architecture, and test that it can be used."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from unshapley.errors import InputError
from unshapley.extensions import import_object, source_of
from unshapley.files import digest, sha256
from unshapley.models.adapting import TwoLogits, check_noise, standardised, with_seeded_noise
from unshapley.models.batching import State, probe_batching

_RANDOM_STATE = threading.RLock()
"""Torch has one random state for all threads, and chunks are retrained in several."""


def build(
    architecture: str,
    *,
    in_features: int,
    classes: int,
    kwargs: Mapping[str, Any],
    seed: int,
    as_it_is: bool = False,
    text: bool = False,
) -> nn.Module:
    """Import and call `architecture` ('module:name') with weights drawn from `seed`.

    Its inputs are standardised outside of it unless it says otherwise, is taken `as_it_is` or reads
    `text`, and its dropout is seeded (`adapting`). Of text, `in_features` is the context and
    `classes` the vocabulary. Raises `InputError` if it cannot be imported or called, does
    not return a module, or one that cannot be trained as a batch.
    """
    with _RANDOM_STATE:
        module = make(architecture, in_features, classes, kwargs, seed)
        model = usable(module, architecture, in_features, classes, text=text)
    return model if as_it_is or text else standardised(model, in_features)


def make(
    architecture: str, in_features: int, classes: int, kwargs: Mapping[str, Any], seed: int
) -> nn.Module:
    """The module that an architecture gives, with weights drawn from `seed`, as its author wrote
    it. Raises `InputError` if it cannot be imported or called, or does not return a module.
    """
    factory = import_object(architecture, "architecture", "pretrain.architecture")
    with _RANDOM_STATE, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = factory(**_sizes_taken(factory, in_features, classes), **kwargs)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"architecture {architecture!r} cannot be built: {error}",
                where="pretrain.kwargs",
                expected=_arguments_of(factory) if isinstance(error, TypeError) else "",
            ) from None
    if not isinstance(model, nn.Module):
        raise InputError(
            f"architecture {architecture!r} gave a {type(model).__name__}",
            where="pretrain.architecture",
            expected="a torch.nn.Module",
        )
    return model


def _arguments_of(factory: Any) -> str:
    """What it takes beside the sizes, for a message; nothing where that is not to be seen."""
    try:
        names = [*inspect.signature(factory).parameters]
    except (TypeError, ValueError):
        return ""
    return ", ".join(name for name in names if name not in ("in_features", "classes"))


def _sizes_taken(factory: Any, in_features: int, classes: int) -> dict[str, int]:
    """Those of both sizes that it takes: a class of somebody's own may know them itself."""
    sizes = {"in_features": in_features, "classes": classes}
    try:
        known = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # one in C without a signature
        return sizes
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values()):
        return sizes
    return {name: size for name, size in sizes.items() if name in known}


def usable(
    model: nn.Module, architecture: str, in_features: int, classes: int, *, text: bool = False
) -> nn.Module:
    """The module with seeded dropout, ready to run as a batch; one with a single output for two
    classes gets the other's.

    architecture: its name. Raises `InputError` if it has not one logit per class for each row, or
    for each token of `text`, or cannot be trained as a batch.
    """
    if text:
        x = _tokens_checked(model.eval(), architecture, in_features, classes)
        model = with_seeded_noise(model).eval()
        probe_batching(model, x)
        check_noise(model, dict(model.state_dict()), x)
        return model
    if _outputs_checked(model.eval(), architecture, in_features, classes) < classes:
        model = TwoLogits(model)
    model = with_seeded_noise(model).eval()
    x = torch.linspace(0, 1, 2 * in_features).view(2, in_features)
    probe_batching(model, x)
    check_noise(model, dict(model.state_dict()), x)
    return model


def fresh_state(model: nn.Module, seed: int) -> State:
    """Weights of a copy of a module whose layers draw theirs anew, by `reset_parameters`.

    Raises `InputError` naming a layer that cannot.
    """
    with _RANDOM_STATE, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        copy = deepcopy(model)
        for name, layer in copy.named_modules():
            if not list(layer.parameters(recurse=False)):
                continue
            reset = getattr(layer, "reset_parameters", None) or getattr(
                layer, "_reset_parameters", None
            )
            if reset is None:
                raise InputError(
                    f"layer {name or '(itself)'} ({type(layer).__name__}) has no reset_parameters, "
                    "so weights before training cannot be drawn",
                    where="model",
                    do="give the weights before training as `initial`, a state_dict",
                )
            reset()
    return {name: tensor.detach().clone() for name, tensor in copy.state_dict().items()}


def _outputs_checked(model: nn.Module, architecture: str, in_features: int, classes: int) -> int:
    """How many outputs a row has; `InputError` unless one for each class, or one for two."""
    try:
        with torch.no_grad():
            shape = tuple(model(torch.zeros(2, in_features)).shape)
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        shape, problem = (), f"cannot run on {in_features} features: {error}"
    else:
        problem = f"gives logits {shape} for two rows"
    if shape == (2, classes) or (shape, classes) == ((2, 1), 2):
        return int(shape[1])
    raise InputError(
        f"architecture {architecture!r} {problem}",
        where="pretrain.architecture",
        expected=f"a module from (rows, {in_features}) to (rows, {classes})",
    )


def _tokens_checked(model: nn.Module, architecture: str, context: int, vocabulary: int) -> Tensor:
    """Tokens `(2, context)` that the module could read; `InputError` unless it gives logits of the
    next token at each position that do not depend on the tokens after it.
    """
    x = (torch.arange(2 * context).view(2, context) % vocabulary).int()
    other = x.clone()
    other[:, -1] = (other[:, -1] + 1) % vocabulary
    expected = f"a module from tokens (rows, {context}) to (rows, {context}, {vocabulary})"
    try:
        with torch.no_grad():
            outputs, changed = model(x), model(other)
        shape = tuple(outputs.shape)
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
        problem = f"cannot run on {context} tokens: {error}"
    else:
        if shape == (2, context, vocabulary):
            if torch.allclose(outputs[:, :-1], changed[:, :-1], atol=1e-5):
                return x
            problem = "reads the tokens that it is to predict: its answers depend on later tokens"
            expected = "answers that depend on the tokens before them only (causal attention)"
        else:
            problem = f"gives logits {shape} for two rows of {context} tokens"
    raise InputError(
        f"architecture {architecture!r} {problem}", where="pretrain.architecture", expected=expected
    )


def source_of_architecture(architecture: str, kwargs: Mapping[str, Any]) -> str:
    """Hex SHA-256 of the source that defines the architecture, and of the files that it reads where
    it says so: `reads(kwargs)` of the callable gives their paths.
    """
    factory = import_object(architecture, "architecture", "pretrain.architecture")
    source, reads = source_of(architecture, factory), getattr(factory, "reads", None)
    if reads is None:
        return source
    return digest([source, {path.name: sha256(path) for path in reads(kwargs)}])
