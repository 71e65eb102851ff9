"""Commands that look back: valuations over git's history, and two of them side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.common import JsonOption, ProjectOption, print_json, reported, warn
from unshapley.project import Project

CsvOption = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Also write the table to this file.")
]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Also write a page with a picture.")
]


@reported
def history(
    revision: Annotated[
        str, typer.Argument(metavar="[REVISION]", help="It and its ancestors are listed.")
    ] = "HEAD",
    project: ProjectOption = Path(),
    last: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the newest N valuations.")
    ] = None,
    tagged: Annotated[bool, typer.Option("--tagged", help="Only valuations with a tag.")] = False,
    as_json: JsonOption = False,
    csv: CsvOption = None,
    html: HtmlOption = None,
) -> None:
    """Valuations over git's history: when, who, how good, and what changed since the one before.

    A valuation that no commit holds yet comes last. --json and --csv give all values too, --html a
    picture of them over time. See docs/history.md.

    Examples: `unshapley history` · `unshapley history --tagged --html values.html`
    """
    from unshapley.analysis.history import describe, history_table
    from unshapley.analysis.history import history as valuations
    from unshapley.results.githistory import is_shallow

    paths = Project(project)
    entries = valuations(paths, revision, last=last, tagged=tagged)
    if csv:
        from unshapley.files import write_csv

        write_csv(history_table(entries), csv)
    if html:
        from unshapley.results.report.history_pages import history_page

        _write(html, history_page([describe(entry) for entry in entries]))
    if as_json:
        print_json([describe(entry) for entry in entries])
    else:
        from flows.cli.printing_records import print_history

        print_history(entries)
    if is_shallow(project):
        warn("note: this clone is shallow; `git fetch --unshallow` brings older valuations")


@reported
def compare(
    before: Annotated[
        str,
        typer.Argument(metavar="[A]", help="Revision or tag of git, else path of a manifest."),
    ] = "HEAD",
    after: Annotated[
        str | None, typer.Argument(metavar="[B]", help="The same. None: what stands here now.")
    ] = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
    csv: CsvOption = None,
    html: HtmlOption = None,
) -> None:
    """Two valuations side by side: what changed, and which values by more than noise.

    Differences are B − A. Without names, what stands here is compared with git's last commit. What
    the intervals assume is printed below them. See docs/history.md.

    Examples: `unshapley compare` · `unshapley compare valuation/2026-11-20-8c1f02aa HEAD --json`
    """
    from unshapley.analysis.comparison import compare as compared
    from unshapley.analysis.comparison import describe, table
    from unshapley.results.revisions import find_valuation, working_tree

    paths = Project(project)
    comparison = compared(
        find_valuation(paths, before),
        working_tree(paths) if after is None else find_valuation(paths, after),
    )
    if csv:
        import pandas as pd

        from unshapley.files import write_csv

        write_csv(pd.DataFrame(table(comparison)), csv)
    if html:
        from unshapley.results.report.history_pages import comparison_page

        _write(html, comparison_page(describe(comparison)))
    if as_json:
        print_json(describe(comparison))
    else:
        from flows.cli.printing_records import print_comparison

        print_comparison(comparison)


def _write(path: Path, text: str) -> None:
    from unshapley.files import written_whole

    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")


COMMANDS = (history, compare)
