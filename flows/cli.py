"""The command line `unshapley`; heavy imports wait until a command needs them."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.locking import only_run
from flows.reaping import own, reap_servers
from flows.settings import configure
from unshapley.config import load_params
from unshapley.errors import InputError, UnshapleyError
from unshapley.files import unwritable
from unshapley.project import Project

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="What each provider's data is worth to a model: Shapley values by unlearning.\n\n"
    "Exit codes: 0 done, 1 failed, 2 wrong input, 3 not published because untrusted, "
    "6 another run works in the project.",
)

ProjectOption = Annotated[
    Path, typer.Option("--project", "-p", help="Folder that holds params.yaml and data/.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show Prefect's log too.")]

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
CLOSED = {errno.EACCES, errno.EPERM}
"""What keeps a file from being written and is for the user to mend."""

err = Console(stderr=True, highlight=False)


def reported(command: Callable[..., None]) -> Callable[..., None]:
    """End with one clear message and the right exit code; tracebacks are for defects only."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except UnshapleyError as error:
            err.print(f"[bold red]error:[/] {_escape(str(error))}", soft_wrap=True)
            raise typer.Exit(error.exit_code) from None
        except OSError as error:
            if error.errno not in NO_ROOM | CLOSED:
                raise
            where = Path(str(error.filename or "a file"))
            mistake = unwritable(where, error)
            if error.errno in CLOSED:
                mistake = InputError(
                    f"cannot be opened: {error.strerror}", where=where, do="correct its permissions"
                )
            err.print(f"[bold red]error:[/] {_escape(str(mistake))}", soft_wrap=True)
            raise typer.Exit(InputError.exit_code) from None
        except KeyboardInterrupt:
            err.print("interrupted; the same command goes on where this one stopped")
            raise typer.Exit(130) from None

    return wrapper


@app.command()
@reported
def run(
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no table.")] = False,
) -> None:
    """Value the providers: validate, unlearn, aggregate, check, publish.

    A run that was killed goes on where it stopped.

    Examples: `unshapley run` · `unshapley run --project my-data --json`
    """
    _start(project, verbose=verbose)
    place = Project(project)
    params = load_params(place.params)
    from flows.preflight import preflight

    with only_run(place):  # a mistake is told before the server starts, which takes seconds
        preflight(place, params)
    from flows.valuation import valuation

    if "PREFECT_HOME" in os.environ:
        err.print(f"starting Prefect's embedded server, home {os.environ['PREFECT_HOME']}")

    result = valuation(project=project, params=params)
    if as_json:
        _print_json(result)
    elif not quiet:
        _print_values(place)


@app.command()
@reported
def validate(
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
    data_docs: Annotated[
        Path | None, typer.Option(help="Also write Great Expectations' pages to this folder.")
    ] = None,
) -> None:
    """Check partitions, test and reference set against data/expectations.

    Exit code 2 if a table breaks its expectations and the policy is to stop.

    Examples: `unshapley validate` · `unshapley validate --data-docs docs-out`
    """
    _start(project)
    from tasks.validation import check_parameters, validate_project, verdict

    place = Project(project)
    params = load_params(place.params)
    check_parameters(place, params)
    reports = validate_project(place, params.valuation.targets)
    if data_docs:
        from tasks.data_docs import write_data_docs

        err.print(f"Data Docs: {write_data_docs(place, data_docs)}")
    if as_json:
        _print_json(reports)
    else:
        for report in reports:
            texts = [*report["critical"], *(f"(warning) {t}" for t in report["warnings"])]
            print(f"{report['table']}: {'; '.join(texts) or 'meets all expectations'}")
    verdict(reports, params.validation.policy)


@app.command()
@reported
def report(project: ProjectOption = Path(), as_json: JsonOption = False) -> None:
    """Show the last valuation: values, figures and where the report lies.

    Examples: `unshapley report` · `unshapley report --json | jq .values`
    """
    place = Project(project)
    if as_json:
        _print_json(_read_valuation(place))
    else:
        _print_values(place)


@app.command()
@reported
def prepare(project: ProjectOption = Path()) -> None:
    """Write partitions, test and reference set from digits or from data/raw."""
    from unshapley.preparation import prepare as write

    place = Project(project)
    params = load_params(place.params)
    with only_run(place):
        for provider, rows in write(place, params).items():
            print(f"{provider}: {rows} training rows")


