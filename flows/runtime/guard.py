"""What parameters of a deployment may name where a team shares a server.

Whoever may start runs fills in a form. Under the guard it cannot lead a run to another folder than
those that were registered, nor to code and addresses that the project's params.yaml does not name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flows.runtime.projects import Registered, Registry, parse_projects
from unshapley.config import Params, load_params
from unshapley.errors import InputError
from unshapley.extensions import is_import_path

GUARD = "UNSHAPLEY_PROJECTS"
"""Environment variable of a run: the file of registered projects or, in a container that has none,
its content. Unset: nothing is refused."""
FIXED = ("fetch", "signing", "prepare", "pretrain")
"""Sections that name code, files, keys and addresses: params.yaml says them, and no form."""
FIXED_OF_RUN = ("address", "cluster")
"""So do these of section run: a cluster carries out whatever it is sent, and its class is code."""
OF_LIBRARIES = ("shapiq:",)
"""What begins names with a colon that are no import paths."""
DO = "ask who runs the server; `unshapley projects` lists what is registered"


def check_allowed(
    project: Path,
    *,
    drop: Path | None = None,
    params: Params | None = None,
    revision: str | None = None,
) -> None:
    """Raise `InputError` for a parameter that leads out of the registered projects."""
    registry = os.environ.get(GUARD)
    if not registry:
        return
    registered = _registered(_projects(registry), project)
    if drop is not None and (registered.drop is None or drop.resolve() != registered.drop):
        raise InputError(
            "is not the drop folder that was registered for this project", where=drop, do=DO
        )
    if revision is not None and Path(revision).exists() and not _inside(revision, registered):
        raise InputError("is a file outside of the project", where=revision, do=DO)
    if params is not None:
        _check_params(params, load_params(registered.folder / "params.yaml"))


def _projects(registry: str) -> list[Registered]:
    if registry.startswith("{"):
        return parse_projects(json.loads(registry), GUARD)
    return Registry(Path(registry)).projects()


def _registered(projects: list[Registered], project: Path) -> Registered:
    for known in projects:
        if known.folder == project.resolve():
            return known
    raise InputError("is not a registered project", where=project, do=DO)


def _inside(name: str, registered: Registered) -> bool:
    return Path(name).resolve().is_relative_to(registered.folder)


def _check_params(given: Params, stated: Params) -> None:
    for section in FIXED:
        if getattr(given, section) != getattr(stated, section):
            raise _refused(section, "what params.yaml states")
    for key in FIXED_OF_RUN:
        if getattr(given.run, key) != getattr(stated.run, key):
            raise _refused(f"run.{key}", "what params.yaml states")
    known = set(_import_paths(stated.model_dump()))
    for path in _import_paths(given.model_dump()):
        if path not in known:
            raise _refused(path, "a name of ours, or one that params.yaml states")


def _import_paths(content: Any) -> Iterator[str]:
    """Names of code, wherever they stand."""
    if isinstance(content, str):
        if is_import_path(content) and not content.startswith(OF_LIBRARIES):
            yield content
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from _import_paths(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from _import_paths(value)


def _refused(what: str, expected: str) -> InputError:
    return InputError(
        "may not be given by a form",
        where=f"params, {what}",
        expected=expected,
        do="leave it as it is, or have params.yaml changed",
    )
