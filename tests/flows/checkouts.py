"""A small project as a team keeps it: git with an origin, DVC with a remote, tables in data/raw."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, Self

import pandas as pd
import yaml

from tasks.expectations.suites import save_suites
from tests.conftest import SMALL, USER
from unshapley.config import load_params
from unshapley.data.digits import load_forms
from unshapley.data.preparation import prepare
from unshapley.data.tables import Schema
from unshapley.new_project import init_project
from unshapley.project import Project

HOME = Path(__file__).resolve().parents[2]


@cache
def forms() -> dict[str, pd.DataFrame]:
    """Rows of every form: read when a test needs them, not when tests are collected."""
    return load_forms()


QUICK = [
    "pretrain.steps=20", "valuation.unlearner=retrain", "valuation.options={}",
    "curvature.directions=5",
]  # fmt: skip
NAMED = {f"GIT_{who}_{what}": f"test@{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}  # fmt: skip
ENV = {**USER, **NAMED, "PYTHONPATH": str(HOME), "PATH": f"{Path(sys.executable).parent}:{USER['PATH']}"}  # fmt: skip


class Checkout(Project):
    """A project in git; commands run as a user would run them."""

    @property
    def origin(self) -> Path:
        return self.root.parent / "origin.git"

    def run(self, *command: object, rc: int = 0) -> str:
        done = subprocess.run(
            [*map(str, command)],
            cwd=self.root,
            env={**ENV, **{k: v for k, v in os.environ.items() if k.startswith("AWS_")}},
            capture_output=True,
            text=True,
        )
        assert done.returncode == rc, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def git(self, *arguments: object) -> str:
        return self.run("git", *arguments)

    def dvc(self, *arguments: object) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments)

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", message)

    def log(self, at: str = "HEAD") -> list[str]:
        return self.git("log", "--format=%s", at).splitlines()

    def tags(self) -> set[str]:
        """Tags of valuations in the origin."""
        said = self.git("ls-remote", "--tags", "origin", "valuation/*").splitlines()
        return {line.split("refs/tags/")[1] for line in said if not line.endswith("^{}")}

    def published(self) -> bool:
        """Whether git, its origin, DVC and its remote hold one and the same state."""
        head = self.git("rev-parse", "HEAD")
        return (
            self.git("status", "--porcelain") == ""
            and self.git("ls-remote", "origin", "refs/heads/main").split()[0] == head
            and self.dvc("status", "--json") == "{}"
            and self.dvc("status", "--cloud", "--json") == "{}"
        )

    def clone(self, name: str) -> Self:
        """A second clone of the same origin, with data."""
        self.git("clone", "-q", self.origin, self.root.parent / name)
        other = type(self)(self.root.parent / name)
        other.link()
        other.dvc("pull", "-q")
        return other

    def link(self) -> None:
        """Name the origin and the remote that lie beside it."""
        self.git("remote", "set-url", "origin", self.origin)
        near = f"[core]\n    remote = near\n['remote \"near\"']\n    url = {self.root.parent / 'remote'}\n"
        (self.root / ".dvc" / "config.local").write_text(near)


def build_checkout(folder: Path, providers: list[str], *settings: str) -> Checkout:
    """Tables of `providers` added and committed, nothing valued yet."""
    place = Checkout(folder / "project")
    init_project(place.root, [*SMALL, *QUICK, *settings])
    for name in providers:
        forms()[name].to_csv(place.raw / f"{name}.csv", index=False)
    params = load_params(place.params)
    prepare(place, params)
    save_suites(place.expectations, Schema.load(place.schema), params.validation)
    for made in (place.partitions, place.test, place.reference, place.schema):
        shutil.rmtree(made) if made.is_dir() else made.unlink()
    (place.root / "dvc.yaml").write_text(yaml.safe_dump(stages()))
    shutil.copy(HOME / ".gitignore", place.root)
    place.git("init", "-q", "-b", "main")
    place.dvc("init", "-q")
    place.dvc("add", "-q", *sorted(place.raw.glob("*.csv")))
    place.commit("tables")
    place.git("init", "-q", "--bare", "-b", "main", place.origin)
    place.git("remote", "add", "origin", place.origin)
    place.git("push", "-qu", "origin", "main")
    place.link()
    return place


def copied(place: Checkout, folder: Path) -> Checkout:
    """A copy with origin and remote of its own."""
    shutil.copytree(place.root.parent, folder, dirs_exist_ok=True, symlinks=True)
    copy = Checkout(folder / place.root.name)
    copy.link()
    return copy


def stages() -> dict[str, Any]:
    """The repository's dvc.yaml, but for the code that a project elsewhere does not hold."""
    content = yaml.safe_load((HOME / "dvc.yaml").read_text())
    for stage in content["stages"].values():
        stage["deps"] = [name for name in stage["deps"] if name.startswith("data/")]
    return {"stages": content["stages"]}


def deliver(folder: Path, name: str, frame: pd.DataFrame) -> Path:
    """Put a table into a drop folder, as a careful sender does: whole, by renaming."""
    folder.mkdir(exist_ok=True)
    part = folder / f".{name}"
    frame.to_csv(part, index=False)
    return part.rename(folder / name)
