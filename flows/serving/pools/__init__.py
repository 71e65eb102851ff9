"""Templates of the jobs of each kind of work pool.

None has a variable: whoever starts a run cannot give it another command, image, folder or
environment. The command is named, whatever the image starts by itself. In a template of the users'
own, `$IMAGE` stands for the image and `$VOLUMES`, in a list, for the folders of the projects and
their drop folders.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from flows.runtime.guard import GUARD
from flows.runtime.projects import Registered, as_content
from unshapley.errors import InputError
from unshapley.files import read_json

KINDS = ("process", "docker", "kubernetes")


def template_of(
    kind: str,
    image: str | None = None,
    projects: Sequence[Registered] = (),
    own: Path | None = None,
    *,
    guarded: bool = False,
) -> dict[str, Any]:
    """The template of a pool of this kind, or of the file `own`.

    guarded: runs take what is allowed for these projects only, as `flows.runtime.guard` says; a
    worker of processes hands that on by itself.

    Raises `InputError` for a file that is no template.
    """
    with_path = own or Path(str(files("flows.serving.pools").joinpath(f"{kind}.json")))
    content = read_json(with_path, do="name another template")
    if not isinstance(content, dict) or not {"job_configuration", "variables"} <= content.keys():
        raise InputError(
            "is no template of a work pool",
            where=with_path,
            expected="an object with job_configuration and variables, as of "
            "`prefect work-pool get-default-base-job-template`",
        )
    folders = [f for p in projects for f in (p.folder, p.drop) if f]
    volumes = list(dict.fromkeys(f"{folder}:{folder}" for folder in folders))
    filled = _filled(content, {"$IMAGE": image}, volumes)
    assert isinstance(filled, dict)
    if guarded and kind != "process":
        _guard(filled["job_configuration"], projects, with_path)
    return filled


def _guard(job: dict[str, Any], projects: Sequence[Registered], where: Path) -> None:
    environment = job.get("env", {})
    if not isinstance(environment, dict):
        raise InputError(
            "leaves the environment of runs to who starts them",
            where=where,
            expected="an object as its env, to which the list of projects is added",
        )
    job["env"] = {**environment, GUARD: json.dumps(as_content(projects))}


def _filled(content: Any, names: dict[str, str | None], volumes: list[str]) -> Any:
    if isinstance(content, dict):
        return {key: _filled(value, names, volumes) for key, value in content.items()}
    if isinstance(content, list):
        return volumes if content == ["$VOLUMES"] else [_filled(v, names, volumes) for v in content]
    return names.get(content, content) if isinstance(content, str) else content
