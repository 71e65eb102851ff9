"""Commands for those who begin: inspect tables, start a project with them or without."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.common import JsonOption, print_json, reported, warn
from unshapley.errors import InputError
from unshapley.project import Project

LabelOption = Annotated[str | None, typer.Option(help="Name of the column to predict.")]
ProviderOption = Annotated[
    str | None,
    typer.Option(help="Name of the column that says whose a row is; by default file names do."),
]
NamesOption = Annotated[
    str | None, typer.Option(help="Names of all columns, with commas, for files without a header.")
]

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a key of params.yaml; may be repeated."),
]


@reported
def inspect(
    paths: Annotated[list[Path], typer.Argument(help="Tables or documents, or folders of them.")],
    label: LabelOption = None,
    provider: ProviderOption = None,
    names: NamesOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what tables hold and how they would be read: columns, gaps, classes, rows by provider,
    likely identifiers and leaks; of text (files of text only, or prepare.task=language-model)
    documents, tokens, encoding and copies by provider. Nothing is written.

    Examples: `unshapley inspect exports/` · `unshapley inspect all.csv --label y --provider site` ·
    `unshapley inspect corpus/`
    """
    from unshapley.data.inference import inspect_files, tables_among

    stated = _stated(set_ or [], names)
    if _is_text(paths, stated, label, names):
        from flows.cli.beginning_text import inspect_text

        inspect_text(paths, provider, stated, as_json=as_json)
        return
    inspection = inspect_files(tables_among(paths), label, provider, stated)
    if as_json:
        from dataclasses import asdict

        content = asdict(inspection)
        print_json({**content, "settings": inspection.settings.model_dump(mode="json")})
        return
    from flows.cli.printing_tables import print_inspection

    print_inspection(inspection)


