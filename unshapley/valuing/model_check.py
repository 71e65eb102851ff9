"""Which unlearners work on a model, and what a coalition costs by each."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unshapley.config import ValuationSettings
from unshapley.data.tables import TEXT, Schema
from unshapley.errors import InputError, UnshapleyError
from unshapley.game.coalitions import Coalitions, chunks
from unshapley.game.judging import ModelScore, score_model
from unshapley.game.loading import LoadedGame, load_game
from unshapley.game.measuring import measure
from unshapley.game.memory import bytes_per_coalition, chunk_size
from unshapley.models.batching import NOT_BATCHABLE, is_batchable
from unshapley.models.chains import chain_of
from unshapley.models.store import ModelRecord
from unshapley.models.training import trainable
from unshapley.project import Project
from unshapley.unlearning import UNLEARNERS, Unlearner, build_unlearner, check_task
from unshapley.unlearning.auto import AutoUnlearner, without_rows
from unshapley.valuing.planning import fitting_coalitions

MIB = 2**20


@dataclass(frozen=True)
class UnlearnerCheck:
    """How an unlearner did on a few coalitions.

    milliseconds: wall-clock time a coalition on one thread, scores included; measured_mb: what this
    process grew by, a coalition; estimated_mb: by which chunks are sized. None where it was not
    measured; note: why it does not work, or what is to be known of it.
    """

    unlearner: str
    works: bool
    control: bool
    milliseconds: float | None = None
    measured_mb: float | None = None
    estimated_mb: float | None = None
    note: str = ""


@dataclass(frozen=True)
class ModelCheck:
    """What a project's model is, its scores, and the unlearners that work on it."""

    model: dict[str, Any]
    scores: list[ModelScore]
    unlearners: list[UnlearnerCheck]


def check_model(project: Project, settings: ValuationSettings, coalitions: int) -> ModelCheck:
    """Measure so many coalitions by every unlearner, each with its default options but the one that
    `settings` choose.

    Raises `InputError` where model, rows or statistics are missing, and `UnshapleyError` if no
    unlearner works.
    """
    record = ModelRecord.load(project.model)
    players = tuple(sorted(settings.targets or record.partitions))
    device, utilities = settings.device, settings.utilities
    game = load_game(project, players, "curvature", device, utilities)
    scores = score_model(game.pretrained, record.seen_by_model(Schema.load(project.schema)))
    compared = _of_all_sizes(game, fitting_coalitions(settings, len(players)), coalitions)
    rows = [_check(game, name, settings, compared) for name in UNLEARNERS]
    if not any(row.works and not row.control for row in rows):
        raise UnshapleyError("\n  ".join(["no unlearner works on this model", *map(_line, rows)]))
    return ModelCheck(_described(game), scores, rows)


def _of_all_sizes(game: LoadedGame, candidates: Coalitions, count: int) -> Coalitions:
    """So many, evenly spaced by the rows that they keep."""
    share = game.pretrained.share(game.staying(candidates)).cpu().numpy()
    order = np.argsort(share, kind="stable")
    spaced = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    chosen: Coalitions = candidates[order[spaced]]
    return chosen


def _check(
    game: LoadedGame, name: str, settings: ValuationSettings, coalitions: Coalitions
) -> UnlearnerCheck:
    """One row of the table."""
    kind = UNLEARNERS[name]
    chosen = name == settings.unlearner
    unlearner = build_unlearner(name, settings.options if chosen else {})
    note = "valuation.unlearner" if chosen else ""
    if isinstance(unlearner, AutoUnlearner) and unlearner.method is None:
        if game.retrainable:
            words = "takes one of these, as a few retrained coalitions say"
            return UnlearnerCheck(name, True, kind.control, note=_both(note, words))
        method = without_rows(game.pretrained)
        unlearner = unlearner.model_copy(update={"method": method, "retrain_below": 0.0})
        note = _both(note, f"is {method} here, as nothing can be retrained")
    try:
        check_task(unlearner, text=game.task == TEXT)
        figures = _measured(game, unlearner, settings, coalitions)
    except UnshapleyError as error:
        reason = error.what if isinstance(error, InputError) else str(error).splitlines()[0]
        return UnlearnerCheck(name, False, kind.control, note=reason)
    except NOT_BATCHABLE as error:  # of the user's module
        reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        return UnlearnerCheck(name, False, kind.control, note=reason)
    return UnlearnerCheck(name, True, kind.control, *figures, note)


def _both(first: str, second: str) -> str:
    return f"{first}; {second}" if first else second


def _measured(
    game: LoadedGame, unlearner: Unlearner, settings: ValuationSettings, coalitions: Coalitions
) -> tuple[float, float | None, float]:
    """Milliseconds, MiB and estimated MiB a coalition."""
    fitting = fitting_coalitions(settings, len(game.players))
    fitted = unlearner.fitted(game.pretrained, game.staying(fitting))
    size = min(chunk_size(game, fitted, coalitions, settings), len(coalitions))
    utilities = game.utilities[:1]
    measure(game, fitted, coalitions[:1], utilities)  # what only the first one waits for

    seconds = 0.0

    def run() -> None:
        nonlocal seconds
        start = time.perf_counter()
        for part in chunks(coalitions, size):
            measure(game, fitted, part, utilities)
        seconds = time.perf_counter() - start

    grown = grown_by(run)
    estimated = bytes_per_coalition(game, fitted, coalitions) / MIB
    return 1000 * seconds / len(coalitions), None if grown is None else grown / size, estimated


def grown_by(run: Callable[[], None]) -> float | None:
    """By how many MiB the resident memory of this process grew at most while `run` ran; None where
    the kernel does not say.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what is free but kept would hide what is needed
    status = Path("/proc/self/status")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak
        before = _kibibytes(status, "VmRSS:")
    except OSError:
        run()
        return None
    run()
    return max(0.0, _kibibytes(status, "VmHWM:") - before) / 2**10


def _kibibytes(status: Path, key: str) -> float:
    lines = status.read_text(encoding="utf-8").splitlines()
    return float(next(line for line in lines if line.startswith(key)).split()[1])


def _described(game: LoadedGame) -> dict[str, Any]:
    """What the model is, for people and programs."""
    pretrained, record = game.pretrained, game.record
    tensors = [pretrained.trained[name] for name in trainable(pretrained.model)]
    runs = "one after the other: torch.func cannot batch it"
    if is_batchable(pretrained.model):
        runs = "many at once, by torch.func"
    if chain_of(pretrained.model) is not None:
        runs = "many at once, by matrix products"
    return {
        "architecture": record.recipe.architecture,
        "parameters": sum(tensor.numel() for tensor in tensors),
        "dtype": ", ".join(
            sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors})
        ),
        "runs": runs,
        "retrainable": game.retrainable,
        "origin": "trained here" if record.imported is None else record.imported.sentence(),
        "convergence": None if record.convergence is None else record.convergence.sentence(),
    }


def _line(row: UnlearnerCheck) -> str:
    return f"{row.unlearner}: {row.note}"
