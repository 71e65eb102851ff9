"""What a game is loaded from, named by content, so that any machine can have it.

The process that plans lists the files with their hashes; a worker that does not see them in the
project's folder fetches them from DVC's remote into a cache of its own. What does not match its
SHA-256 is never used.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.remote import Remote, remote_of
from unshapley.errors import InputError
from unshapley.files import digest, sha256, written_whole
from unshapley.project import Project

AT_A_TIME = 8
"""Files that are fetched at the same time."""
BLOCK = 2**20


@dataclass(frozen=True)
class InputFile:
    """path: in the project; sha256: what it is trusted by; md5: what DVC finds it by."""

    path: str
    sha256: str
    md5: str


@dataclass(frozen=True)
class Inputs:
    """All files that a game is loaded from, and where they can be had; None: nowhere else."""

    files: tuple[InputFile, ...]
    remote: Remote | None

    def are_in(self, root: Path) -> bool:
        """Whether a folder holds these files, and no partition besides."""
        project = Project(root)
        listed = {file.path for file in self.files}
        there = {project.relative(path) for path in project.partitions.glob("*.parquet")}
        return there <= listed and all(_is(root / file.path, file) for file in self.files)


def list_inputs(project: Project, needs: str | None) -> Inputs:
    """What `load_game` reads of a project; `needs` as there."""
    folders = [project.partitions, project.model, *([project.curvature] if needs else [])]
    paths = [project.schema, project.tokenizer, project.test, project.reference]
    paths += [path for folder in folders for path in sorted(folder.rglob("*"))]
    files = [_hashed(project, p) for p in paths if p.is_file() and not p.name.startswith(".")]
    return Inputs(tuple(files), remote_of(project.root))


def place(inputs: Inputs, root: Path) -> Path:
    """A folder that holds the inputs: `root` if it does, else one in this machine's cache.

    Raises `InputError` for what can be had nowhere, and for what is not what its hash says.
    """
    if inputs.are_in(root):
        return root
    cache = cache_folder()
    view = cache / "games" / digest([[f.path, f.sha256] for f in inputs.files])
    with _alone(cache):  # the processes of a machine fetch a file once
        with ThreadPoolExecutor(AT_A_TIME) as fetching:
            objects = list(fetching.map(lambda file: _object(cache, inputs, file), inputs.files))
        if not view.is_dir():
            _link(view, {f.path: o for f, o in zip(inputs.files, objects, strict=True)})
    return view


def cache_folder() -> Path:
    """Where a worker keeps what it has fetched: UNSHAPLEY_CACHE, or the user's cache."""
    if named := os.environ.get("UNSHAPLEY_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unshapley"


def _object(cache: Path, inputs: Inputs, file: InputFile) -> Path:
    path = cache / "objects" / file.sha256[:2] / file.sha256[2:]
    if not _is(path, file):
        with written_whole(path) as part:
            _fetch(inputs, file, part)
            if not _is(part, file):
                raise InputError(
                    f"what DVC's remote holds as {file.md5} is not {file.path}: its hash differs",
                    where=inputs.remote.url if inputs.remote else None,
                    do="remove that object from the remote and run `dvc push` in the project",
                )
    return path


def _fetch(inputs: Inputs, file: InputFile, target: Path) -> None:
    if inputs.remote is None:
        raise InputError(
            "the project's folder is not here, and it has no DVC remote to fetch its inputs from",
            where=file.path,
            do="add one that workers reach (`dvc remote add -d NAME ADDRESS`) and run `dvc push`, "
            "or give workers the same folder",
        )
    try:
        inputs.remote.fetch(file.md5, target)
    except FileNotFoundError:
        raise InputError(
            f"is neither in the project's folder here nor in DVC's remote {inputs.remote.url}",
            where=file.path,
            do="run `dvc push` in the project, then the same command again",
        ) from None


def _link(view: Path, objects: dict[str, Path]) -> None:
    """Make the folder of these files by path, whole or not at all."""
    view.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=".", dir=view.parent))
    try:
        for name, target in objects.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target.resolve())
        new.rename(view)
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _hashed(project: Project, path: Path) -> InputFile:
    md5, sha = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            md5.update(block)
            sha.update(block)
    return InputFile(project.relative(path), sha.hexdigest(), md5.hexdigest())


def _is(path: Path, file: InputFile) -> bool:
    return path.is_file() and sha256(path) == file.sha256
