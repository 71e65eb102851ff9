"""Validate a whole project: every table against its suite, then the verdict by policy."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from tasks.expectations import KINDS, Index, check_suites, check_table, load_suite
from unshapley.config import Params
from unshapley.errors import InputError, ValidationError
from unshapley.files import digest, sha256
from unshapley.preparation import check_prepared
from unshapley.project import Project
from unshapley.rows import Schema, fingerprints, read_table

Report = dict[str, Any]
"""What was found in one table, as `Findings` in JSON."""

_INDEX = threading.Lock()


def tables(project: Project) -> dict[str, Path]:
    """Every table on disk, by name: the partitions, the test and the reference set."""
    providers = project.providers()
    if not providers:
        raise InputError(
            "no partition is there",
            where=project.partitions,
            do="run `unshapley prepare` or `dvc checkout`",
        )
    paths = {name: project.partition(name) for name in providers}
    reserved = sorted(set(paths) & set(KINDS))
    if reserved:
        raise InputError(
            f"a provider cannot be called {reserved[0]!r}",
            where=paths[reserved[0]],
            do="rename its partition",
        )
    for path in (project.test, project.reference):
        if not path.is_file():
            raise InputError("file is missing", where=path, do="run `unshapley prepare`")
    return {**paths, "test": project.test, "reference": project.reference}


def check_complete(project: Project, targets: Sequence[str] = ()) -> None:
    """Raise `InputError` where a partition is missing: of a target, or, where none are named, of
    any provider that was prepared.
    """
    there = tables(project)
    for name in targets or Schema.load(project.schema).providers:
        if name not in there:
            raise InputError(
                f"partition of provider {name!r} is missing",
                where=project.partition(name),
                expected=f"the partition of every {'target' if targets else 'prepared provider'}",
                do="restore it with `dvc checkout`, or run `unshapley prepare`",
            )


def state_of(project: Project) -> str:
    """One hash of all tables, schema and suites: what a validation result depends on."""
    Schema.load(project.schema)
    suites = {kind: digest(load_suite(project.expectations, kind)) for kind in KINDS}
    hashes = {name: sha256(path) for name, path in tables(project).items()}
    return digest([hashes, suites, sha256(project.schema)])


def check_parameters(project: Project, params: Params) -> None:
    """Raise `InputError` where tables or suites were not made with these parameters."""
    check_prepared(Schema.load(project.schema), params, project.schema)
    check_suites(project.expectations, params.validation)


def validate_one(root: Path, name: str, state: str) -> Report:
    """Check one table of the project, whose content hashes to `state`."""
    project = Project(root)
    kind = kind_of(name)
    suite = load_suite(project.expectations, kind)
    schema = Schema.load(project.schema)
    frame = read_table(tables(project)[name])
    return asdict(check_table(frame, name, kind, suite, schema, index_of(root, state)))


def kind_of(name: str) -> str:
    """Which suite a table is held against."""
    return name if name in ("test", "reference") else "partition"


def validate_project(project: Project, targets: Sequence[str] = ()) -> list[Report]:
    """Check all tables that are there, one after the other: of the targets at least, or, where
    none are named, of all providers.
    """
    check_complete(project, targets)
    state = state_of(project)
    return [validate_one(project.root, name, state) for name in tables(project)]


def verdict(reports: Sequence[Report], policy: str) -> dict[str, str]:
    """Quarantined providers with the reason; `ValidationError` where the run must stop.

    A test or reference set that fails always stops it.
    """
    failed = {r["table"]: "; ".join(r["critical"]) for r in reports if r["critical"]}
    stops = [n for n in failed if policy == "stop" or n in ("test", "reference")]
    if stops:
        raise ValidationError(
            f"{len(failed)} of {len(reports)} tables break their expectations\n"
            + "\n".join(f"  {name}: {failed[name]}" for name in failed),
            do="correct the rows or change the suites in data/expectations"
            + (", or set validation.policy to quarantine" if policy == "stop" else ""),
        )
    return failed


def index_of(root: Path, state: str) -> Index:
    """Fingerprints of the rows of all tables, computed once a process."""
    with _INDEX:
        return _index(root, state)


@lru_cache(maxsize=2)
def _index(root: Path, state: str) -> Index:
    project = Project(root)
    schema = Schema.load(project.schema)
    return {
        name: fingerprints(read_table(path), schema.features)
        for name, path in tables(project).items()
    }
