"""Utilities: performance of a batch of models on the test set, always "higher is better".

A name with a colon, 'package.module:function', is a function of the user's own.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unshapley.errors import InputError
from unshapley.files import digest, sha256
from unshapley.losses import row_loss

RESAMPLES = 60
"""Bootstrap samples of the test rows, by which the noise of a finite test set is measured."""

_WHERE = "valuation.utilities"
_SIGNATURE = "a function f(y_true, y_score) that returns one finite number, higher is better"


@dataclass(frozen=True)
class Utility:
    """A utility by name.

    score: (outputs `(models, rows, classes)`, labels `(rows,)`) → one number a model `(models,)`,
    or one a class `(models, classes)` if `per_class`; task: classification or regression;
    varied: not defined where all test rows have the same label.
    """

    score: Callable[[Tensor, Tensor], Tensor]
    task: str
    unit: str
    per_class: bool = False
    varied: bool = False
    rows: Callable[[Tensor, Tensor], Tensor] | None = None
    """what each test row adds `(models, rows)`, for a utility that is the mean of it"""


def accuracy(outputs: Tensor, y: Tensor) -> Tensor:
    """Share of test rows whose most probable class is the right one."""
    return _hits(outputs, y).mean(dim=-1)


def balanced_accuracy(outputs: Tensor, y: Tensor) -> Tensor:
    """Mean of the recall of all classes that occur in the test set, however many rows they have."""
    return recall_per_class(outputs, y)[:, _occurring(y)].mean(dim=-1)


def macro_f1(outputs: Tensor, y: Tensor) -> Tensor:
    """Mean F1 score of all classes that occur in the test set or in the model's answers."""
    said, true = _is_class(outputs.argmax(dim=-1), outputs), _is_class(y, outputs)
    both = (said & true).sum(dim=1).double()
    either = said.sum(dim=1) + true.sum(dim=0)
    return (2 * both / either.clamp(min=1)).sum(dim=-1) / (either > 0).sum(dim=-1)


def neg_log_loss(outputs: Tensor, y: Tensor) -> Tensor:
    """Minus the mean cross-entropy of the test rows; 0 is best."""
    return -_cross_entropy(outputs, y).mean(dim=-1)


def neg_brier(outputs: Tensor, y: Tensor) -> Tensor:
    """Minus the squared distance of the probabilities of all classes from the truth; 0 is best."""
    return -_distance(outputs, y).mean(dim=-1)


def auroc(outputs: Tensor, y: Tensor) -> Tensor:
    """Area under the ROC; with three classes or more, the mean of each against all others."""
    p = torch.softmax(outputs.double(), dim=-1)
    positive = [1] if p.shape[-1] == 2 else _occurring(y)
    return torch.stack([_area(p[..., c].contiguous(), y == c) for c in positive]).mean(dim=0)


def recall_per_class(outputs: Tensor, y: Tensor) -> Tensor:
    """Share of each class's test rows that are recognised. NaN for a class without rows."""
    return _mean_by_class((outputs.argmax(dim=-1) == y).double(), _is_class(y, outputs))


def neg_log_loss_per_class(outputs: Tensor, y: Tensor) -> Tensor:
    """Minus the mean cross-entropy of each class's test rows; 0 is best. NaN for one without."""
    return -_mean_by_class(row_loss(outputs.double(), y), _is_class(y, outputs))


def neg_mse(outputs: Tensor, y: Tensor) -> Tensor:
    """Minus the mean squared error; 0 is best."""
    return -_errors(outputs, y).square().mean(dim=-1)


def neg_mae(outputs: Tensor, y: Tensor) -> Tensor:
    """Minus the mean absolute error; 0 is best."""
    return -_errors(outputs, y).abs().mean(dim=-1)


def r2(outputs: Tensor, y: Tensor) -> Tensor:
    """Coefficient of determination: 1 is best, 0 as good as always answering the mean."""
    spread = (y.double() - y.double().mean()).square().sum()
    return 1 - _errors(outputs, y).square().sum(dim=-1) / spread


def _hits(outputs: Tensor, y: Tensor) -> Tensor:
    return (outputs.argmax(dim=-1) == y).double()


def _cross_entropy(outputs: Tensor, y: Tensor) -> Tensor:
    return row_loss(outputs.double(), y)


def _distance(outputs: Tensor, y: Tensor) -> Tensor:
    miss = torch.softmax(outputs.double(), dim=-1) - _is_class(y, outputs).double()
    return miss.square().sum(dim=-1)


