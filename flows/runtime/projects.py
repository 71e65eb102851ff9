"""The project folders that one server knows, in a file of the server's home."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unshapley.errors import InputError
from unshapley.files import read_json, write_json

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
FILE = "projects.json"


@dataclass(frozen=True)
class Registered:
    """A project that is served.

    name: in the names of its deployments; folder: absolute; drop: where deliveries land that its
    refresh takes; schedule: cron of its refresh, None where it runs on demand only.
    """

    name: str
    folder: Path
    drop: Path | None = None
    schedule: str | None = None


@dataclass(frozen=True)
class Registry:
    """The file; nothing is kept in memory, so that what others add meanwhile counts.

    Registry(home / "projects.json").add(Registered("hospitals", Path("/srv/hospitals")))
    """

    path: Path

    def projects(self) -> list[Registered]:
        """All of them, by name; none where there is no file."""
        if not self.path.is_file():
            return []
        content = read_json(self.path, do="remove it, and add the projects again")
        return parse_projects(content, self.path)

    def add(self, new: Registered) -> None:
        """Add a project, or change the one in that folder; `InputError` where it cannot be."""
        check_project(new.folder)
        if not NAME.fullmatch(new.name):
            raise InputError(
                f"{new.name!r} cannot name a deployment",
                where=new.folder,
                expected="letters, digits, dots, dashes and underlines",
                do="give the project another name with --name",
            )
        others = [p for p in self.projects() if p.folder != new.folder]
        for other in others:
            if other.name == new.name:
                raise InputError(
                    f"the name {new.name} is that of {other.folder}",
                    where=new.folder,
                    do="give this one another with --name",
                )
        self._write([*others, new])

    def remove(self, name: str) -> Registered:
        """Forget a project, by name or folder; its folder stays as it is."""
        projects = self.projects()
        for project in projects:
            if name == project.name or Path(name).resolve() == project.folder:
                self._write([p for p in projects if p != project])
                return project
        raise InputError(
            f"no project {name!r} is registered",
            where=self.path,
            expected=", ".join(p.name for p in projects) or "none is, as yet",
        )

    def named(self, folder: Path) -> Registered:
        """The project of a folder as it is registered, else as it would be."""
        folder = folder.resolve()
        for project in self.projects():
            if project.folder == folder:
                return project
        return Registered(_name_of(folder), folder)

    def set_schedule(self, project: Registered, schedule: str) -> None:
        """Note when a project is refreshed."""
        self.add(replace(project, schedule=schedule))

    def _write(self, projects: list[Registered]) -> None:
        write_json(self.path, as_content(projects))


def as_content(projects: Iterable[Registered]) -> dict[str, Any]:
    """What `parse_projects` reads."""
    entries = [
        {
            "name": p.name,
            "folder": str(p.folder),
            "drop": str(p.drop) if p.drop else None,
            "schedule": p.schedule,
        }
        for p in projects
    ]
    return {"projects": entries}


def parse_projects(content: Any, where: object) -> list[Registered]:
    """Projects by name; `InputError` for what is no list of them. where: in its message."""
    try:
        found = [_registered(entry) for entry in content["projects"]]
    except (TypeError, KeyError, AttributeError):
        raise InputError(
            "is no list of projects",
            where=where,
            do="remove it, and `unshapley projects add` them again",
        ) from None
    return sorted(found, key=lambda project: project.name)


def check_project(folder: Path) -> None:
    """Raise `InputError` for what is no project's folder."""
    if not (folder / "params.yaml").is_file():
        raise InputError(
            "is no project: it holds no params.yaml",
            where=folder,
            do="make one with `unshapley init`, or name another folder",
        )


def check_drop_folder(folder: Path) -> None:
    """Raise `InputError` for a folder from which this user cannot take files."""
    if not folder.is_dir():
        raise InputError("is not a folder", where=folder, do="create it, or name another one")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise InputError(
            "this user may not take files from it",
            where=folder,
            expected="the rights to read, write and enter it: what was committed is removed there",
            do=f"give them, say by `setfacl -m u:{os.geteuid()}:rwx {folder}`",
        )


def _registered(entry: dict[str, Any]) -> Registered:
    drop = entry.get("drop")
    return Registered(
        entry["name"], Path(entry["folder"]), Path(drop) if drop else None, entry.get("schedule")
    )


def _name_of(folder: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip("-._") or "project"