@app.command()
@reported
def suites(project: ProjectOption = Path()) -> None:
    """Write the expectation suites that params.yaml and the prepared data ask for."""
    _start(project)
    from tasks.expectations import save_suites
    from unshapley.rows import Schema

    place = Project(project)
    schema = Schema.load(place.schema)
    params = load_params(place.params)
    with only_run(place):
        for path in save_suites(place.expectations, schema, params.validation):
            print(path)


@app.command()
@reported
def pretrain(project: ProjectOption = Path()) -> None:
    """Validate, then pretrain the model and store it with its curvature statistics."""
    _start(project)
    from flows.pretrain import pretrain as train

    place = Project(project)
    params = load_params(place.params)
    with only_run(place):
        record = train(place, params)
    print(", ".join(f"{name} {value:.4f}" for name, value in record.score.items()))
    for provider, reason in record.quarantined.items():
        err.print(f"quarantined {provider}: {_escape(reason)}", soft_wrap=True)


@app.command()
@reported
def curvature(
    project: ProjectOption = Path(),
    provider: Annotated[
        list[str] | None,
        typer.Option(help="Only of this provider, in the basis there is; may be repeated."),
    ] = None,
) -> None:
    """Store curvature statistics of every provider's rows, so that newton can forget them unread.

    Pretraining does so too. With --provider only that provider's rows are read, beside model,
    data/curvature, schema and params.yaml: run it where the rows are, and hand its file over.

    Examples: `unshapley curvature` · `unshapley curvature --provider cleveland`
    """
    from unshapley.curvaturestore import renew

    place = Project(project)
    params = load_params(place.params)
    with only_run(place):
        record = renew(place, params.curvature, provider or ())
    for name in provider or record.providers:
        print(f"{name}: {record.providers[name].rows} rows")


@app.command()
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
    """Hold unlearners against real retraining, over several pretraining seeds, with controls.

    Needs the rows of all providers, and retrains the coalitions once a seed.

    Examples: `unshapley fidelity` · `unshapley fidelity --unlearner newton --seeds 1 --json`
    """
    place = Project(project)
    params = load_params(place.params)
    from flows.fidelity import fidelity as hold

    folder = out or place.data / "fidelity"
    with only_run(place):
        rows = hold(
            place,
            params,
            coalitions=coalitions,
            seeds=seeds,
            names=unlearner or (),
            utility=utility,
            out=folder,
        )
    if as_json:
        _print_json([vars(row) for row in rows])
    else:
        _print_fidelity(rows, folder)


@app.command()
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
    from flows.payout import payout as paid_out

    published, paid = paid_out(Project(project), budget, floor, unit, out)
    if as_json:
        _print_json([vars(one) for one in paid])
    else:
        _print_payout(paid, published, out)