_SHARE, _NATS = "share of test rows, 0 to 1", "nats a test row, negated"
UTILITIES: Mapping[str, Utility] = {
    "accuracy": Utility(accuracy, "classification", _SHARE, rows=_hits),
    "balanced_accuracy": Utility(balanced_accuracy, "classification", "mean recall, 0 to 1"),
    "macro_f1": Utility(macro_f1, "classification", "mean F1 score, 0 to 1"),
    "neg_log_loss": Utility(
        neg_log_loss, "classification", _NATS, rows=lambda o, y: -_cross_entropy(o, y)
    ),
    "neg_brier": Utility(
        neg_brier,
        "classification",
        "squared distance, 0 to 2, negated",
        rows=lambda o, y: -_distance(o, y),
    ),
    "auroc": Utility(auroc, "classification", "area, 0 to 1, chance is 0.5", varied=True),
    "recall_per_class": Utility(
        recall_per_class, "classification", "share of the class's test rows, 0 to 1", per_class=True
    ),
    "neg_log_loss_per_class": Utility(
        neg_log_loss_per_class,
        "classification",
        "nats a test row of the class, negated",
        per_class=True,
    ),
    "neg_mse": Utility(
        neg_mse,
        "regression",
        "squared units of the label, negated",
        rows=lambda o, y: -_errors(o, y).square(),
    ),
    "neg_mae": Utility(
        neg_mae,
        "regression",
        "units of the label, negated",
        rows=lambda o, y: -_errors(o, y).abs(),
    ),
    "r2": Utility(r2, "regression", "share of the label's variance, 1 is best", varied=True),
}


def unit_of(name: str) -> str:
    """What a utility, also of one class, is measured in, for people."""
    return f"as {name} gives it" if is_own(name) else UTILITIES[name.partition("[")[0]].unit


def scores_of(task: str, y: Tensor | None = None) -> list[str]:
    """Names of all utilities of a task that are one number a model, and defined on labels `y`."""
    same = y is not None and _same(y)
    return [
        name
        for name, u in UTILITIES.items()
        if u.task == task and not u.per_class and not (u.varied and same)
    ]


def check_utilities(names: Sequence[str], task: str) -> None:
    """Raise `InputError` for a utility that does not exist, does not fit the task or is named
    twice, and for a first one that is not one number a model.
    """
    fitting = ", ".join(name for name, u in UTILITIES.items() if u.task == task)
    expected = f"{fitting}, or a function of your own as 'package.module:function'"
    for name in names:
        if is_own(name):
            load_own(name)
        elif name not in UTILITIES:
            raise InputError(
                f"there is no utility {name!r} for {task}", where=_WHERE, expected=expected
            )
        elif UTILITIES[name].task != task:
            raise InputError(
                f"{name} is a utility for {UTILITIES[name].task}, and the task is {task}",
                where=_WHERE,
                expected=expected,
            )
        if names.count(name) > 1:
            raise InputError(f"{name} is named twice", where=_WHERE, expected="every utility once")
    if not is_own(names[0]) and UTILITIES[names[0]].per_class:
        raise InputError(
            f"{names[0]} is a number for every class, and the first utility is the primary one",
            where=_WHERE,
            expected="one number a model first, per-class utilities after it",
        )


def resampled(name: str, outputs: Tensor, y: Tensor) -> Tensor | None:
    """The utility on bootstrap samples of the test rows `(models, RESAMPLES)` (Efron 1979).

    The samples are the same for all models of all chunks. None for a function of the user's own,
    which would be called as often; NaN where a sample's rows do not define the utility.
    """
    if is_own(name):
        return None
    utility, rows = UTILITIES[name], len(y)
    draws = torch.randint(rows, (RESAMPLES, rows), generator=torch.Generator().manual_seed(0))
    if utility.rows is not None:
        counts = torch.zeros(RESAMPLES, rows, dtype=torch.float64)
        counts.scatter_add_(1, draws, torch.ones_like(draws, dtype=torch.float64))
        return utility.rows(outputs, y).double() @ counts.to(outputs.device).T / rows
    scores = [
        torch.full((len(outputs),), math.nan, dtype=torch.float64, device=outputs.device)
        if utility.varied and _same(y[sample])
        else utility.score(outputs[:, sample], y[sample])
        for sample in draws.to(outputs.device)
    ]
    return torch.stack(scores, dim=1)


def evaluate(
    names: Sequence[str], outputs: Tensor, y: Tensor, classes: Sequence[str] = ()
) -> dict[str, list[float]]:
    """All named utilities of a batch of models from one pass, each `(models,)`.

    A per-class utility gives one entry for each class that occurs in the test set, such as
    `recall_per_class[three]`. A model whose outputs are not finite gets NaN, never a score.
    Raises `InputError` where a utility is not defined on this test set, and where a function of
    the user's own fails.
    """
    broken = ~torch.isfinite(outputs).flatten(1).all(dim=1)
    found: dict[str, Tensor] = {}
    for name in names:
        if is_own(name):
            found[name] = _own_scores(name, outputs, y, broken)
            continue
        utility = UTILITIES[name]
        if utility.varied and _same(y):
            raise InputError(
                f"{name} is not defined where all test rows have the same label",
                where=_WHERE,
                do="leave it out, or use a test set with different labels",
            )
        score = utility.score(outputs, y)
        if not utility.per_class:
            found[name] = score
            continue
        for c in _occurring(y):
            found[f"{name}[{classes[c] if classes else c}]"] = score[:, c]
    return {n: s.masked_fill(broken, math.nan).tolist() for n, s in found.items()}


