"""What all commands share: options, the one way to end with an error, the start of a session."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.runtime.observing.logs import log_as_json, wants_json
from flows.runtime.stopping import Stopped, end, ending_on_signals, ending_without_memory, said
from unshapley.errors import InputError, UnshapleyError, lacks_memory
from unshapley.extensions import look_in

ProjectOption = Annotated[
    Path, typer.Option("--project", "-p", help="Folder that holds params.yaml and data/.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show Prefect's log too.")]

# where OpenBLAS cannot start its threads it interrupts the process, as Ctrl-C would; what we
# compute with it runs on one thread anyway, and it reads this when numpy is imported
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
CLOSED = {errno.EACCES, errno.EPERM}
"""What keeps a file from being written and is for the user to mend."""
LESS_MEMORY = (
    "; if it fails again, lower run.workers or valuation.memory_mb, where it trained a model "
    "pretrain.batch_size"
)
"""What may be lowered where memory is out; what was measured in chunks of another size counts."""


def reported(command: Callable[..., None]) -> Callable[..., None]:
    """End with one clear message and the right exit code; tracebacks are for defects only."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        look_in(kwargs.get("project") or Path())  # for objects that params.yaml names
        try:
            with ending_on_signals(), ending_without_memory():
                command(*args, **kwargs)
        except UnshapleyError as error:
            _print_error(str(error))
            raise typer.Exit(error.exit_code) from None
        except OSError as error:
            if error.errno not in NO_ROOM | CLOSED:
                raise
            _print_error(str(_of_the_disk(error)))
            raise typer.Exit(InputError.exit_code) from None
        except Exception as error:
            failure = failure_of_the_machine(error)
            if not failure:
                raise
            do = f"run the same command again{LESS_MEMORY if 'memory' in failure else ''}"
            _print_error(f"{failure}\n  finished chunks are kept\n  do: {do}")
            raise typer.Exit(UnshapleyError.exit_code) from None
        except Stopped as stopped:
            # no way back: Prefect would deliver its last events to a server that may be gone
            end(128 + stopped.signum, said(stopped.signum))

    return wrapper


def _of_the_disk(error: OSError) -> InputError:
    from unshapley.files import unwritable

    path = Path(str(error.filename or "a file"))
    if error.errno in CLOSED:
        return InputError(
            f"cannot be opened: {error.strerror}", where=path, do="correct its permissions"
        )
    return unwritable(path, error)


def failure_of_the_machine(error: Exception) -> str:
    """What failed, in words, where it was neither the user nor a defect of ours; else empty."""
    kind, reason = type(error), (str(error).strip() or type(error).__name__).splitlines()[0]
    if kind.__module__.startswith("httpx") or kind.__name__ == "PrefectHTTPStatusError":
        return f"Prefect's server failed: {reason}"
    if kind.__name__ == "BrokenProcessPool":
        return "a process that measures was killed, as a machine does that runs out of memory"
    if lacks_memory(error):
        return f"the machine is out of memory: {reason}"
    return ""


def _print_error(message: str) -> None:
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    console.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)


def warn(message: str) -> None:
    """Print a line for people, apart from what a command gives."""
    if wants_json():
        logging.getLogger("unshapley.cli").info(message.strip())
        return
    print(message, file=sys.stderr)


def print_json(content: Any) -> None:
    """Print what a command gives, for programs."""
    print(json.dumps(content, indent=2, ensure_ascii=False, default=str))


def escape(text: str) -> str:
    """Text that rich shows as it stands."""
    from rich.markup import escape as escaped

    return escaped(text)


def start(project: Path, *, verbose: bool = False) -> None:
    """Set up Prefect and Great Expectations, which read their settings when they are imported."""
    from flows.runtime.settings import configure

    configure(project, verbose=verbose)
    logger = logging.getLogger("unshapley")
    logger.setLevel(logging.INFO)
    log_as_json()
    if not verbose and not logger.handlers:
        logger.addHandler(_Messages())


class _Messages(logging.Handler):
    """Our own messages as plain lines, on what is the standard error stream at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage(), file=sys.stderr)


@contextmanager
def options_for(names: Mapping[str, str], do: str = "") -> Iterator[None]:
    """Report a mistake in a key of params.yaml as one in the option that was given instead.

    names: option by key.
    """
    try:
        yield
    except InputError as error:
        if error.where not in names:
            raise
        option = names[str(error.where)]
        raise InputError(
            error.what, where=option, expected=error.expected, do=do or error.do
        ) from None