@app.command()
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
    pretrain.seed tell by how much: the mean of their values, with the spread in the interval.

    Example: `unshapley seeds . ../seed-1 ../seed-2 --out over-seeds`
    """
    from flows.seeds import seeds as combine

    first, table = combine([Project(place) for place in projects], out)
    if as_json:
        _print_json(table.to_dict("records"))
        return
    _print_seeds(table, f"{first.utility} over {len(projects)} models")
    if first.warning:
        print(f"warning, of the first: {first.warning}")
    if out:
        print(f"written: {out / 'values.csv'}, {out / 'differences.csv'}")


@app.command()
@reported
def curves(
    project: ProjectOption = Path(),
    by: Annotated[
        str, typer.Option(metavar="UNLEARNER", help="How providers are removed: really, or by one.")
    ] = "retrain",
    random: Annotated[
        int, typer.Option(min=2, help="Random orders that the order by value is held against.")
    ] = 20,
    as_json: JsonOption = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for table and picture. [default: data/curves]")
    ] = None,
) -> None:
    """Remove and add providers in the order of their values: does the utility follow?

    Retrains the model after every step, from both ends and in random orders, and tells the area
    between the curves. Needs a published valuation and, to retrain, the rows of all providers.

    Examples: `unshapley curves` · `unshapley curves --by newton --random 20 --out proof`
    """
    place = Project(project)
    params = load_params(place.params)
    from flows.curves import curves as measure

    folder = out or place.data / "curves"
    with only_run(place):
        found = measure(place, params, by=by, random=random, out=folder)
    verdict = found.verdict
    if as_json:
        figures = {**vars(verdict), "ratios": verdict.ratios, "needed": verdict.needed}
        _print_json({**figures, "finding": verdict.finding, "by": by})
        return
    print(verdict)
    print(f"written: {folder / 'curves.csv'}, {folder / 'curves.svg'}")


@app.command()
@reported
def init(
    folder: Annotated[Path, typer.Argument(help="The new project's folder.")],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Set a key of params.yaml; may be repeated."
        ),
    ] = None,
) -> None:
    """Start a project of your own: params.yaml, expectation suites, and room for raw data.

    Example: `unshapley init my-data --set prepare.source=files --set prepare.label=target`
    """
    from flows.init import init_project

    params = init_project(folder, set_ or [])
    print(f"{params}\nnext, in {folder}: prepare, suites, pretrain, run; raw files go to data/raw")


def main() -> None:
    """Entry point."""
    app()


def _start(project: Path, *, verbose: bool = False) -> None:
    configure(project, verbose=verbose)
    reap_servers()
    own()
    logger = logging.getLogger("unshapley")
    logger.setLevel(logging.INFO)
    if not verbose:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)


def _read_valuation(place: Project) -> dict[str, Any]:
    import csv

    from unshapley.config import Faults
    from unshapley.detection import duplicates, summarize
    from unshapley.files import read_json
    from unshapley.published import read_entries, require_published

    require_published(place)
    manifest = read_json(place.valuation / "manifest.json", do="run `unshapley run`")
    figures = read_json(place.valuation / "metrics.json", do="run `unshapley run`")
    with (place.valuation / "values.csv").open(newline="") as file:
        values = [{k: _number(v) for k, v in row.items()} for row in csv.DictReader(file)]
    content = {"values": values, "metrics": figures}
    entries = read_entries(place.valuation / "values.csv")
    known = {e.provider: e.value for e in entries if e.value is not None}
    faults = Faults.model_validate(manifest["config"]["faults"])
    found = summarize(known, faults)
    if found:
        content["detection"] = found
    if faults.duplicate:
        with (place.valuation / "interactions.csv").open(newline="") as file:
            pairs = {
                (row["provider"], row["other"]): float(row["interaction"])
                for row in csv.DictReader(file)
            }
        copies = duplicates(pairs, faults)
        if copies:
            content["copies"] = copies
    return {**content, "report": str(place.valuation / "report.html")}


def _number(text: str) -> str | float | int | None:
    if not text:
        return None
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _print_values(place: Project) -> None:
    from rich.table import Table

    content = _read_valuation(place)
    figures = content["metrics"]
    table = Table(title=f"Values for {figures['utility']}", title_justify="left")
    for column in ("rank", "provider", "rows", "value", "± std. error", "95 % interval", "status"):
        table.add_column(column, justify="left" if column in ("provider", "status") else "right")
    for row in sorted(content["values"], key=lambda r: r["rank"] or 10**9):
        numbers = ["", "", ""]
        if row["value"] is not None:
            numbers = [f"{row['value']:.4f}", "unknown", "unknown"]
        if row["std_error"] is not None:
            error, low, high = (row[k] for k in ("std_error", "ci_low", "ci_high"))
            numbers[1:] = [f"{error:.4f}", f"{low:.4f} … {high:.4f}"]
        rank = "" if row["rank"] is None else str(row["rank"])
        table.add_row(rank, row["provider"], str(row["rows"]), *numbers, row["status"])
    out = Console(width=None if sys.stdout.isatty() else 100)
    out.print(table)
    check, total = figures["fidelity"], figures["sum_of_values"]
    gap = abs(total - (figures["u_all"] - figures["u_none"]))
    relation = "=" if gap < 1e-6 * max(1.0, abs(total)) else "≠"
    out.print(
        f"sum {total:.6f} {relation} U(all) {figures['u_all']:.6f} "
        f"− U(none) {figures['u_none']:.6f}, {figures['coalitions']} coalitions",
        highlight=False,
    )
    line = f"fidelity {check['status']}"
    if check["rmse"] is None:
        line += f": {check.get('reason') or 'no coalition was retrained to check these values'}"
    else:
        line += (
            f": error against retraining {check['rmse']:.4f}, "
            f"without unlearning {check['rmse_no_unlearning']:.4f}"
        )
    out.print(line, highlight=False)
    if check["weak"]:
        out.print(
            f"[bold red]warning:[/] unlearning explains only {check['explained']:.0%} of what "
            "forgetting does; ranks may be wrong, compare with valuation.unlearner: retrain",
            highlight=False,
        )
    if "detection" in content:
        from unshapley.detection import sentence

        out.print(sentence(content["detection"]), highlight=False, soft_wrap=True)
    if "copies" in content:
        from unshapley.detection import sentence_of_copies

        out.print(sentence_of_copies(content["copies"]), highlight=False, soft_wrap=True)
    out.print(f"report: {content['report']}", highlight=False, soft_wrap=True)


def _print_payout(paid: Sequence[Any], published: Any, written: Path | None) -> None:
    from rich.table import Table

    table = Table(title=f"Payout by values for {published.utility}", title_justify="left")
    for column in ("provider", "value", "share", "95 % interval", "payout", "note"):
        table.add_column(column, justify="left" if column in ("provider", "note") else "right")
    for one in sorted(paid, key=lambda p: (-p.payout, p.value is None, p.provider)):
        numbers = ["", "", ""]
        if one.value is not None:
            span = f"{one.share_low:.2%} … {one.share_high:.2%}"
            numbers = [f"{one.value:.4f}", f"{one.share:.2%}", span]
        table.add_row(_escape(one.provider), *numbers, f"{one.payout:f}", one.note)
    out = Console(width=None if sys.stdout.isatty() else 100, highlight=False)
    out.print(table)
    out.print(f"sum {sum(one.payout for one in paid):f}")
    if published.warning:
        out.print(f"[bold red]warning:[/] {published.warning}")
    if written:
        out.print(f"written: {_escape(str(written))}", soft_wrap=True)


def _print_seeds(found: Any, title: str) -> None:
    from rich.table import Table

    heads = ("value", "95 % interval", "own error", "seeds error")
    table = Table(title=f"Values for {title}", title_justify="left")
    table.add_column("provider")
    for name in heads:
        table.add_column(name, justify="right")
    for one in found.sort_values("rank").itertuples():
        span = f"{one.ci_low:.4f} … {one.ci_high:.4f}"
        errors = f"{one.within_error:.4f}", f"{one.seeds_error:.4f}"
        table.add_row(_escape(one.provider), f"{one.value:.4f}", span, *errors)
    Console(width=None if sys.stdout.isatty() else 100, highlight=False).print(table)


def _print_fidelity(rows: Sequence[Any], folder: Path) -> None:
    from rich.table import Table

    out = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("unlearner", min_width=max(len(row.unlearner.split()[0]) for row in rows))
    heads = ("rmse", "noise floor", "Spearman", "± seeds", "relative L2", "± seeds", "cost")
    for name in heads:
        table.add_column(name, justify="right")
    for row in rows:
        ranks, errors = (row.spearman, row.spearman_std), (row.rel_l2, row.rel_l2_std)
        figures = [row.rmse, row.noise_floor, *ranks, *errors]
        cost = "–" if row.cost_share is None else f"{row.cost_share:.1%}"
        shown = ("–" if figure is None else _short(figure) for figure in figures)
        name = f"{row.unlearner}{' (control)' if row.control else ''}"
        table.add_row(name, *shown, cost)
    out.print(table)
    for row in rows:
        if row.reason:
            out.print(f"{row.unlearner}: {_escape(row.reason)}", soft_wrap=True)
    out.print(f"written: {folder / 'fidelity.csv'}, {folder / 'fidelity.svg'}", soft_wrap=True)


def _short(figure: float) -> str:
    """Three digits, without an exponent for large numbers."""
    return f"{figure:.0f}" if abs(figure) >= 1000 else f"{figure:.3g}"


def _print_json(content: Any) -> None:
    print(json.dumps(content, indent=2, ensure_ascii=False, default=str))


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


from flows import refreshcli, verifycli  # noqa: E402, F401 (their commands are registered on `app`)
