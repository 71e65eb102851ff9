"""The command that compares unlearners with real retraining."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.common import JsonOption, ProjectOption, options_for, print_json, reported
from unshapley.project import Project

if TYPE_CHECKING:
    from unshapley.config import Params
    from unshapley.fidelity.benchmark import UnlearnerRow


@reported
def fidelity(
    project: ProjectOption = Path(),
    coalitions: Annotated[
        int, typer.Option(min=2, help="Most coalitions compared; all of them where they are fewer.")
    ] = 64,
    seeds: Annotated[int, typer.Option(min=1, help="Models pretrained, each its own seed.")] = 3,
    unlearner: Annotated[
        list[str] | None, typer.Option(help="Unlearner to compare; may be repeated. None: all.")
    ] = None,
    utility: Annotated[
        str | None, typer.Option(help="What is compared; the primary utility if not named.")
    ] = None,
    as_json: JsonOption = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for table and plot. [default: data/fidelity]")
    ] = None,
) -> None:
    """Compare unlearners with real retraining, over several pretraining seeds, with controls.

    Needs the rows of all providers, and retrains the coalitions once a seed.

    Examples: `unshapley fidelity` · `unshapley fidelity --unlearner newton --seeds 1 --json`
    """
    from flows.runtime.portable import parameters

    paths = Project(project)
    params = parameters(paths)
    from flows.runtime.locks import only_run
    from unshapley.valuing.checks import check_parameters

    check_parameters(params)
    folder = out or paths.data / "fidelity"
    with only_run(paths):
        rows = benchmark(
            paths,
            params,
            coalitions=coalitions,
            seeds=seeds,
            names=unlearner or (),
            utility=utility,
            out=folder,
        )
    if as_json:
        print_json([vars(row) for row in rows])
    else:
        from flows.cli.printing import print_benchmark

        print_benchmark(rows, folder)


def benchmark(
    project: Project,
    params: Params,
    *,
    coalitions: int,
    seeds: int,
    names: Sequence[str],
    utility: str | None,
    out: Path,
) -> list[UnlearnerRow]:
    """Compare the unlearners, and write fidelity.csv and fidelity.svg; a mistake in what an option
    gave is reported as one of the option, any other as one of params.yaml.
    """
    from flows.runtime.progress import coalitions_done
    from unshapley.fidelity.on_project import benchmark_project
    from unshapley.results.report.benchmark import write_benchmark

    given = {"valuation.unlearner": "--unlearner"} if names else {}
    given |= {"valuation.utilities": "--utility"} if utility else {}
    with options_for(given), options_for({"valuation.budget": "--coalitions"}, do="raise it"):
        rows = benchmark_project(
            project,
            params,
            coalitions=coalitions,
            seeds=seeds,
            names=names,
            utility=utility,
            progress=coalitions_done,
        )
    write_benchmark(rows, out)
    return rows


COMMANDS = (fidelity,)
