"""A `torch.export` program as a module: its graph, run node by node.

`torch.export.load` unpickles what a file holds and evaluates expressions in it. Here the graph is
data: only the operators that are listed are run, on tensors and numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from unshapley.errors import InputError

ARCHITECTURE = "unshapley.models.exported:program"
OPERATORS = frozenset({
    "abs", "adaptive_avg_pool2d", "add", "addmm", "alias", "amax", "amin", "avg_pool2d",
    "bmm", "cat", "celu", "clamp", "clamp_max", "clamp_min", "clone", "contiguous", "conv1d",
    "conv2d", "cos", "detach", "div", "dropout", "einsum", "elu", "embedding", "exp",
    "expand", "flatten", "gelu", "glu", "group_norm", "hardsigmoid", "hardswish", "hardtanh",
    "layer_norm", "leaky_relu", "lift_fresh_copy", "linear", "log", "log1p", "log_sigmoid",
    "log_softmax", "logsumexp", "matmul", "max_pool2d", "maximum", "mean", "minimum", "mish",
    "mm", "mul", "neg", "permute", "pow", "reciprocal", "relu", "relu6", "reshape", "rsqrt",
    "rsub", "select", "selu", "sigmoid", "silu", "sin", "slice", "softmax", "softplus",
    "softsign", "sqrt", "square", "squeeze", "stack", "sub", "sum", "sym_size", "t", "tanh",
    "transpose", "unflatten", "unsqueeze", "view", "where",
})  # fmt: skip
"""Of aten, also in place: they compute tensors of tensors, and nothing else."""
UNCHANGED = ("alias", "contiguous", "lift_fresh_copy")
"""Of these, what makes no difference to a value."""
DTYPES = {4: torch.int32, 5: torch.int64, 7: torch.float32, 8: torch.float64, 12: torch.bool}
"""Of stored tensors, by their number in the schema of torch.export."""


class Node(NamedTuple):
    """An operator of aten, 'linear.default', its arguments by name, and the name of its result.

    An argument is a pair: what it is in the schema of torch.export (`as_tensor`, `as_int` …), and
    its value, or the name of the value.
    """

    operator: str
    arguments: Mapping[str, tuple[str, Any]]
    result: str


class Program(nn.Module):
    """A graph with its parameters and buffers under their names.

    graph: `inputs`, name of a tensor by name of a value; `x`, `output`: the value that it takes and
    the one that it gives; `nodes`: as `Node`; `tensors`: shape, number of the type, and whether it
    is trained, by name. A linear layer is a `torch.nn.Linear`, which statistics know.
    """

    def __init__(self, graph: Mapping[str, Any]) -> None:
        super().__init__()
        self.graph = graph
        self.nodes = [Node(*node) for node in graph["nodes"]]
        for node in self.nodes:
            if not is_known(node.operator):
                raise InputError(f"{node.operator} is no operator of a network", where="graph")
        self.linear = dict(self._linear_layers())
        for path in self.linear.values():
            (width, inputs), dtype, _ = graph["tensors"][f"{path}.weight"]
            bias = f"{path}.bias" in graph["tensors"]
            layer = nn.Linear(inputs, width, bias=bias, dtype=DTYPES[dtype])
            self._place(path, layer)
        for name, (shape, dtype, trained) in graph["tensors"].items():
            if name.rpartition(".")[0] in self.linear.values():
                continue
            tensor = torch.zeros(shape, dtype=DTYPES[dtype])
            self._place(name, nn.Parameter(tensor) if trained else tensor)

    def forward(self, x: Tensor) -> Tensor:
        """The output for rows `x`; `ValueError` if a node reads what none before it gives."""
        try:
            return self._computed(x)
        except LookupError as error:
            raise ValueError(f"the graph is not whole: {error} is missing") from None

    def _computed(self, x: Tensor) -> Tensor:
        tensors = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        values: dict[str, Any] = {value: tensors[n] for value, n in self.graph["inputs"].items()}
        values[self.graph["x"]] = x
        for i, node in enumerate(self.nodes):
            if i in self.linear:
                layer = self.get_submodule(self.linear[i])
                values[node.result] = layer(values[node.arguments["input"][1]])
            else:
                _run(node, values)
        return values[self.graph["output"]]  # type: ignore[no-any-return]

    def reset_parameters(self) -> None:
        """Draw weights anew, as layers of torch do; those of linear layers they draw themselves.

        Raises `InputError` for a weight of which the graph does not say how it is drawn.
        """
        owners = {
            self.graph["inputs"][value]: (node.operator.split(".")[0], kind)
            for node in self.nodes
            for kind, (form, value) in node.arguments.items()
            if form == "as_tensor" and value in self.graph["inputs"]
        }
        bound = 1.0
        for name, parameter in self.named_parameters():
            if name.rpartition(".")[0] in self.linear.values():
                continue
            operator, kind = owners.get(name, ("", ""))
            if operator in ("conv1d", "conv2d"):
                if kind == "weight":
                    bound = 1 / math.sqrt(parameter[0].numel())
                nn.init.uniform_(parameter, -bound, bound)
            elif operator in ("layer_norm", "group_norm"):
                nn.init.constant_(parameter, 1.0 if kind == "weight" else 0.0)
            elif operator == "embedding":
                nn.init.normal_(parameter)
            else:
                raise InputError(
                    f"how weight {name!r} is drawn is not to be seen in the program",
                    where="--none",
                    do="give the weights before training: --initial",
                )

    def _linear_layers(self) -> Iterator[tuple[int, str]]:
        """Number of each node that is a layer with weights of its own, and the layer's name."""
        names = [
            self.graph["inputs"].get(value)
            for node in self.nodes
            for form, value in node.arguments.values()
            if form == "as_tensor"
        ]
        for i, node in enumerate(self.nodes):
            if node.operator != "linear.default":
                continue
            given = {k: self.graph["inputs"].get(v) for k, (_, v) in node.arguments.items()}
            weight, bias = str(given.get("weight")), given.get("bias")
            path = weight.removesuffix(".weight")
            own = {name for name in self.graph["tensors"] if name.startswith(f"{path}.")}
            expected = {weight} if "bias" not in given else {weight, str(bias)}
            once = all(names.count(name) == 1 for name in own)
            if own == expected and path != weight and bias in (None, f"{path}.bias") and once:
                yield i, path

    def _place(self, name: str, target: Tensor | nn.Module) -> None:
        module: nn.Module = self
        *parents, own = name.split(".")
        for part in parents:
            if part not in module._modules:
                module.add_module(part, nn.Module())
            module = module.get_submodule(part)
        if isinstance(target, nn.Parameter):
            module.register_parameter(own, target)
        elif isinstance(target, Tensor):
            module.register_buffer(own, target)
        else:
            module.add_module(own, target)


