"""Commands about a model that was trained elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.common import (
    JsonOption,
    ProjectOption,
    options_for,
    print_json,
    reported,
    start,
    warn,
)
from unshapley.project import Project


@reported
def import_model(
    path: Annotated[
        Path,
        typer.Argument(
            help="Its weights: .safetensors, or .pt or .pth of a state_dict; or a .pt2 of "
            "torch.export, which has an architecture too; of text also a folder of Hugging Face, "
            "of a model or of LoRA adapters."
        ),
    ],
    project: ProjectOption = Path(),
    architecture: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME",
            help="Class or function that makes its module; else pretrain.architecture.",
        ),
    ] = None,
    kwargs: Annotated[
        str | None, typer.Option(metavar="JSON", help="Keyword arguments of the architecture.")
    ] = None,
    initial: Annotated[
        Path | None, typer.Option(help="Its weights before training, for U(none).")
    ] = None,
    none: Annotated[
        str | None,
        typer.Option(metavar="WHAT", help="Else U(none): fresh:SEED for new weights, or constant."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="project", help="Section pretrain is how it was trained: check by retraining."
        ),
    ] = None,
    accept_score: Annotated[
        bool, typer.Option("--accept-score", help="Also if it is no better than a constant.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Value a model that you have trained elsewhere, in place of pretraining one.

    It was trained on the rows of data/partitions, with their columns as they are. No file runs
    code: of a pickled one only tensors are read.

    Examples: `unshapley import-model net.safetensors --architecture my_net:Net` ·
    `unshapley import-model net.pt --architecture my_net:Net --none constant`
    """
    start(project)
    from flows.runtime.portable import parameters

    paths = Project(project)
    params = parameters(paths)
    from flows.importing import import_model as take
    from flows.importing import source_of
    from flows.readiness import make_tables_ready
    from flows.runtime.locks import only_run
    from flows.runtime.progress import phases
    from unshapley.data.tables import TEXT

    source = source_of(
        path,
        params.pretrain,
        architecture=architecture,
        kwargs=kwargs,
        initial=initial,
        none=none,
        recipe=recipe,
        accept_score=accept_score,
        text=params.prepare.task == TEXT,
    )
    given = {"pretrain.architecture": "--architecture"} if architecture else {}
    given |= {"pretrain.kwargs": "--kwargs"} if architecture or kwargs else {}
    with only_run(paths), options_for(given):
        make_tables_ready(paths, params, warn)
        imported = take(paths, params, source, phases)
    if as_json:
        print_json(
            {
                "model": dict(imported.record.imported or {}),
                "scores": [vars(score) for score in imported.scores],
                "notes": imported.notes,
            }
        )
        return
    from flows.cli.printing_models import print_imported

    print_imported(imported)


@reported
def check_model(
    project: ProjectOption = Path(),
    coalitions: Annotated[
        int, typer.Option(min=1, help="Coalitions measured by each unlearner.")
    ] = 8,
    as_json: JsonOption = False,
) -> None:
    """Show how good the model is, which unlearners work on it, and what a coalition costs.

    Time is that of one thread; memory is what the process grew by beside the estimate by which
    chunks are sized. How true the unlearners are, says `unshapley fidelity`.

    Examples: `unshapley check-model` · `unshapley check-model --coalitions 2 --json`
    """
    from flows.runtime.portable import parameters

    paths = Project(project)
    params = parameters(paths)
    from unshapley.valuing.checks import check_parameters
    from unshapley.valuing.model_check import check_model as check

    check_parameters(params)
    found = check(paths, params.valuation, coalitions)
    if as_json:
        scores, rows = map(vars, found.scores), map(vars, found.unlearners)
        print_json({"model": found.model, "scores": list(scores), "unlearners": list(rows)})
        return
    from flows.cli.printing_models import print_check

    print_check(found)


COMMANDS = (import_model, check_model)
