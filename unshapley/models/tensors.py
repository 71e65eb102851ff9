"""Read and write weights as safetensors, checked by hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from unshapley.errors import InputError, raise_if_no_memory
from unshapley.files import digest, sha256, written_whole
from unshapley.models.batching import State


def save_state(state: State, path: Path) -> None:
    """Write tensors as safetensors, atomically; equal tensors give equal bytes."""
    content = save({name: tensor.detach().contiguous().cpu() for name, tensor in state.items()})
    with written_whole(path) as part:
        part.write_bytes(content)


def hash_of_state(state: State) -> str:
    """Hex SHA-256 of tensors in their order, with names, types and shapes."""
    sha = hashlib.sha256()
    for name, tensor in state.items():
        sha.update(digest([name, str(tensor.dtype), list(tensor.shape)]).encode())
        sha.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()


def load_state(
    path: Path,
    expected_hash: str,
    do: str = "restore it with `dvc checkout`, or pretrain again",
) -> State:
    """Read safetensors whose bytes hash to `expected_hash` (hex SHA-256).

    Raises `InputError` for a missing, pickled, truncated or altered file.
    """
    if not path.is_file():
        raise InputError("file is missing", where=path, do=do)
    state = read_safetensors(
        path, "restore it with `dvc checkout`, or convert it with safetensors.torch.save_file"
    )
    actual_hash = sha256(path)
    if actual_hash != expected_hash:
        raise InputError(
            f"is not the recorded file: SHA-256 {actual_hash[:12]}…",
            where=path,
            expected=f"SHA-256 {expected_hash[:12]}…, as recorded",
            do=do,
        )
    return state


def read_safetensors(path: Path, do: str) -> State:
    """All tensors of a file by name; `InputError` with the advice `do` for one that is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise_if_no_memory(error)
        raise InputError(
            f"not readable as safetensors ({error})",
            where=path,
            expected="a whole .safetensors file; pickled checkpoints are never opened",
            do=do,
        ) from None


def fit_state(model: nn.Module, state: State, where: Path) -> State:
    """`state` in the model's order; `InputError` for the first tensor that does not fit."""
    expected = model.state_dict()
    for name, tensor in expected.items():
        if name not in state:
            raise InputError(
                f"tensor {name!r} is missing",
                where=where,
                expected="the tensors of pretrain.architecture",
            )
        if state[name].dtype != tensor.dtype:
            raise InputError(
                f"tensor {name!r} is {state[name].dtype}",
                where=where,
                expected=f"{tensor.dtype}, as the recorded architecture has it",
                do="convert it, or pretrain again",
            )
        if state[name].shape != tensor.shape:
            raise InputError(
                f"tensor {name!r} has shape {tuple(state[name].shape)}",
                where=where,
                expected=f"{tuple(tensor.shape)}, as the recorded architecture has it",
                do="load it with the architecture it was trained with",
            )
    extra = sorted(set(state) - set(expected))
    if extra:
        raise InputError(f"tensor {extra[0]!r} is not part of the architecture", where=where)
    for name in expected:
        if not torch.isfinite(state[name]).all():
            raise InputError(
                f"tensor {name!r} holds NaN or infinity", where=where, expected="finite weights"
            )
    return {name: state[name] for name in expected}
