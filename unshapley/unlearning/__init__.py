"""Unlearners: one file for each, and one line in this registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from unshapley.errors import InputError
from unshapley.extensions import check_parameters_of, find, source_of
from unshapley.unlearning.auto import AutoUnlearner
from unshapley.unlearning.base import Unlearner
from unshapley.unlearning.ekfac import EkfacUnlearner
from unshapley.unlearning.finetune import FinetuneUnlearner
from unshapley.unlearning.gradient_ascent import GradientAscentUnlearner
from unshapley.unlearning.hybrid import HybridUnlearner
from unshapley.unlearning.natural_gradient import NaturalGradientUnlearner
from unshapley.unlearning.neggrad_plus import NegGradPlusUnlearner
from unshapley.unlearning.newton import NewtonUnlearner
from unshapley.unlearning.newton_finetune import NewtonFinetuneUnlearner
from unshapley.unlearning.ngram import EkfacNgramUnlearner, NgramProxy
from unshapley.unlearning.none import NoUnlearning
from unshapley.unlearning.npo import NPOUnlearner
from unshapley.unlearning.random_label import RandomLabelUnlearner
from unshapley.unlearning.retrain import RetrainUnlearner, TruncatedRetrainUnlearner
from unshapley.unlearning.rewind_finetune import RewindFinetuneUnlearner
from unshapley.unlearning.ridge_head import RidgeHeadUnlearner
from unshapley.unlearning.scrub import ScrubUnlearner
from unshapley.unlearning.short_retrain import ShortRetrainUnlearner
from unshapley.unlearning.shrink_finetune import ShrinkFinetuneUnlearner
from unshapley.unlearning.simnpo import SimNPOUnlearner
from unshapley.unlearning.task_vector import TaskVectorUnlearner

WHERE = "valuation.unlearner"
UNLEARNERS: Mapping[str, type[Unlearner]] = {
    kind.name: kind
    for kind in (
        AutoUnlearner,
        HybridUnlearner,
        NewtonFinetuneUnlearner,
        NaturalGradientUnlearner,
        ShrinkFinetuneUnlearner,
        FinetuneUnlearner,
        ShortRetrainUnlearner,
        RewindFinetuneUnlearner,
        NegGradPlusUnlearner,
        ScrubUnlearner,
        RandomLabelUnlearner,
        NewtonUnlearner,
        RidgeHeadUnlearner,
        EkfacUnlearner,
        NgramProxy,
        EkfacNgramUnlearner,
        GradientAscentUnlearner,
        NPOUnlearner,
        SimNPOUnlearner,
        TaskVectorUnlearner,
        RetrainUnlearner,
        TruncatedRetrainUnlearner,
        NoUnlearning,
    )
}


def build_unlearner(name: str, options: Mapping[str, Any] | None = None) -> Unlearner:
    """The unlearner of that name: built in, installed, or your own as 'package.module:Class'.

    Raises `InputError` for an unknown name, an object that is not an unlearner, or a wrong option.
    """
    kind = find(name, UNLEARNERS, "unlearner", WHERE)
    check_kind(name, kind)
    try:
        unlearner: Unlearner = kind(**(options or {}))
    except (ValidationError, TypeError) as error:
        raise InputError(
            _explain(error, kind),
            where="valuation.options",
            expected=f"options of {name}: {', '.join(kind.model_fields) or 'none'}",
        ) from None
    return unlearner


def check_kind(name: str, kind: Any) -> None:
    """Raise `InputError` if `kind` is not a complete subclass of `Unlearner`."""
    if not (isinstance(kind, type) and issubclass(kind, Unlearner)):
        description = (
            "another class" if isinstance(kind, type) else f"of type {type(kind).__name__}"
        )
        raise InputError(
            f"unlearner {name!r} is {description}",
            where=WHERE,
            expected="a subclass of unshapley.unlearning.Unlearner",
        )
    missing = [a for a in ("name", "retain_free") if not hasattr(kind, a)]
    if kind.__call__ is Unlearner.__call__:
        missing.append("__call__")
    if missing:
        raise InputError(
            f"unlearner {name!r} lacks {', '.join(missing)}",
            where=WHERE,
            expected="name and retain_free as class variables, and __call__(pretrained, staying)",
            do="see CONTRIBUTING.md, or the files of unshapley/unlearning",
        )
    check_parameters_of(kind.__call__, ("self", "pretrained", "staying"), name, WHERE)


def check_task(unlearner: Unlearner, *, text: bool) -> None:
    """Raise `InputError` if the unlearner is not for such rows: `text`, or others."""
    if unlearner.of_text not in (None, text):
        fitting = [n for n, kind in UNLEARNERS.items() if kind.of_text in (None, text)]
        raise InputError(
            f"{unlearner.name} is {'not ' if text else ''}for language models"
            + ("" if text else " only"),
            where=WHERE,
            expected=f"one of {', '.join(fitting)}",
            do=f"set {WHERE}: auto",
        )


def source_of_unlearner(unlearner: Unlearner) -> str | None:
    """Hash of the source of a user's own unlearner; None for built-in ones."""
    kind = type(unlearner)
    if kind in UNLEARNERS.values():
        return None
    return source_of(f"{kind.__module__}:{kind.__qualname__}", kind)


def _explain(error: ValidationError | TypeError, kind: type[Unlearner]) -> str:
    if isinstance(error, TypeError):
        return str(error)
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"{kind.name} has no option {key!r}"
    return f"{key} = {first['input']!r}: {first['msg']}"


__all__ = ["UNLEARNERS", "Unlearner", "build_unlearner", "check_task", "source_of_unlearner"]
