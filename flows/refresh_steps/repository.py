"""The git repository and the DVC workspace of a project, driven by their own commands.

Children inherit the lock of refreshes: what a killed refresh has started keeps the next one out
until it has ended.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from flows.runtime.settings import QUIET
from unshapley.errors import BusyError, UnshapleyError

LOCKED = ("Unable to acquire lock", "index.lock", "is busy, it is being")
"""How DVC and git say that another command of theirs works in the same place."""
OURS = "from flows.cli import main; main()"
SHOWN = 6
"""Last lines of a failed command's messages that are told."""


class CommandError(UnshapleyError):
    """A command failed; exit code as the product's own command gave it, else 1."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Repository:
    """A checkout; lock: descriptor that children inherit."""

    root: Path
    lock: int

    def git(self, *arguments: str) -> str:
        """Output of a git command; `CommandError` where it fails."""
        return self._run(["git", *arguments])

    def asked(self, *arguments: str) -> str | None:
        """Output of a git command; None where it fails, as where a thing is not there."""
        done = self._start(["git", *arguments])
        return None if done.returncode else done.stdout.strip()

    def dvc(self, *arguments: str) -> str:
        """Output of a DVC command; `CommandError` where it fails."""
        return self._run([sys.executable, "-m", "dvc", *arguments])

    def unshapley(self, *arguments: str) -> str:
        """Output of a command of ours, by the code as it now lies on disk."""
        return self._run([sys.executable, "-c", OURS, *arguments])

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        return self.git("rev-parse", "HEAD")

    @cached_property
    def branch(self) -> str | None:
        """Name of the branch that is checked out; None where there is none."""
        return self.asked("symbolic-ref", "--short", "-q", "HEAD")

    @cached_property
    def upstream(self) -> tuple[str, str] | None:
        """Remote and branch that this branch follows."""
        remote = self.asked("config", f"branch.{self.branch}.remote")
        merge = self.asked("config", f"branch.{self.branch}.merge")
        return (remote, merge.removeprefix("refs/heads/")) if remote and merge else None

    def dvc_remote(self) -> str | None:
        """Address of DVC's default remote; None where there is none."""
        said = self._start([sys.executable, "-m", "dvc", "config", "--list"]).stdout
        config = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        return config.get(f"remote.{config.get('core.remote')}.url")

    def changes(self) -> list[str]:
        """Paths that differ from the commit, untracked ones included, ignored ones not."""
        entries = self._start(["git", "status", "--porcelain", "-z", "-uall"]).stdout.split("\0")
        found: list[str] = []
        renamed = False
        for entry in entries:
            if renamed:
                found, renamed = [*found, entry], False
            elif entry:
                found, renamed = [*found, entry[3:]], entry[0] in "RC"
        return found

    def shown(self, path: str, commit: str = "HEAD") -> str | None:
        """Text of a file in a commit; None where it is not there."""
        done = self._start(["git", "show", f"{commit}:{path}"])
        return None if done.returncode else done.stdout

    def _run(self, command: Sequence[str]) -> str:
        done = self._start(command)
        if done.returncode:
            raise _explained(command, done)
        return done.stdout.strip()

    def _start(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.root,
            env=_environment(),
            pass_fds=(self.lock,),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


def read_yaml(text: str | None) -> dict[str, Any]:
    """What a .dvc file or dvc.yaml holds; empty where there is none."""
    return yaml.safe_load(text or "") or {}


def _environment() -> dict[str, str]:
    """Nothing asks at a terminal, and stages find the commands of this environment."""
    home = Path(sys.executable).parent
    code = Path(__file__).resolve().parents[2]
    python = os.pathsep.join(filter(None, [str(code), os.environ.get("PYTHONPATH")]))
    return {
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
        **os.environ,
        **QUIET,
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
        "PATH": f"{home}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": python,
    }


def _explained(command: Sequence[str], done: subprocess.CompletedProcess[str]) -> UnshapleyError:
    """The error of our own command below DVC as it was told; else the command's last lines."""
    text = f"{done.stdout}\n{done.stderr}"
    told = re.search(r"^error: (.*(?:\n  .*)*)", text, re.MULTILINE)
    code = re.search(r"exited with (\d)", text)
    if told:
        return CommandError(told[1].strip(), int(code[1]) if code else done.returncode)
    named = " ".join(_words(command))
    lines = [line for line in text.splitlines() if line.strip()][-SHOWN:]
    message = "\n".join([f"{named} failed", *(f"  {line.strip()}" for line in lines)])
    if any(sign in text for sign in LOCKED):
        return BusyError(
            f"{message}\n  do: wait until the other command has ended; if none works here, remove "
            "the lock file that is named"
        )
    return CommandError(message)


def _words(command: Sequence[str]) -> list[str]:
    """The command's first words, without its options."""
    words = command if command[0] == "git" else command[2:]
    return [word for word in words if word != OURS and not word.startswith("-")][:3]
