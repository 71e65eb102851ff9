"""The commands that the drill breaks, each with a project on which it works for seconds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.checks import damaged_objects, hashes
from tests.conftest import build_project, set_params
from tests.flows.checkouts import Checkout, build_checkout, copied, deliver, forms
from unshapley.project import Project
from unshapley.results.layout import RUN

DROP = "drop"
AUDIT = ("--sample", 6, "--retrain", 1, "--seed", 3)


@dataclass(frozen=True)
class Subject:
    """words: the command's words for a project; copy: of the base folder, to a folder; outcome: what
    an undisturbed one and a resumed one must leave alike; chunks: whether it keeps results by chunk;
    outlives: seconds for which processes that it has started may go on after its death.
    """

    name: str
    base: str
    words: Callable[[Project], list[object]]
    copy: Callable[[Path, Path], Project]
    outcome: Callable[[Project], dict[str, Any]]
    chunks: bool = True
    outlives: float = 15.0


def _copy(base: Path, folder: Path) -> Project:
    return Project(Path(shutil.copytree(base, folder)))


def _with_processes(base: Path, folder: Path) -> Project:
    project = _copy(base, folder)
    set_params(project, run__runner="processes")
    return project


def _without_model(base: Path, folder: Path) -> Project:
    project = _copy(base, folder)
    for made in (project.model, project.curvature):
        shutil.rmtree(made)
    return project


def _checkout(base: Path, folder: Path) -> Project:
    return copied(Checkout(base / "project"), folder)


def _delivered(base: Path, folder: Path) -> Project:
    place = _checkout(base, folder)
    deliver(folder / DROP, "form-03.csv", forms()["form-03"])
    return place


def _reseeded(base: Path, folder: Path) -> Project:
    place = copied(Checkout(base / "project"), folder)
    set_params(place, valuation__seed=1)
    place.commit("another seed")
    place.git("push", "-q")
    return place


def _published(project: Project) -> dict[str, Any]:
    return hashes(project.valuation, skip=(RUN, ".gitignore"))


def _pretrained(project: Project) -> dict[str, Any]:
    model, curvature = hashes(project.model), hashes(project.curvature)
    return {**model, **{f"curvature/{name}": found for name, found in curvature.items()}}


def _refreshed(project: Project) -> dict[str, Any]:
    place = Checkout(project.root)
    folder = project.root.parent
    drop = folder / DROP
    head = place.git("rev-parse", "HEAD")
    for store in (folder / "remote", project.root / ".dvc" / "cache"):
        assert damaged_objects(store) == []
    return {
        **_published(project),
        "dvc.lock": (project.root / "dvc.lock").read_text(),
        "git status": place.git("status", "--porcelain"),
        "at the origin": place.git("ls-remote", "origin", "refs/heads/main").split()[0] == head,
        "commits": [title.partition(" of ")[0] for title in place.log()],
        "tags": len(place.tags()),
        "tag at HEAD": place.git("tag", "--points-at", "HEAD").startswith("valuation/"),
        "objects at the remote": sorted(hashes(folder / "remote")),
        "drop folder": sorted(p.name for p in drop.iterdir()) if drop.exists() else [],
    }


def _audited(project: Project) -> dict[str, Any]:
    place = Checkout(project.root)
    (path,) = (project.data / "audit").glob("*/audit.json")
    report = json.loads(path.read_text())
    varying = ("seconds", "folder")
    return {
        **{name: value for name, value in report.items() if name not in varying},
        **_published(project),
        "git status": place.git("status", "--porcelain"),
        "work trees": len(place.git("worktree", "list").splitlines()),
    }


def _refresh_words(project: Project) -> list[object]:
    drop = project.root.parent / DROP
    return ["refresh", "-p", project.root, *(["--drop", drop] if drop.exists() else [])]


def _on(command: str, *options: object) -> Callable[[Project], list[object]]:
    return lambda project: [command, "-p", project.root, *options]


SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject("run", "built", _on("run", "-q"), _copy, _published),
        Subject("run with processes", "built", _on("run", "-q"), _with_processes, _published),
        Subject("pretrain", "built", _on("pretrain"), _without_model, _pretrained, chunks=False),
        Subject("audit", "valued", _on("audit", *AUDIT), _checkout, _audited, chunks=False),
        Subject("refresh", "valued", _refresh_words, _reseeded, _refreshed, outlives=60.0),
        Subject("refresh of a delivery", "valued", _refresh_words, _delivered, _refreshed, outlives=60.0),
    )
}  # fmt: skip


def build_bases(folder: Path) -> None:
    """The small project, ready for `run`, and a checkout that waits for its first refresh."""
    project = build_project(folder / "built")
    set_params(project, valuation__chunk_size=2)
    build_checkout(folder / "valued", ["form-00", "form-01", "form-02"], "valuation.chunk_size=2")
