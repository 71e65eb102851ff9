"""Git's history of a valuation: commits, their tags, and the files that they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from unshapley.environment import git
from unshapley.project import Project
from unshapley.results.layout import MANIFEST

_FIELDS = "%H%x1f%cI%x1f%an%x1f%s"


@dataclass(frozen=True)
class Commit:
    """A commit: its full hash, its date with time zone, its author's name, its title, its tags."""

    id: str
    date: datetime
    author: str
    title: str
    tags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its first tag; without one, the beginning of its hash."""
        return self.tags[0] if self.tags else self.id[:8]


def resolve(root: Path, name: str) -> str | None:
    """Hash of the commit that a revision names; None if there is none."""
    if not name or name.startswith("-") or "\n" in name:
        return None
    commit_id = git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    return commit_id.decode().strip() if commit_id else None


def list_commits(root: Path, *arguments: str) -> list[Commit]:
    """The commits that `git log` lists with these arguments, without tags."""
    lines = (git(root, "log", f"--format={_FIELDS}", *arguments) or b"").decode(errors="replace")
    commits = []
    for line in filter(None, lines.split("\n")):
        commit_id, date, *texts = line.split("\x1f", 3)
        author, title = map(_printable, texts)
        commits.append(Commit(commit_id, datetime.fromisoformat(date), author, title))
    return commits


def _printable(text: str) -> str:
    """Text that no terminal obeys: a name in git may hold anything."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def with_tags(
    project: Project, listed: Sequence[Commit], held: Mapping[str, bytes | None]
) -> list[Commit]:
    """The commits with their tags; a tag of a later commit belongs to the manifest it holds."""
    pointed = _tagged_commits(project.root)
    contents = read_blobs(project, [(f"refs/tags/{tag}", MANIFEST) for tag in pointed])
    newest = {content: commit_id for commit_id, content in held.items() if content is not None}
    owner: dict[str, list[str]] = {}
    for (tag, at), content in zip(pointed.items(), contents, strict=True):
        commit_id = at if at in held else newest.get(content) if content is not None else None
        if commit_id is not None:
            owner.setdefault(commit_id, []).append(tag)
    return [replace(commit, tags=tuple(owner.get(commit.id, ()))) for commit in listed]


def _tagged_commits(root: Path) -> dict[str, str]:
    """Commit by tag, annotated or not."""
    form = "--format=%(refname:strip=2) %(*objectname) %(objectname)"
    lines = (git(root, "for-each-ref", form, "refs/tags") or b"").decode(errors="replace")
    return {words[0]: words[1] for words in map(str.split, filter(None, lines.split("\n")))}


def read_blobs(project: Project, names: Sequence[tuple[str, str]]) -> Iterator[bytes | None]:
    """Contents of files of valuations, read by one process; None if there is no such file.

    names: a revision and a name in the valuation's folder, for each file.
    """
    prefix = (git(project.root, "rev-parse", "--show-prefix") or b"").decode().strip()
    folder = f"{prefix}{project.relative(project.valuation)}/"
    given = "".join(f"{revision}:{folder}{name}\n" for revision, name in names).encode()
    output, start = git(project.root, "cat-file", "--batch", given=given) or b"", 0
    for _ in names:
        end = output.index(b"\n", start)
        words = output[start:end].split()
        start = end + 1
        if len(words) < 3 or words[-2] != b"blob":
            yield None
            continue
        size = int(words[-1])
        yield output[start : start + size]
        start += size + 1


def is_shallow(root: Path) -> bool:
    """Whether the clone lacks the older part of the history."""
    return git(root, "rev-parse", "--is-shallow-repository") == b"true\n"
