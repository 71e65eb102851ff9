"""Processes that belong together: started in order, restarted a few times, ended all at once."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from flows.runtime.server import ends_with_parent
from unshapley.errors import UnshapleyError

RESTARTS, WITHIN = 3, 600.0
"""How often a part may end by itself, in so many seconds, before the whole ends."""
BETWEEN_LOOKS = 0.5
PATIENCE = 20.0
"""Seconds that a part has to end when it is told to."""
LARGEST_LOG = 20 * 2**20
SHOWN = 8
"""Lines of a log that an error shows."""
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Part:
    """A process of the whole. ready: whether it answers; None where nobody waits for it."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready: Callable[[], bool] | None = None


@dataclass
class _Running:
    part: Part
    process: subprocess.Popen[bytes]
    ends: list[float] = field(default_factory=list)


class Supervisor:
    """Use it as a context manager: whatever ends the block, no process of it is left."""

    def __init__(self, logs: Path, tell: Callable[[str], None]) -> None:
        self.logs, self.tell = logs, tell
        self._running: list[_Running] = []
        self._others: set[int] = set()
        """children that this process had before, and their own"""

    def start(self, part: Part) -> None:
        """Start a part in the background."""
        self._running.append(_Running(part, self._launch(part)))

    def wait(self, part: Part, patience: float) -> None:
        """Until a started part is ready; `UnshapleyError` where it ends, or takes too long."""
        (running,) = (r for r in self._running if r.part is part)
        until = time.monotonic() + patience
        while part.ready and not part.ready():
            if running.process.poll() is not None:
                raise self._error(part, f"ended with code {running.process.returncode}")
            if time.monotonic() > until:
                raise self._error(part, f"did not answer within {patience:.0f} s")
            time.sleep(BETWEEN_LOOKS)

    def watch(self, look: Callable[[], None]) -> None:
        """Restart what ends, and call `look` now and then, until a signal ends it; raises
        `UnshapleyError` when a part has ended too often.
        """
        while True:
            for running in self._running:
                if running.process.poll() is not None:
                    self._restart(running)
            look()
            time.sleep(BETWEEN_LOOKS)

    def stop(self) -> None:
        """End the parts, the last first, and then what they have left."""
        for running in reversed(self._running):
            _end(running.process)
        self._running.clear()
        _kill([c for c in _children() if c.pid not in self._others])

    def __enter__(self) -> Supervisor:
        # what a part leaves becomes a child of ours, so that it can be found
        self._others = {child.pid for child in _children()}
        _adopt(1)
        return self

    def __exit__(self, *_: object) -> None:
        with _undisturbed():
            self.stop()
        _adopt(0)

    def _restart(self, running: _Running) -> None:
        part, now = running.part, time.monotonic()
        running.ends = [t for t in running.ends if now - t < WITHIN] + [now]
        ending = f"ended with code {running.process.returncode}"
        if len(running.ends) > RESTARTS:
            often = f"{len(running.ends)} times within {WITHIN / 60:.0f} minutes"
            raise self._error(part, f"{ending}, {often}")
        self.tell(f"{part.name} {ending} and is started again; see {self._log(part)}")
        time.sleep(2.0 ** (len(running.ends) - 1))
        running.process = self._launch(part)

    def _launch(self, part: Part) -> subprocess.Popen[bytes]:
        path = self._log(part)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > LARGEST_LOG:
            path.replace(path.with_suffix(".old.log"))
        with path.open("ab") as log:
            return subprocess.Popen(
                list(part.command),
                env=dict(part.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us: we end them in order
                preexec_fn=ends_with_parent,  # noqa: PLW1509 (no other thread holds a lock it needs)
            )

    def _log(self, part: Part) -> Path:
        return self.logs / f"{part.name}.log"

    def _error(self, part: Part, what: str) -> UnshapleyError:
        path = self._log(part)
        with suppress(OSError):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            last = [line.rstrip() for line in lines if line.strip()][-SHOWN:]
            what += "\n" + "\n".join(f"  | {line}" for line in last)
        return UnshapleyError(f"{part.name} {what}\n  do: see {path}, correct it, start again")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Tell a process and what it has started to end; kill what does not in time."""
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid)
        for member in [*family.children(recursive=True), family]:
            with suppress(psutil.NoSuchProcess):
                member.terminate()
    try:
        process.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=5)  # reaps those that have become ours


def _adopt(orphans: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, orphans)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no further signal, nor the time that other commands have to end, interrupt the end."""
    before = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)}
    wakeup = signal.set_wakeup_fd(-1)
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for signum, handler in before.items():
            signal.signal(signum, handler)
