"""The command line in this process: what a user would see, without the seconds of a new process."""

from __future__ import annotations

from dataclasses import dataclass

from typer.testing import CliRunner

from flows.cli import app


@dataclass(frozen=True)
class Done:
    """What a command printed and how it ended."""

    returncode: int
    stdout: str
    stderr: str


def unshapley(*arguments: object) -> Done:
    """Run `unshapley` with these arguments; a defect of ours is raised, as it would be shown."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)
