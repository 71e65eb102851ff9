"""Commands that act on published valuations: payout, seeds, curves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.common import JsonOption, ProjectOption, options_for, print_json, reported
from unshapley.project import Project


@reported
def payout(
    budget: Annotated[str, typer.Option(metavar="AMOUNT", help="What is paid out in all.")],
    project: ProjectOption = Path(),
    floor: Annotated[
        str, typer.Option(metavar="AMOUNT", help="Least that every valued provider gets.")
    ] = "0",
    unit: Annotated[
        str, typer.Option(metavar="AMOUNT", help="Payouts are multiples of it.")
    ] = "0.01",
    as_json: JsonOption = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Also write the table to this file.")
    ] = None,
) -> None:
    """Pay a budget out to the providers, in proportion to their published positive values.

    Nobody gets less than the floor, negative values get just that, quarantined providers nothing.
    Rounded by largest remainders, equal ones by name: the payouts sum to the budget exactly.

    Examples: `unshapley payout --budget 10000` ·
    `unshapley payout --budget 10000 --floor 200 --unit 1 --out payout.csv`
    """
    from unshapley.analysis.payout import amount, pay, write_payouts
    from unshapley.errors import InputError
    from unshapley.results.published import read_published

    if out is not None and out.is_dir():
        raise InputError("is a folder", where=out, expected="a file to write the table to")
    amounts = amount(budget, "--budget"), amount(floor, "--floor"), amount(unit, "--unit")
    published = read_published(Project(project))
    payouts = pay(published.providers, *amounts)
    if out is not None:
        write_payouts(payouts, out)
    if as_json:
        print_json([vars(payout) for payout in payouts])
    else:
        from flows.cli.printing import print_payouts

        print_payouts(payouts, published, out)


@reported
def seeds(
    projects: Annotated[
        list[Path], typer.Argument(metavar="PROJECT PROJECT…", help="Two or more project folders.")
    ],
    as_json: JsonOption = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also write values.csv and differences.csv there."),
    ] = None,
) -> None:
    """Values over several pretrained models: published valuations of other seeds, combined.

    A value depends on the one model that was trained. Projects with the same data and another
    pretrain.seed show by how much: the mean of their values, with the spread in the interval.

    Example: `unshapley seeds . ../seed-1 ../seed-2 --out over-seeds`
    """
    from unshapley.analysis.seeds import combined
    from unshapley.files import write_csv
    from unshapley.results.published import read_published

    folders = [Project(folder) for folder in projects]
    published = [read_published(folder) for folder in folders]
    tables = combined(folders, published)
    if out:
        for name, table in tables.items():
            write_csv(table, out / f"{name}.csv")
    if as_json:
        print_json(tables["values"].to_dict("records"))
        return
    from flows.cli.printing import print_seeds

    print_seeds(tables["values"], f"{published[0].utility} over {len(projects)} models")
    if published[0].warning:
        print(f"warning, of the first: {published[0].warning}")
    if out:
        print(f"written: {out / 'values.csv'}, {out / 'differences.csv'}")


@reported
def curves(
    project: ProjectOption = Path(),
    by: Annotated[
        str, typer.Option(metavar="UNLEARNER", help="How providers are removed: really, or by one.")
    ] = "retrain",
    random: Annotated[
        int, typer.Option(min=2, help="Random orders that the order by value is compared with.")
    ] = 20,
    as_json: JsonOption = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for table and picture. [default: data/curves]")
    ] = None,
) -> None:
    """Remove and add providers in the order of their values: does the utility follow?

    Retrains the model after every step, from both ends and in random orders, and reports the area
    between the curves. Needs a published valuation and, to retrain, the rows of all providers.

    Examples: `unshapley curves` · `unshapley curves --by newton --random 20 --out proof`
    """
    from flows.runtime.portable import parameters

    paths = Project(project)
    params = parameters(paths)
    from flows.runtime.locks import only_run
    from flows.runtime.progress import coalitions_done
    from unshapley.analysis.project_curves import project_curves, write_curves
    from unshapley.valuing.checks import check_parameters

    check_parameters(params)
    folder = out or paths.data / "curves"
    with only_run(paths), options_for({"valuation.unlearner": "--by"}):
        lines = project_curves(paths, params, by=by, random=random, progress=coalitions_done)
        write_curves(lines, folder)
    verdict = lines.verdict
    if as_json:
        figures = {**vars(verdict), "ratios": verdict.ratios, "needed": verdict.needed}
        print_json({**figures, "finding": verdict.finding, "by": by})
        return
    print(verdict)
    print(f"written: {folder / 'curves.csv'}, {folder / 'curves.svg'}")


COMMANDS = (payout, seeds, curves)
