"""The pretrained model and the data and statistics that unlearners use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from unshapley.config import PretrainSettings
from unshapley.errors import InputError
from unshapley.models.batching import State
from unshapley.models.end_answers import EndAnswers
from unshapley.models.training_rows import TrainingRows


@dataclass(frozen=True)
class Pretrained:
    """The pretrained model of n providers, with the data and statistics that unlearners use.

    model: the module that runs the states; trained, initial: its weights after and before training;
    rewind: its weights early in training; recipe: how it was trained; steps: after how many it had
    its weights, where that is known; counts: number of training
    rows of each provider `(n,)`, readable or not; rows: the rows that can be read; reference: rows
    `(x, y)` for regularisers and tuning; noise: variance of the training rows' residuals, in units
    of the label as the model learns it, 1 for classes; curvature, features: stored statistics;
    kronecker, ngrams: those of text (`curvature.kronecker`, `curvature.ngrams`), and ends, what the
    network answers on the test set before and after training; test: the test set, for proxies, and
    for the one option of an unlearner that leaks it; recipe_known: whether the recipe is how it was
    trained, so that it can be retrained; initialise: the weights before training that a seed gives,
    where the model is not built by the recipe.
    """

    model: nn.Module
    trained: State
    initial: State
    recipe: PretrainSettings
    counts: Tensor
    rows: TrainingRows
    reference: tuple[Tensor, Tensor]
    rewind: State | None = None
    noise: float = 1.0
    steps: int | None = None
    curvature: CurvatureStatistics | None = None
    features: HeadFeatures | None = None
    kronecker: KroneckerStatistics | None = None
    ngrams: Tensor | None = None
    ends: EndAnswers | None = None
    test: tuple[Tensor, Tensor] | None = None
    recipe_known: bool = True
    initialise: Callable[[int], State] | None = None

    def share(self, staying: Tensor) -> Tensor:
        """Share of all training rows that each coalition keeps `(m,)`, float64."""
        counts = self.counts.double()
        return (staying.double() @ counts) / counts.sum()

    def to(self, device: str) -> Pretrained:
        """A copy with every tensor on `device` ("cpu" or "cuda").

        Raises `InputError` if there is no such device.
        """
        if device == "cpu":
            return self
        if not torch.cuda.is_available():
            raise InputError(
                "there is no CUDA device", where="valuation.device", do="set it to cpu"
            )
        names = [f.name for f in fields(self) if f.name != "ends"]
        out = replace(self, **{name: _on(device, getattr(self, name)) for name in names})
        if self.ends is None or out.test is None:
            return out
        # of the tensors that are there already, not of copies of its own
        return replace(out, ends=EndAnswers(out.model, out.initial, out.trained, out.test))


def _on(device: str, value: Any) -> Any:
    """`value` with the tensors in it on `device`."""
    if isinstance(value, Tensor | nn.Module):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _on(device, item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_on(device, item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{f.name: _on(device, getattr(value, f.name)) for f in fields(value)}
        )
    return value


@dataclass(frozen=True)
class CurvatureStatistics:
    """Statistics of n providers in provider order, in k coordinates, float64.

    parameters: names of the tensors that they cover, in order; basis: orthonormal columns
    `(weights, k)`, or None if the coordinates are the weights themselves;
    gradient: `(n, k)`; hessian: `(n, k, k)`; rows: `(n,)`.
    """

    parameters: tuple[str, ...]
    basis: Tensor | None
    gradient: Tensor
    hessian: Tensor
    rows: Tensor

    def coordinates(self, state: State) -> Tensor:
        """Weights in the coordinates of the statistics `(k,)`."""
        return project(flat(state, self.parameters), self.basis).double()

    def move(self, origin: State, steps: Tensor) -> State:
        """The covered tensors of `origin` plus each of the steps `(models, k)`: `(models, …)`."""
        start = flat(origin, self.parameters)
        vectors = steps.to(start.dtype)
        if self.basis is not None:
            vectors = vectors @ self.basis.T
        sizes = [origin[name].numel() for name in self.parameters]
        parts = torch.split(start + vectors, sizes, dim=1)
        return {
            name: part.view(-1, *origin[name].shape)
            for name, part in zip(self.parameters, parts, strict=True)
        }


@dataclass(frozen=True)
class KroneckerStatistics:
    """Statistics of n providers in the Kronecker eigenbasis of a model's layers.

    basis: of a layer `name` the eigenvectors of its inputs `name.inputs` and of the derivatives of
    its outputs `name.outputs`, as columns; parameters in no layer are coordinates themselves;
    gradient: of each parameter by name `(n, …)`, in the basis, of the summed loss of a provider's
    tokens; squares: of the gradients of each row with labels drawn from the model, summed, alike.
    """

    basis: State
    gradient: State
    squares: State


def flat(state: State, parameters: Sequence[str]) -> Tensor:
    """The named tensors as one vector."""
    return torch.cat([state[name].flatten() for name in parameters])


def project(vectors: Tensor, basis: Tensor | None) -> Tensor:
    """Vectors `(…, weights)` in the coordinates of `basis` `(…, k)`."""
    return vectors if basis is None else vectors @ basis


@dataclass(frozen=True)
class HeadFeatures:
    """Sufficient statistics for least squares on the features of the pretrained model, float64.

    layer: name of the last layer; `width` = its inputs, plus one for the bias; gram: Σ h hᵀ of
    every provider `(n, width, width)`; moment: Σ h tᵀ with t the label, one-hot where it is a
    class, `(n, width, classes)`.
    """

    layer: str
    gram: Tensor
    moment: Tensor
