"""A fitted estimator as a network of linear layers over scaled inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshapley.errors import InputError
from unshapley.models.batching import State
from unshapley.models.scaled import ScaledNetwork

ARCHITECTURE = "unshapley.models.scaled:network"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Converted:
    """A fitted estimator as a network of `scaled.network`.

    name: of its class; weights, biases: of the layers, `(out, in)` and `(out,)`; mean, scale: of
    its inputs `(features,)`; classes: its classes as texts, in the order of the outputs, empty for
    a number; features: names of the columns, if it was fitted on a frame; penalty: the w of a
    penalty ½ w ‖θ‖² on the loss summed over the rows, or over the `batch` of a step.
    """

    name: str
    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    activation: str
    mean: Floats
    scale: Floats
    classes: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    penalty: float = 0.0
    batch: int | None = None

    def decay(self, rows: int) -> float:
        """The same penalty on the mean loss of so many rows."""
        return self.penalty / min(rows, self.batch or rows)

    @property
    def linear(self) -> bool:
        return len(self.weights) == 1

    @property
    def kwargs(self) -> dict[str, Any]:
        """Arguments of `scaled.network` beside the sizes of the tables."""
        return {"hidden": [len(bias) for bias in self.biases[:-1]], "activation": self.activation}

    def module(self) -> ScaledNetwork:
        """The network with its weights, in evaluation mode."""
        widths = [len(self.mean), *(len(bias) for bias in self.biases)]
        module = ScaledNetwork(widths, self.activation)
        module.load_state_dict(self.state())
        return module.eval()

    def state(self) -> State:
        """The tensors of the network."""
        names = [f"hidden.{i}" for i in range(len(self.weights) - 1)] + ["head"]
        state = {"mean": _tensor(self.mean), "scale": _tensor(self.scale)}
        for name, weight, bias in zip(names, self.weights, self.biases, strict=True):
            state |= {f"{name}.weight": _tensor(weight), f"{name}.bias": _tensor(bias)}
        return state

    def fitted_to(self, features: Sequence[str], classes: Sequence[str]) -> Converted:
        """The same for columns and classes in another order.

        Raises `InputError` where they are others.
        """
        columns = self._columns(features)
        first, *rest = self.weights
        moved = replace(
            self,
            weights=(first[:, columns], *rest),
            mean=self.mean[columns],
            scale=self.scale[columns],
            features=tuple(features),
        )
        return moved._with_classes(classes)

    def _columns(self, features: Sequence[str]) -> list[int]:
        if len(features) != len(self.mean):
            raise _mismatch(self, f"{len(self.mean)} columns", f"{len(features)}")
        if not self.features:
            return list(range(len(features)))
        others = [name for name in features if name not in self.features]
        if others:
            raise _mismatch(self, f"no column {others[0]!r}", f"columns {', '.join(features)}")
        return [self.features.index(name) for name in features]

    def _with_classes(self, classes: Sequence[str]) -> Converted:
        if sorted(classes) != sorted(self.classes):
            kind = ", ".join(self.classes) or "no classes, but a number"
            raise _mismatch(self, f"classes {kind}", ", ".join(classes) or "a number")
        order = [self.classes.index(name) for name in classes]
        weight, bias = self.weights[-1], self.biases[-1]
        if len(order) == 2 and len(bias) == 1:
            sign = 1.0 if order == [0, 1] else -1.0
            weight, bias = sign * weight, sign * bias
        elif order:
            weight, bias = weight[order], bias[order]
        return replace(
            self,
            weights=(*self.weights[:-1], weight),
            biases=(*self.biases[:-1], bias),
            classes=tuple(classes),
        )


def _mismatch(converted: Converted, has: str, tables: str) -> InputError:
    return InputError(
        f"{converted.name} was fitted on {has}, and the tables have {tables}",
        where="model",
        expected="an estimator that was fitted on columns and classes as the tables have them",
        do="fit it on the rows that are valued, columns that are categories as 0 and 1",
    )


def _tensor(array: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64))