def program(graph: Mapping[str, Any]) -> nn.Module:
    """The architecture of an exported program, with new weights."""
    module = Program(graph)
    module.reset_parameters()
    return module


def is_known(operator: str) -> bool:
    """Whether an operator is one of `OPERATORS`, with an overload that torch has."""
    name, _, overload = operator.partition(".")
    plain = name.removesuffix("_")
    return plain in OPERATORS and overload in getattr(torch.ops.aten, plain).overloads()


def _run(node: Node, values: dict[str, Any]) -> None:
    """Compute a node's result from the values before it."""
    name, _, overload = node.operator.partition(".")
    if name in UNCHANGED:
        values[node.result] = values[node.arguments["self"][1]]
        return
    if name == "sym_size":
        values[node.result] = values[node.arguments["self"][1]].shape[node.arguments["dim"][1]]
        return
    given = {key: _value(form, value, values) for key, (form, value) in node.arguments.items()}
    result = getattr(getattr(torch.ops.aten, name.removesuffix("_")), overload)(**given)
    values[node.result] = result
    if name.endswith("_"):  # what is read of it later is what it has become
        values[node.arguments["self"][1]] = result


def _value(form: str, value: Any, values: Mapping[str, Any]) -> Any:
    if form == "as_tensor":
        return values[value]
    if form == "as_tensors":
        return [values[name] for name in value]
    if form == "as_none":
        return None
    if form == "as_scalar_type":
        return DTYPES[value]
    if form in ("as_sym_int", "as_sym_ints"):
        sizes = [values[size] if isinstance(size, str) else size for size in value]
        return sizes if form == "as_sym_ints" else sizes[0]
    return value
