"""Utilities: performance of a batch of models on the test set, always "higher is better".

A name with a colon, 'package.module:function', is a function of the user's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from unshapley.data.tables import TEXT
from unshapley.errors import InputError
from unshapley.extensions import find, is_import_path, source_of
from unshapley.game import scores
from unshapley.game.own_utility import OwnScore, check_signature
from unshapley.game.units import UNITS, unit_of
from unshapley.game.utility import WHERE, Utility, vary
from unshapley.models import choices, tokens

ANY = "any"
EXAMPLES = {
    "classification": ("neg_log_loss", "accuracy"),
    "regression": ("neg_mse", "r2"),
    TEXT: ("log_likelihood", "token_accuracy"),
}
"""Utilities by task, for messages."""


_BUILT_IN = (
    Utility("accuracy", "classification", UNITS["accuracy"], scores.accuracy, rows=scores.hits),
    Utility(
        "balanced_accuracy", "classification", UNITS["balanced_accuracy"], scores.balanced_accuracy
    ),
    Utility("macro_f1", "classification", UNITS["macro_f1"], scores.macro_f1),
    Utility(
        "neg_log_loss",
        "classification",
        UNITS["neg_log_loss"],
        scores.neg_log_loss,
        rows=lambda outputs, y: -scores.cross_entropy(outputs, y),
    ),
    Utility(
        "neg_brier",
        "classification",
        UNITS["neg_brier"],
        scores.neg_brier,
        rows=lambda outputs, y: -scores.squared_distance(outputs, y),
    ),
    Utility("auroc", "classification", UNITS["auroc"], scores.auroc, varied=True),
    Utility(
        "recall_per_class",
        "classification",
        UNITS["recall_per_class"],
        scores.recall_per_class,
        per_class=True,
    ),
    Utility(
        "neg_log_loss_per_class",
        "classification",
        UNITS["neg_log_loss_per_class"],
        scores.neg_log_loss_per_class,
        per_class=True,
    ),
    Utility(
        "neg_mse",
        "regression",
        UNITS["neg_mse"],
        scores.neg_mse,
        rows=lambda outputs, y: -scores.errors(outputs, y).square(),
    ),
    Utility(
        "neg_mae",
        "regression",
        UNITS["neg_mae"],
        scores.neg_mae,
        rows=lambda outputs, y: -scores.errors(outputs, y).abs(),
    ),
    Utility("r2", "regression", UNITS["r2"], scores.r2, varied=True),
    Utility(
        "log_likelihood",
        TEXT,
        UNITS["log_likelihood"],
        tokens.log_likelihood,
        rows=tokens.log_probabilities,
        weights=tokens.tokens_of,
    ),
    Utility(
        "token_accuracy",
        TEXT,
        UNITS["token_accuracy"],
        tokens.token_accuracy,
        rows=tokens.hits,
        weights=tokens.tokens_of,
    ),
    Utility(
        "neg_bits_per_byte",
        TEXT,
        UNITS["neg_bits_per_byte"],
        tokens.neg_bits,
        per_byte=True,
        rows=tokens.bits,
        weights=tokens.tokens_of,
    ),
    Utility(
        "choice_accuracy",
        TEXT,
        UNITS["choice_accuracy"],
        choices.accuracy,
        asks=True,
        rows=choices.hits,
        weights=choices.questions_of,
    ),
    Utility(
        "choice_log_likelihood",
        TEXT,
        UNITS["choice_log_likelihood"],
        choices.log_likelihood,
        asks=True,
        rows=choices.log_probabilities,
        weights=choices.questions_of,
    ),
)
UTILITIES: Mapping[str, Utility] = {utility.name: utility for utility in _BUILT_IN}


def build_utility(name: str, task: str | None = None) -> Utility:
    """The utility of that name; `InputError` where there is none, or it is no function."""
    target = find(name, UTILITIES, "utility", WHERE, f" for {task}" if task else "")
    if isinstance(target, Utility):
        return target
    check_signature(name, target, WHERE)
    path = name if is_import_path(name) else f"{target.__module__}:{target.__qualname__}"
    return Utility(
        name,
        ANY,
        unit_of(name),
        OwnScore(name, target, WHERE),
        source=source_of(path, target),
    )


def build_utilities(
    names: Sequence[str], task: str | None = None, bytes_per_token: float | None = None
) -> tuple[Utility, ...]:
    """The utilities of these names, the first of which is the primary one.

    bytes_per_token: mean over what is predicted of a test set of text that is going to be measured,
    0 if not known. Raises `InputError` for a utility that does not exist, does not fit the task or
    is named twice, for a primary one that is not one number a model, and for one by bytes where
    these are not known.
    """
    utilities = tuple(build_utility(name, task) for name in names)
    if bytes_per_token is not None:
        utilities = tuple(_by_bytes(u, bytes_per_token) if u.per_byte else u for u in utilities)
    own = [utility.name for utility in utilities if utility.source is not None]
    if task == TEXT and own:
        raise InputError(
            f"{own[0]} is a function of your own, and of text there is no table of labels and "
            "probabilities to call it with",
            where=WHERE,
            expected=", ".join(name for name, u in UTILITIES.items() if u.task == TEXT),
        )
    for utility in utilities:
        if task is not None and utility.task not in (task, ANY):
            raise InputError(
                f"{utility.name} is a utility for {utility.task}, and the task is {task}",
                where=WHERE,
                expected=", ".join(n for n, u in UTILITIES.items() if u.task == task)
                + ", or a function of your own as 'package.module:function'" * (task != TEXT),
                do=f"set {WHERE}, for example [{', '.join(EXAMPLES[task])}], or prepare.task",
            )
        if names.count(utility.name) > 1:
            raise InputError(
                f"{utility.name} is named twice", where=WHERE, expected="every utility once"
            )
    if task is not None and utilities and utilities[0].per_class:
        raise InputError(
            f"{names[0]} is a number for every class, and the first utility is the primary one",
            where=WHERE,
            expected="one number a model first, per-class utilities after it",
        )
    return utilities


def _by_bytes(utility: Utility, bytes_per_token: float) -> Utility:
    if not bytes_per_token:
        raise InputError(
            f"{utility.name} needs the bytes of the test set, which schema.json does not state",
            where=WHERE,
            do="run `unshapley prepare` (or `dvc repro`), or take log_likelihood",
        )

    def weights(y: Tensor) -> Tensor:
        return tokens.tokens_of(y) * bytes_per_token

    def score(scores: Tensor, y: Tensor) -> Tensor:
        return tokens.bits(scores, y).sum(dim=-1) / weights(y).sum()

    return replace(utility, score=score, weights=weights)


def scores_of(task: str, y: Tensor | None = None) -> tuple[Utility, ...]:
    """All utilities of a task that are one number a model, and defined on any rows with labels
    like `y`.
    """
    same = y is not None and not vary(y)
    return tuple(
        utility
        for utility in UTILITIES.values()
        if utility.task == task
        and not (utility.per_class or utility.asks or utility.per_byte)
        and not (utility.varied and same)
    )


def evaluate(
    utilities: Sequence[Utility], outputs: Tensor, y: Tensor, classes: Sequence[str] = ()
) -> dict[str, list[float]]:
    """All utilities of a batch of models from one pass, by column, each `(models,)`.

    A model whose outputs are not finite gets NaN, never a score. Raises as `Utility.columns` does.
    """
    broken = ~torch.isfinite(outputs).flatten(1).all(dim=1)
    columns: dict[str, Tensor] = {}
    for utility in utilities:
        columns |= utility.columns(outputs, y, classes)
    return {n: score.masked_fill(broken, math.nan).tolist() for n, score in columns.items()}


def sources_of(utilities: Sequence[Utility]) -> dict[str, str]:
    """Hash of the source of each function of the user's own, by name."""
    return {u.name: u.source for u in utilities if u.source is not None}


def constant_models(outputs: Tensor) -> list[bool]:
    """Which models of a batch answer every row alike."""
    return (
        (outputs - outputs[:, :1])
        .abs()
        .flatten(1)
        .amax(dim=1)
        .le(1e-6 * outputs.abs().flatten(1).amax(dim=1))
        .tolist()
    )
