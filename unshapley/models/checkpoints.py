"""Weights in files of the user's own, of which none may run code."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unshapley.errors import InputError
from unshapley.models.batching import State
from unshapley.models.exported_reading import read_program
from unshapley.models.tensors import fit_state, read_safetensors
from unshapley.origin import Kind

NESTED = ("state_dict", "model_state_dict", "model")
"""Under what training loops store the weights, beside the optimizer's state."""
PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""
SUFFIXES: Mapping[str, Kind] = {
    ".safetensors": "safetensors",
    ".pt": "state_dict",
    ".pth": "state_dict",
    ".pt2": "torch.export",
}
EXPECTED = (
    "a .safetensors file, a .pt or .pth file of a state_dict, as "
    "`torch.save(model.state_dict(), path)` writes it, or a .pt2 file of torch.export.save"
)


def kind_of(path: Path) -> Kind:
    """What a file holds, by its name; `InputError` for one that is missing or of another kind."""
    if not path.exists():
        raise InputError("there is no such file", where=path, expected=EXPECTED)
    if path.is_dir():
        raise InputError(
            "is a folder",
            where=path,
            expected=f"{EXPECTED}; a folder of Hugging Face where prepare.task is language-model",
        )
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"the ending {path.suffix!r} is none of a model", where=path, expected=EXPECTED
        )
    return SUFFIXES[path.suffix.lower()]


def read_weights(path: Path) -> State:
    """The tensors of a checkpoint by name.

    Pickled files are read by torch's restricted reader alone, which builds tensors and containers
    and refuses all else unexecuted. Raises `InputError` for what is no checkpoint.
    """
    kind = kind_of(path)
    if kind == "torch.export":
        return read_program(path)[1]
    if kind == "safetensors":
        return read_safetensors(path, "copy it again, or write it by safetensors.torch.save_file")
    return _tensors_of(_restricted(path), path)


def _restricted(path: Path) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickles of another protocol
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = _reason(error)
    except Exception as error:  # noqa: BLE001 (a damaged or forged file: anything may come)
        reason = f"{type(error).__name__}: {_reason(error)}"
    raise InputError(
        f"holds more than tensors, or is damaged; nothing of it was run ({reason})",
        where=path,
        expected=EXPECTED,
        do="save the weights alone: torch.save(model.state_dict(), path)",
    )


def _reason(error: Exception) -> str:
    """What torch's reader met, of the many lines that it says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("WeightsUnpickler", "Unsupported"))]
    return (telling or lines or [type(error).__name__])[0][:160]


def _tensors_of(content: Any, path: Path) -> State:
    found = content
    if isinstance(content, Mapping):
        nested = [n for n in NESTED if isinstance(content.get(n), Mapping)]
        found = content[nested[0]] if nested else content
    if not isinstance(found, Mapping) or not found:
        raise InputError(f"holds a {type(found).__name__}", where=path, expected=EXPECTED)
    wrong = [name for name, tensor in found.items() if not isinstance(tensor, Tensor)]
    if wrong:
        raise InputError(
            f"{str(wrong[0])!r} is no tensor but a {type(found[wrong[0]]).__name__}",
            where=path,
            expected=EXPECTED,
        )
    return {str(name): tensor.detach() for name, tensor in found.items()}


def load_weights(module: nn.Module, path: Path) -> list[str]:
    """Give a module the weights of a checkpoint, and say how they were altered to fit.

    Raises `InputError` naming the first tensor that does not fit, with both shapes.
    """
    state, notes = read_weights(path), []
    if (own_names := getattr(module, "own_names", None)) is not None:
        state = own_names(state)
    expected = module.state_dict()
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state) and not set(state) <= set(expected):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
            notes.append(f"{path.name}: {prefix!r} was taken off every name")
    for name, tensor in expected.items():
        given = state.get(name)
        if given is None or given.dtype == tensor.dtype:
            continue
        if given.is_floating_point() and tensor.is_floating_point():
            state[name] = given.to(tensor.dtype)
            notes.append(f"{path.name}: {name} is {given.dtype}, computed in {tensor.dtype}")
    module.load_state_dict(fit_state(module, state, path))
    return notes if len(notes) < 4 else [*notes[:2], f"… and {len(notes) - 2} tensors more"]
