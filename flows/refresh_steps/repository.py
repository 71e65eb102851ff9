"""Run git and DVC commands in the repository of a project.

Child processes inherit the refresh lock. So if a refresh is killed, the next one cannot start until
the children of the killed one have ended. A child that does not end within its time limit is
stopped with all its own children: one that hangs would keep every later refresh from starting.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import yaml

from flows.runtime.settings import QUIET
from unshapley.errors import BusyError, UnshapleyError

LOCK_MESSAGES = ("Unable to acquire lock", "index.lock", "is busy, it is being")
"""Parts of messages of DVC and git when another of their commands holds a lock."""
COMMAND_LINE = "from flows.cli import main; main()"
"""Python code that runs the command `unshapley`."""
MESSAGE_LINES = 6
"""Number of last lines of a failed command's output that an error message contains."""


GIT_SECONDS = 600.0
"""Time limit of a git command: git carries code and small outputs only."""
DEFAULT_SECONDS = 6 * 3600.0
"""Time limit of a DVC command, which may train a model or carry all data; it ends before the next
night's refresh begins."""
GRACE_SECONDS = 5.0
"""Time between the request to end and the kill; git uses it to remove its lock files."""


class CommandError(UnshapleyError):
    """A command failed; exit_code: of an `unshapley` command that failed below it, else 1."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Change:
    """A path that differs from the current commit; state: git's two letters, for index and disk."""

    path: str
    state: str

    @property
    def is_staged(self) -> bool:
        return self.state[0] not in " ?"

    @property
    def is_new(self) -> bool:
        """Whether git does not know the file; one added with `--intent-to-add` counts as new."""
        return self.state in ("??", " A")

    @property
    def is_deleted(self) -> bool:
        return "D" in self.state


@dataclass(frozen=True)
class Repository:
    """A git checkout.

    lock: file descriptor of the refresh lock, which child processes inherit;
    limit: seconds after which a child process is stopped, for git at most `GIT_SECONDS`.
    """

    root: Path
    lock: int
    limit: float = DEFAULT_SECONDS

    def git(self, *arguments: str, paths: Sequence[str] = ()) -> str:
        """Output of a git command; `CommandError` if it fails.

        paths: taken literally; handed over in a file, so that there may be any number of them.
        """
        if not paths:
            return self._run(["git", *arguments])
        command = ["git", *arguments, "--pathspec-from-file=-", "--pathspec-file-nul"]
        return self._run(command, text="\0".join(f":(literal){path}" for path in paths))

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

    def changes(self) -> list[Change]:
        """What differs from the current commit, with untracked and without ignored files."""
        command = ["git", "status", "--porcelain", "-z", "-uall", "--no-renames"]
        entries = self._execute(command).stdout.split("\0")
        return [Change(entry[3:], entry[:2]) for entry in entries if entry]

    def file_at(self, path: str, commit: str = "HEAD") -> str | None:
        """Text of a file in a commit; None if the commit does not contain it."""
        process = self._execute(["git", "show", f"{commit}:{path}"])
        return None if process.returncode else process.stdout

    def files_in(self, folder: str) -> list[str]:
        """Paths of the files right in a folder, as the current commit has them."""
        output = self._execute(["git", "ls-tree", "-z", "--name-only", "HEAD", f"{folder}/"]).stdout
        return [name for name in output.split("\0") if name]

    def _run(self, command: Sequence[str], text: str = "") -> str:
        process = self._execute(command, text)
        if process.returncode:
            raise _error_of(command, process)
        return process.stdout.strip()

    def _execute(self, command: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command with `text` as its input; `CommandError` if it exceeds its time limit."""
        limit = min(self.limit, GIT_SECONDS) if command[0] == "git" else self.limit
        # files, not pipes: a grandchild that lives on would hold a pipe open
        with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
            given.write(text.encode("utf-8", "surrogateescape"))
            given.seek(0)
            child = subprocess.Popen(
                command,
                cwd=self.root,
                env=_environment(),
                pass_fds=(self.lock,),
                stdin=given,
                stdout=out,
                stderr=err,
                start_new_session=True,  # no terminal to ask at, and one group to stop
            )
            try:
                code = child.wait(limit)
            except subprocess.TimeoutExpired:
                _stop(child)
                raise _hung(command, limit, _text(out) + _text(err)) from None
            except BaseException:  # the user's interrupt does not reach another session
                _stop(child)
                raise
            return subprocess.CompletedProcess(command, code, _text(out), _text(err))


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


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "surrogateescape")


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End a child process and all processes of its group."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_SECONDS)
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _hung(command: Sequence[str], limit: float, output: str) -> CommandError:
    message = f"{' '.join(_short_form(command))} did not end within {_duration(limit)}: stopped"
    do = "run it by hand to see what it waits for (a hook, a remote, a stage)"
    if limit != GIT_SECONDS:
        do += "; --limit gives it more time"
    return CommandError("\n".join([message, *_last_lines(output), f"  do: {do}"]))


def _last_lines(output: str) -> list[str]:
    printable = output.encode("utf-8", "replace").decode()
    lines = [line.strip() for line in printable.splitlines() if line.strip()]
    return [f"  {line}" for line in lines[-MESSAGE_LINES:]]


def _duration(seconds: float) -> str:
    return f"{seconds:g} seconds" if seconds < 120 else f"{seconds / 60:g} minutes"


def _error_of(command: Sequence[str], process: subprocess.CompletedProcess[str]) -> UnshapleyError:
    """The error of an `unshapley` command below DVC, if any; else the last lines of output."""
    text = f"{process.stdout}\n{process.stderr}"
    own_message = re.search(r"^error: (.*(?:\n  .*)*)", text, re.MULTILINE)
    code = re.search(r"exited with (\d)", text)
    if own_message:
        return CommandError(own_message[1].strip(), int(code[1]) if code else process.returncode)
    name = " ".join(_short_form(command))
    message = "\n".join([f"{name} failed", *_last_lines(text)])
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