def flat(outputs: Tensor) -> list[bool]:
    """Which models of a batch answer every row alike."""
    return (
        (outputs - outputs[:, :1])
        .abs()
        .flatten(1)
        .amax(dim=1)
        .le(1e-6 * outputs.abs().flatten(1).amax(dim=1))
        .tolist()
    )


def is_own(name: str) -> bool:
    """Whether a name stands for a function of the user's own."""
    return ":" in name


def load_own(name: str) -> Callable[..., Any]:
    """Import the user's function 'package.module:function'; `InputError` where that fails."""
    module, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # noqa: BLE001 (importing runs the user's code: anything may come)
        raise InputError(
            f"utility {name!r} cannot be imported: {_told(error)}",
            where=_WHERE,
            expected="an importable function, 'package.module:function'",
            do="install its package, or put the folder it is in on PYTHONPATH",
        ) from None
    if not callable(function):
        raise InputError(
            f"utility {name!r} is not callable but of type {type(function).__name__}",
            where=_WHERE,
            expected=_SIGNATURE,
        )
    return function  # type: ignore[no-any-return]


def source_of_utilities(names: Sequence[str]) -> dict[str, str]:
    """Hash of the source of each of the user's own functions, by name.

    It covers the module that the name states and the one that defines the function, but not what
    these import.
    """
    return {name: _source(name, load_own(name)) for name in names if is_own(name)}


def _source(name: str, function: Callable[..., Any]) -> str:
    module = name.partition(":")[0]
    paths = {
        one: getattr(sys.modules.get(one), "__file__", None)
        for one in {module, getattr(function, "__module__", None) or module}
    }
    return digest({one: sha256(Path(path)) if path else "built in" for one, path in paths.items()})


def _own_scores(name: str, outputs: Tensor, y: Tensor, broken: Tensor) -> Tensor:
    """What the user's function says of every model that is not broken `(models,)`."""
    function = load_own(name)
    scores = outputs.detach().double()
    scores = scores.squeeze(-1) if y.is_floating_point() else torch.softmax(scores, dim=-1)
    y_true, y_score = y.cpu().numpy(), scores.cpu().numpy()
    found = [
        # copies, so that a function that writes into what it gets changes no other's
        math.nan if bad else _own_score(name, function, y_true.copy(), y_score[i].copy())
        for i, bad in enumerate(broken.tolist())
    ]
    return torch.tensor(found, dtype=torch.float64, device=outputs.device)


def _own_score(name: str, function: Callable[..., Any], y_true: Any, y_score: Any) -> float:
    try:
        found = function(y_true, y_score)
    except Exception as error:  # noqa: BLE001 (the user's code: anything may come)
        raise InputError(
            f"utility {name!r} failed: {_told(error)}", where=_WHERE, expected=_SIGNATURE
        ) from None
    if not isinstance(found, Real) or not math.isfinite(found):
        shown = str(found) if isinstance(found, Real) else f"a {type(found).__name__}"
        raise InputError(f"utility {name!r} returned {shown}", where=_WHERE, expected=_SIGNATURE)
    return float(found)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _occurring(y: Tensor) -> list[int]:
    """Codes of the classes that occur, ascending."""
    return sorted(set(y.tolist()))


def _same(y: Tensor) -> bool:
    return bool((y == y[0]).all())


def _errors(outputs: Tensor, y: Tensor) -> Tensor:
    """Prediction minus label `(models, rows)`."""
    return outputs.squeeze(-1).double() - y.double()


def _is_class(codes: Tensor, outputs: Tensor) -> Tensor:
    """Boolean `(…, rows, classes)`: one-hot of class codes `(…, rows)`."""
    return codes.unsqueeze(-1) == torch.arange(outputs.shape[-1], device=codes.device)


def _mean_by_class(values: Tensor, member: Tensor) -> Tensor:
    """Mean of `(models, rows)` over each class's rows `(models, classes)`; NaN where it has none.

    member: boolean `(rows, classes)`.
    """
    return torch.stack([values[:, rows].mean(dim=-1) for rows in member.T], dim=-1)


def _area(score: Tensor, positive: Tensor) -> Tensor:
    """Area under the ROC of scores `(models, rows)`, from the positive rows' ranks; ties count
    half, by the mean of the ranks that they share.
    """
    ordered = score.sort(dim=-1).values
    chosen = score[:, positive].contiguous()
    below = torch.searchsorted(ordered, chosen)
    rank = (below + torch.searchsorted(ordered, chosen, right=True) + 1).double() / 2
    n = positive.sum().double()
    return (rank.sum(dim=-1) - n * (n + 1) / 2) / (n * (len(positive) - n))
