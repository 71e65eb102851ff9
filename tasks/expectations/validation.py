"""Validate a whole project: every table against its suite, then the verdict by policy."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from tasks.expectations.checking import Findings, check_tables
from tasks.expectations.suites import KINDS, check_suites, load_suite
from unshapley import environment
from unshapley.config import Params
from unshapley.data.names import provider_name
from unshapley.data.preparation import check_prepared
from unshapley.data.tables import Schema, read_table
from unshapley.errors import InputError, ValidationError
from unshapley.files import digest, is_sealed, seal, sha256, write_json
from unshapley.progress import Progress, silent
from unshapley.project import Project

Report = dict[str, Any]
"""`Findings` of one table as JSON."""
SHOWN = 20
"""Tables that an error names; `unshapley validate` prints the findings of all."""


def tables(project: Project) -> dict[str, Path]:
    """Every table on disk, by name: the partitions, the test and the reference set."""
    providers = project.providers()
    if not providers:
        raise InputError(
            "there are no partitions",
            where=project.partitions,
            do="run `unshapley prepare` or `dvc checkout`",
        )
    paths = {name: project.partition(name) for name in providers}
    for name, path in paths.items():
        provider_name(name, where=path)
    for path in (project.test, project.reference):
        if not path.is_file():
            raise InputError("file is missing", where=path, do="run `unshapley prepare`")
    return {**paths, "test": project.test, "reference": project.reference}


def check_complete(project: Project, targets: Sequence[str] = ()) -> None:
    """Raise `InputError` if a partition is missing: of a target, or, without targets, of any
    prepared provider.
    """
    present = tables(project)
    for name in targets or Schema.load(project.schema).providers:
        if name not in present:
            raise InputError(
                f"partition of provider {name!r} is missing",
                where=project.partition(name),
                expected=f"the partition of every {'target' if targets else 'prepared provider'}",
                do="restore it with `dvc checkout`, or run `unshapley prepare`",
            )


def state_of(project: Project) -> str:
    """Hash of all tables, the schema and the suites, which validation results depend on."""
    Schema.load(project.schema)
    suites = {kind: digest(load_suite(project.expectations, kind)) for kind in KINDS}
    hashes = {name: sha256(path) for name, path in tables(project).items()}
    return digest([hashes, suites, sha256(project.schema)])


def check_parameters(project: Project, params: Params) -> None:
    """Raise `InputError` if tables or suites were written with other parameters."""
    schema = Schema.load(project.schema)
    check_prepared(schema, params, project.schema)
    check_suites(project.expectations, params.validation, schema)


def validate_project(
    project: Project,
    targets: Sequence[str] = (),
    state: str | None = None,
    progress: Progress = silent,
) -> list[Report]:
    """Check all tables on disk. Findings are stored and reused until a table or a suite changes.

    state: what `state_of` gives, where the caller has it. Raises `InputError` if the table of a
    target, or without targets of any provider, is missing.
    """
    check_complete(project, targets)
    code = environment.source_hash("tasks", "unshapley")
    version = [importlib.metadata.version("great-expectations"), code]
    kept = project.results / f"validate-{digest([state or state_of(project), *version])}.json"
    if kept.is_file():
        with contextlib.suppress(ValueError):
            result = json.loads(kept.read_text(encoding="utf-8"))
            if is_sealed(result):
                reports: list[Report] = result["content"]
                return reports
    new = [_as_json(findings) for findings in _check(project, progress)]
    write_json(kept, seal(new))
    # converted as later runs will read it, so that all runs return the same
    return cast("list[Report]", json.loads(json.dumps(new)))


def _as_json(findings: Findings) -> Report:
    report = asdict(findings)
    if not report["examples"]:  # as tables of numbers have none
        del report["examples"]
    return report


def _check(project: Project, progress: Progress) -> list[Findings]:
    paths = tables(project)
    suites = {kind: load_suite(project.expectations, kind) for kind in KINDS}
    return check_tables(
        list(paths),
        lambda name: read_table(paths[name]),
        suites,
        Schema.load(project.schema),
        progress,
    )


def verdict(reports: Sequence[Report], policy: str) -> dict[str, str]:
    """Quarantined providers with the reason; `ValidationError` if the run must stop.

    The run always stops if the test or reference set fails.
    """
    failed = {r["table"]: "; ".join(r["critical"]) for r in reports if r["critical"]}
    stops = [n for n in failed if policy == "stop" or n in ("test", "reference")]
    if stops:
        raise ValidationError(
            f"{len(failed)} of {len(reports)} tables break their expectations\n"
            + "\n".join(f"  {name}: {failed[name]}" for name in [*failed][:SHOWN])
            + (f"\n  and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""),
            do="correct the rows or change the suites in data/expectations"
            + (", or set validation.policy to quarantine" if policy == "stop" else ""),
        )
    return failed
