"""Read a `.pt2` file of `torch.export.save`: JSON and raw tensors; nothing is unpickled."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unshapley.errors import InputError
from unshapley.models.batching import State
from unshapley.models.exported import DTYPES, OPERATORS, Program, is_known

Json = Mapping[str, Any]
CHECKS = ("_assert_scalar", "_assert_tensor_metadata", "sym_constrain_range_for_size")
"""Operators that compute nothing."""
PLAIN = ("as_int", "as_ints", "as_float", "as_floats", "as_bool", "as_string", "as_none")
FORGED = (
    zipfile.BadZipFile, OSError, LookupError, AttributeError, TypeError, ValueError, RuntimeError,
    ArithmeticError, NotImplementedError, MemoryError,
)  # fmt: skip
"""What comes of reading a file that is not as `torch.export.save` writes it."""
EXPECTED = "what `torch.export.save(torch.export.export(model.eval(), (x,)), path)` writes"


def read_program(path: Path) -> tuple[dict[str, Any], State]:
    """The graph, as `exported.Program` takes it, and the tensors by name.

    Raises `InputError` for a file that is damaged, pickled in part, or computes by operators that
    are not listed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_stored(archive, path)
            state, trained = _tensors(archive, path)
            graph = _graph(_model(archive, path), path)
            used = _used(graph, state, trained)
            Program(graph).load_state_dict(used)
    except FORGED as error:
        raise InputError(
            f"is no exported program, or damaged ({type(error).__name__}: {error})",
            where=path,
            expected=EXPECTED,
        ) from None
    return graph, used


def _used(graph: dict[str, Any], state: State, trained: set[str]) -> State:
    """The tensors that a graph names, which are described in it."""
    codes = {dtype: code for code, dtype in DTYPES.items()}
    used = {name: state[name] for name in graph["inputs"].values()}
    graph["tensors"] = {
        name: [list(tensor.shape), codes[tensor.dtype], name in trained]
        for name, tensor in sorted(used.items())
    }
    return used


def _check_stored(archive: zipfile.ZipFile, path: Path) -> None:
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
        raise InputError("is compressed", where=path, expected=EXPECTED)


def _model(archive: zipfile.ZipFile, path: Path) -> Json:
    models = [n for n in archive.namelist() if "/models/" in n and n.endswith(".json")]
    if len(models) != 1:
        raise InputError(f"holds {len(models)} programs", where=path, expected=EXPECTED)
    content: Json = json.loads(archive.read(models[0]))
    return content


def _tensors(archive: zipfile.ZipFile, path: Path) -> tuple[State, set[str]]:
    """All tensors by name, and the names of the parameters."""
    state: State = {}
    trained: set[str] = set()
    for config in (n for n in archive.namelist() if n.endswith("_config.json") and "/data/" in n):
        folder = config.rpartition("/")[0]
        for name, entry in json.loads(archive.read(config))["config"].items():
            if entry["use_pickle"] or not entry["tensor_meta"]:
                what = f"{name!r} is pickled, and pickles are not opened"
                raise InputError(what, where=path, expected=EXPECTED)
            content = archive.read(f"{folder}/{entry['path_name']}")
            state[name] = _tensor(content, entry["tensor_meta"], name, path)
            if entry["is_param"]:
                trained.add(name)
    return state, trained


def _tensor(content: bytes, meta: Json, name: str, path: Path) -> Tensor:
    if meta["dtype"] not in DTYPES:
        raise InputError(f"{name!r} is of a type that is not read", where=path, expected="float32")
    sizes, strides = ([size["as_int"] for size in meta[key]] for key in ("sizes", "strides"))
    storage = torch.frombuffer(bytearray(content), dtype=DTYPES[meta["dtype"]])
    view = torch.as_strided(storage, sizes, strides, meta["storage_offset"]["as_int"])
    return view.clone(memory_format=torch.contiguous_format)


def _graph(model: Json, path: Path) -> dict[str, Any]:
    graph, signature = model["graph_module"]["graph"], model["graph_module"]["signature"]
    inputs: dict[str, str] = {}
    users: list[str] = []
    for spec in signature["input_specs"]:
        ((kind, entry),) = spec.items()
        if kind == "user_input":
            users.append(entry["arg"]["as_tensor"]["name"])
        else:  # a parameter, a buffer or a tensor constant; others have no name of such
            inputs[entry["arg"]["name"]] = entry[f"{kind}_name"]
    given = [spec["user_output"]["arg"] for spec in signature["output_specs"]]
    outputs = [argument["as_tensor"]["name"] for argument in given]
    if len(users) != 1 or len(outputs) != 1:
        raise InputError(
            f"takes {len(users)} inputs and gives {len(outputs)} outputs",
            where=path,
            expected="one of each: rows, and their logits",
        )
    nodes = list(_nodes(graph["nodes"], path))
    return {"inputs": inputs, "x": users[0], "output": outputs[0], "nodes": nodes}


def _nodes(nodes: list[Json], path: Path) -> Iterator[list[Any]]:
    for node in nodes:
        operator = node["target"].removeprefix("torch.ops.aten.")
        name = operator.partition(".")[0]
        if name in CHECKS:
            continue
        arguments = {entry["name"]: _argument(entry["arg"]) for entry in node["inputs"]}
        noise = name == "dropout" and arguments["train"][1]
        if operator == node["target"] or not is_known(operator) or noise:
            raise InputError(
                f"the program computes by {node['target']}{' in training' if noise else ''}",
                where=path,
                expected=f"operators of aten: {', '.join(sorted(OPERATORS))}",
                do="export the model in evaluation mode, without normalisation by batches; or give "
                "its weights and --architecture",
            )
        (output,) = node["outputs"]
        ((form, value),) = output.items()
        yield [operator, arguments, value["as_name"] if form == "as_sym_int" else value["name"]]


def _argument(argument: Json) -> list[Any]:
    """What an argument is, and its value or the name of it."""
    ((form, value),) = argument.items()
    if form == "as_tensor":
        return [form, value["name"]]
    if form == "as_tensors":
        return [form, [tensor["name"] for tensor in value]]
    if form in ("as_sym_int", "as_sym_ints"):
        sizes = value if form == "as_sym_ints" else [value]
        return [form, [size.get("as_name", size.get("as_int")) for size in sizes]]
    if form == "as_scalar_type" and value in DTYPES:
        return [form, value]
    if form not in PLAIN:
        raise ValueError(f"an argument is {form}")
    return [form, value]
