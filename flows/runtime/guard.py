"""What parameters of a deployment may name where a team shares a server.

Whoever may start runs fills in a form. Under the guard it cannot lead a run to another folder than
those that were registered, nor to code and addresses that the project's params.yaml does not name.
"""

from __future__ import annotations

import os
from pathlib import Path

from flows.runtime.projects import Registered, Registry
from unshapley.config import Params, load_params
from unshapley.errors import InputError

GUARD = "UNSHAPLEY_PROJECTS"
"""Environment variable of a worker: the file of registered projects. Unset: nothing is refused."""
FIXED = (
    "fetch", "signing", "pretrain.architecture", "pretrain.kwargs", "prepare.transform",
    "prepare.documents.tokenizer", "prepare.test", "prepare.reference", "valuation.utilities",
    "valuation.options",
)  # fmt: skip
"""What names code, files, keys or addresses: params.yaml says it, and no form."""
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
    registered = _registered(Registry(Path(registry)), project)
    if drop is not None and (registered.drop is None or drop.resolve() != registered.drop):
        raise InputError(
            "is not the drop folder that was registered for this project", where=drop, do=DO
        )
    if revision is not None and Path(revision).exists() and not _inside(revision, registered):
        raise InputError("is a file outside of the project", where=revision, do=DO)
    if params is not None:
        _check_params(params, load_params(registered.folder / "params.yaml"))


def _registered(registry: Registry, project: Path) -> Registered:
    for known in registry.projects():
        if known.folder == project.resolve():
            return known
    raise InputError("is not a registered project", where=project, do=DO)


def _inside(name: str, registered: Registered) -> bool:
    return Path(name).resolve().is_relative_to(registered.folder)


def _check_params(given: Params, stated: Params) -> None:
    for key in FIXED:
        ours, theirs = stated.model_dump(), given.model_dump()
        for part in key.split("."):
            ours, theirs = ours[part], theirs[part]
        if ours != theirs:
            raise InputError(
                "may not be changed by a form",
                where=f"params.{key}",
                expected=f"what params.yaml states: {ours!r}",
                do="leave it, or change params.yaml",
            )
