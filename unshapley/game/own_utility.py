"""A utility that is a function of the user's own, called like one of scikit-learn's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from unshapley.errors import InputError
from unshapley.extensions import check_parameters_of, describe_exception

SIGNATURE = "a function f(y_true, y_score) that returns one finite number, higher is better"


def check_signature(name: str, function: Any, where: str) -> None:
    """Raise `InputError` for what is no function of (y_true, y_score)."""
    if not callable(function):
        raise InputError(
            f"utility {name!r} is not callable but of type {type(function).__name__}",
            where=where,
            expected=SIGNATURE,
        )
    check_parameters_of(function, ("y_true", "y_score"), f"utility {name!r}", where)


@dataclass(frozen=True)
class OwnScore:
    """Scores `(models,)` by a function of the user's own; NaN for a model that is not finite.

    The function gets labels `(rows,)` and probabilities `(rows, classes)`, or for numbers
    predictions `(rows,)`, both numpy. Raises `InputError` where it fails or returns no number.
    """

    name: str
    function: Callable[..., Any]
    where: str

    def __call__(self, outputs: Tensor, y: Tensor) -> Tensor:
        broken = ~torch.isfinite(outputs).flatten(1).all(dim=1)
        scores = outputs.detach().double()
        scores = scores.squeeze(-1) if y.is_floating_point() else torch.softmax(scores, dim=-1)
        y_true, y_score = y.cpu().numpy(), scores.cpu().numpy()
        numbers = [
            # copies, so that a function that writes into what it gets changes no other's
            math.nan if bad else self._score(y_true.copy(), y_score[i].copy())
            for i, bad in enumerate(broken.tolist())
        ]
        return torch.tensor(numbers, dtype=torch.float64, device=outputs.device)

    def _score(self, y_true: Any, y_score: Any) -> float:
        try:
            number = self.function(y_true, y_score)
        except Exception as error:  # noqa: BLE001 (the user's code: anything may come)
            raise InputError(
                f"utility {self.name!r} failed: {describe_exception(error)}",
                where=self.where,
                expected=SIGNATURE,
            ) from None
        if not isinstance(number, Real) or not math.isfinite(number):
            returned = str(number) if isinstance(number, Real) else f"a {type(number).__name__}"
            raise InputError(
                f"utility {self.name!r} returned {returned}", where=self.where, expected=SIGNATURE
            )
        return float(number)
