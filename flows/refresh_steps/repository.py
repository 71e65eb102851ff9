"""Run git and DVC commands in the repository of a project.

Child processes inherit the refresh lock. So if a refresh is killed, the next one cannot start until
the children of the killed one have ended.
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

LOCK_MESSAGES = ("Unable to acquire lock", "index.lock", "is busy, it is being")
"""Parts of messages of DVC and git when another of their commands holds a lock."""
COMMAND_LINE = "from flows.cli import main; main()"
"""Python code that runs the command `unshapley`."""
MESSAGE_LINES = 6
"""Number of last lines of a failed command's output that an error message contains."""


class CommandError(UnshapleyError):
    """A command failed; exit_code: of an `unshapley` command that failed below it, else 1."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Repository:
    """A git checkout; lock: file descriptor of the refresh lock, which child processes inherit."""

    root: Path
    lock: int

    def git(self, *arguments: str) -> str:
        """Output of a git command; `CommandError` if it fails."""
        return self._run(["git", *arguments])

    def try_git(self, *arguments: str) -> str | None:
        """Output of a git command; None if it fails, for example if an object does not exist."""
        process = self._execute(["git", *arguments])
        return None if process.returncode else process.stdout.strip()

    def dvc(self, *arguments: str) -> str:
        """Output of a DVC command; `CommandError` if it fails."""
        return self._run([sys.executable, "-m", "dvc", *arguments])

    def unshapley(self, *arguments: str) -> str:
        """Output of an `unshapley` command in a new process, which runs the code now on disk."""
        return self._run([sys.executable, "-c", COMMAND_LINE, *arguments])

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        return self.git("rev-parse", "HEAD")

    @cached_property
    def branch(self) -> str | None:
        """Name of the branch that is checked out; None without a branch (detached HEAD)."""
        return self.try_git("symbolic-ref", "--short", "-q", "HEAD")

    @cached_property
    def upstream(self) -> tuple[str, str] | None:
        """Remote and branch that are the upstream of the current branch; None without upstream."""
        remote = self.try_git("config", f"branch.{self.branch}.remote")
        merge = self.try_git("config", f"branch.{self.branch}.merge")
        return (remote, merge.removeprefix("refs/heads/")) if remote and merge else None

    def dvc_remote(self) -> str | None:
        """Address of DVC's default remote; None without one."""
        output = self._execute([sys.executable, "-m", "dvc", "config", "--list"]).stdout
        config = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
        return config.get(f"remote.{config.get('core.remote')}.url")

    def changes(self) -> list[str]:
        """Paths that differ from the current commit, with untracked and without ignored files."""
        entries = self._execute(["git", "status", "--porcelain", "-z", "-uall"]).stdout.split("\0")
        paths: list[str] = []
        renamed = False
        for entry in entries:
            if renamed:
                paths, renamed = [*paths, entry], False
            elif entry:
                paths, renamed = [*paths, entry[3:]], entry[0] in "RC"
        return paths

    def file_at(self, path: str, commit: str = "HEAD") -> str | None:
        """Text of a file in a commit; None if the commit does not contain it."""
        process = self._execute(["git", "show", f"{commit}:{path}"])
        return None if process.returncode else process.stdout

    def _run(self, command: Sequence[str]) -> str:
        process = self._execute(command)
        if process.returncode:
            raise _error_of(command, process)
        return process.stdout.strip()

    def _execute(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
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
    """Content of a .dvc file or dvc.yaml; empty for an empty text or None."""
    return yaml.safe_load(text or "") or {}


def _environment() -> dict[str, str]:
    """Environment for commands: no prompts, and stages find this Python environment."""
    bin_folder = Path(sys.executable).parent
    code = Path(__file__).resolve().parents[2]
    python = os.pathsep.join(filter(None, [str(code), os.environ.get("PYTHONPATH")]))
    return {
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
        **os.environ,
        **QUIET,
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
        "PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": python,
    }


def _error_of(command: Sequence[str], process: subprocess.CompletedProcess[str]) -> UnshapleyError:
    """The error of an `unshapley` command below DVC, if any; else the last lines of output."""
    text = f"{process.stdout}\n{process.stderr}"
    own_message = re.search(r"^error: (.*(?:\n  .*)*)", text, re.MULTILINE)
    code = re.search(r"exited with (\d)", text)
    if own_message:
        return CommandError(own_message[1].strip(), int(code[1]) if code else process.returncode)
    name = " ".join(_short_form(command))
    lines = [line for line in text.splitlines() if line.strip()][-MESSAGE_LINES:]
    message = "\n".join([f"{name} failed", *(f"  {line.strip()}" for line in lines)])
    if any(message_part in text for message_part in LOCK_MESSAGES):
        return BusyError(
            f"{message}\n  do: wait until the other command has ended; if none works here, remove "
            "the lock file that is named"
        )
    return CommandError(message)


def _short_form(command: Sequence[str]) -> list[str]:
    """The first words of a command, without its options."""
    words = command if command[0] == "git" else command[2:]
    return [word for word in words if word != COMMAND_LINE and not word.startswith("-")][:3]