@reported
def init(
    folder: Annotated[Path, typer.Argument(help="The new project's folder.")],
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Tables, pictures or documents, or a folder of them, to copy to data/raw; an "
            "address such as s3://bucket/folder is fetched as DVC fetches; may be repeated."
        ),
    ] = None,
    sql: Annotated[
        str | None,
        typer.Option(help="SQLAlchemy URL of a database; $NAME in it is an environment variable."),
    ] = None,
    query: Annotated[str | None, typer.Option(help="SQL whose rows are the table.")] = None,
    label: LabelOption = None,
    provider: ProviderOption = None,
    test: Annotated[
        Path | None, typer.Option(help="A table, or documents, that judge the models.")
    ] = None,
    names: NamesOption = None,
    set_: SetOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Start a project of your own: params.yaml, and room for raw data.

    With --data the rules that read your tables are inferred from all of them, shown, and written
    to params.yaml, where you can change them. Files of text only, or prepare.task=language-model,
    make a project of a language model.

    Examples: `unshapley init my-data --data exports/ --label disease` ·
    `unshapley init my-data --data all.csv --provider hospital --label disease --test trusted.csv` ·
    `unshapley init my-text --data corpus/` ·
    `unshapley init my-data --sql postgresql+psycopg://me@db/clinic --query "select …" --label y`
    """
    settings = set_ or []
    if data or sql or query:
        with tempfile.TemporaryDirectory() as temporary:
            paths = [_at_hand(text, Path(temporary)) for text in data or []]
            if sql or query:
                fetched, settings = _fetched(sql, query, settings, Path(temporary))
                paths.append(fetched)
            _init_with_tables(folder, paths, label, provider, test, names, settings, yes)
        return
    if label or provider or test or names:
        raise InputError(
            "--label, --provider, --test and --names are about tables",
            where="init",
            do="name tables by --data or --sql, or set keys by --set prepare.label=…",
        )
    from unshapley.new_project import init_project

    if settings:  # else it is what comes with unshapley, and importing torch takes seconds
        _check(folder, settings)
    params = init_project(folder, settings)
    print(f"{params}\nnext, in {folder}: raw files go to data/raw, then `unshapley run`")


def _init_with_tables(
    folder: Path,
    data: Sequence[Path],
    label: str | None,
    provider: str | None,
    test: Path | None,
    names: str | None,
    settings: Sequence[str],
    yes: bool,
) -> None:
    from flows.cli.printing_tables import print_inspection
    from unshapley.data.inference import inspect_files, tables_among
    from unshapley.data.starting import (
        check_own_set,
        doubts,
        init_with_tables,
        with_inferred,
    )
    from unshapley.new_project import check_new

    own = _stated(settings, names)
    if _is_text(data, own, label, names):
        from flows.cli.beginning_text import init_with_text

        agree = partial(_agree, yes)
        init_with_text(folder, data, provider, test, settings, own, agree=agree, check=_check)
        return
    if label is None:
        _check_there(data)
        raise InputError(
            "what is to be predicted?",
            where="--label",
            expected="a column's name",
            do="name it; of documents, say --set prepare.task=language-model",
        )
    if label == provider:
        raise InputError(
            "names the column of --label",
            where="--provider",
            expected="two columns: what is predicted, and whose a row is",
        )
    check_new(Project(folder))
    tables = {
        name: path
        for name, path in tables_among(data).items()
        if test is None or path.resolve() != test.resolve()
    }
    if not tables:
        raise InputError("is the only table", where=test, expected="those of providers beside it")
    inspection = inspect_files(tables, label, provider, own)
    print_inspection(inspection)
    if test is not None:
        check_own_set(test, inspection)
    for note in doubts(inspection):
        warn(f"note: {note}")
    stated = with_inferred(inspection, test, settings)
    if settings:
        _check(folder, stated)
    _agree(yes)
    params = init_with_tables(folder, {**tables, **({test.name: test} if test else {})}, stated)
    print(f"{params}\nnext: `unshapley run --project {shlex.quote(str(folder))}`")


def _check_there(data: Sequence[Path]) -> None:
    """Raise `InputError` for what is not there, or an empty folder, before anything is asked."""
    for path in data:
        if not path.exists():
            raise InputError("there is no such file or folder", where=path)
        if path.is_dir() and not any(path.iterdir()):
            raise InputError("is empty", where=path, expected="tables, pictures or documents")


def _is_text(
    paths: Sequence[Path], stated: Mapping[str, Any], label: str | None, names: str | None
) -> bool:
    """Whether these are documents; `InputError` for what tables only have."""
    from unshapley.data.text_inspection import is_corpus

    if not is_corpus(paths, stated):
        return False
    if label or names:
        raise InputError(
            "is about tables, and these are documents",
            where="--label" if label else "--names",
            do="leave it out",
        )
    return True


def _check(folder: Path, settings: Sequence[str]) -> None:
    """Say before anything is written what would keep a run from succeeding."""
    from flows.preflight import Step, preflight
    from unshapley.new_project import new_params

    preflight(Project(folder), new_params(settings)[1], Step.INIT)


def _at_hand(text: str, folder: Path) -> Path:
    """A path, or a copy in `folder` of what stands elsewhere."""
    from tasks.download import download, is_address

    return download(text, folder) if is_address(text) else Path(text)


def _fetched(
    sql: str | None, query: str | None, settings: Sequence[str], folder: Path
) -> tuple[Path, list[str]]:
    """The rows of a query in a file, and the settings that fetch them again."""
    from unshapley.config import FetchSettings
    from unshapley.data.fetching import fetch

    stated = FetchSettings(url=sql, query=query or "")
    path, _ = fetch(stated, folder)
    named = {"url": stated.url, "query": stated.query}
    return path, [*(f"fetch.{key}={json.dumps(value)}" for key, value in named.items()), *settings]


def _agree(yes: bool) -> None:
    """Ask whether these rules shall be written; `InputError` where nobody can answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError(
            "nobody is there to say whether these rules are right",
            where="init",
            do="run it in a terminal, or add --yes",
        )
    typer.confirm("Write params.yaml with these rules?", default=True, abort=True)


def _stated(settings: Sequence[str], names: str | None) -> dict[str, Any]:
    """Keys of section prepare that the user has set; `names` are those of --names."""
    from unshapley.new_project import settings_as_mapping

    stated: dict[str, Any] = settings_as_mapping(settings).get("prepare") or {}
    if not names:
        return stated
    read = {**(stated.get("read") or {}), "names": [name.strip() for name in names.split(",")]}
    return {**stated, "read": read}


COMMANDS = (init, inspect)
