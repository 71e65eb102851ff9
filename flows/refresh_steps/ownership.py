"""What a refresh may commit: its own changes, each by its path, and nothing else.

Its own are the .dvc files of raw tables, the lines that DVC writes into .gitignore, dvc.lock, and
the outputs of stages that git tracks. A user's change of anything else is an error before a refresh
touches anything; a file in data/raw that git does not track and that is no table is left alone.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from flows.refresh_steps import rawtables
from flows.refresh_steps.repository import Change, Repository, read_yaml
from unshapley.data.sources import is_table
from unshapley.errors import InputError

log = logging.getLogger("unshapley.run")

RAW = "data/raw/"
MANIFEST = "data/valuation/manifest.json"
WATCHED = ("data/", "unshapley/", "tasks/", "flows/")
"""Folders in which an untracked file could change a valuation."""


def own_changes(repo: Repository, *, warn: bool = False) -> list[Change]:
    """Changes of a refresh. Raises `InputError` if there are others, which the user must commit
    first: else no commit would contain what the valuation was made of.

    warn: name the files in data/raw that are left alone.
    """
    changes = repo.changes()
    owner = _Ownership.of(repo, is_valued=any(change.path == MANIFEST for change in changes))
    _refuse(
        repo,
        [change.path for change in changes if change.is_staged],
        "staged, but not committed",
        "commit them, or unstage them with `git restore --staged`",
    )
    others = [c for c in changes if not owner.owns(c) and not owner.belongs_to_dvc(c)]
    strays = [change.path for change in others if change.is_new and change.path.startswith(RAW)]
    _refuse(
        repo,
        [
            change.path
            for change in others
            if change.path not in strays and (not change.is_new or change.path.startswith(WATCHED))
        ],
        "not committed",
        "commit the changes, or `git restore` the files",
    )
    no_tables = [path for path in strays if not is_table(PurePosixPath(path).name)]
    if warn and no_tables:
        log.warning(
            "%s: no table of a provider, left alone; keep it elsewhere, or name it in .dvcignore: "
            "DVC takes a new file in %s for a change",
            _some(no_tables),
            RAW,
        )
    return [change for change in changes if owner.owns(change)]


def _refuse(repo: Repository, paths: list[str], problem: str, do: str) -> None:
    if paths:
        raise InputError(f"{_some(paths)}: {problem}", where=repo.root, do=do)


def _some(paths: list[str]) -> str:
    return f"{', '.join(paths[:5])}{' …' if len(paths) > 5 else ''}"


@dataclass(frozen=True)
class _Ownership:
    """Outputs of the stages by path, and those that git tracks."""

    repo: Repository
    outputs: frozenset[str]
    in_git: frozenset[str]

    @staticmethod
    def of(repo: Repository, *, is_valued: bool) -> _Ownership:
        """is_valued: whether there is a new manifest, whose signature a refresh makes too."""
        stages = read_yaml((repo.root / "dvc.yaml").read_text(encoding="utf-8")).get("stages", {})
        outputs = dict(output for stage in stages.values() for output in _outputs(stage))
        in_git = {path for path, is_cached in outputs.items() if not is_cached}
        signature = {f"{MANIFEST}.sig"} if is_valued else set()
        return _Ownership(repo, frozenset(outputs), frozenset({"dvc.lock", *in_git, *signature}))

    def owns(self, change: Change) -> bool:
        path = PurePosixPath(change.path)
        if change.path in self.in_git:
            return True
        if path.name == ".gitignore":
            return self._owns_ignore_lines(path)
        return path.parent == PurePosixPath(RAW) and self._owns_dvc_file(change)

    def belongs_to_dvc(self, change: Change) -> bool:
        """Whether the file is an output of a stage that DVC has not recorded, and ignored, yet."""
        path = PurePosixPath(change.path)
        return change.is_new and any(str(p) in self.outputs for p in (path, *path.parents))

    def _owns_dvc_file(self, change: Change) -> bool:
        """A deletion is a refresh's own only where the table came in another format."""
        table = rawtables.table_of(self.repo.root / change.path)
        if table is None:
            return False
        present = rawtables.by_provider(table.parent.iterdir() if table.parent.is_dir() else ())
        replaced = set(present.get(rawtables.provider_of(table), ())) - {table}
        return not change.is_deleted or bool(replaced)

    def _owns_ignore_lines(self, path: PurePosixPath) -> bool:
        """Whether all lines that were added or removed name tables or outputs in this folder."""
        on_disk = self.repo.root / path
        lines = set(on_disk.read_text(encoding="utf-8").splitlines() if on_disk.is_file() else ())
        committed = set((self.repo.file_at(str(path)) or "").splitlines())
        return all(self._is_ignored_by_dvc(path.parent, line) for line in lines ^ committed if line)

    def _is_ignored_by_dvc(self, folder: PurePosixPath, line: str) -> bool:
        name = re.sub(r"\\(.)", r"\1", line.removeprefix("/"))
        is_raw_table = folder == PurePosixPath(RAW) and is_table(name)
        return line.startswith("/") and (is_raw_table or str(folder / name) in self.outputs)


def _outputs(stage: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Path of each output of a stage, and whether DVC keeps it in its cache."""
    for kind in ("outs", "metrics", "plots"):
        for entry in stage.get(kind) or []:
            path, options = next(iter(entry.items())) if isinstance(entry, dict) else (entry, {})
            yield str(Path(path).as_posix()), bool((options or {}).get("cache", True))
