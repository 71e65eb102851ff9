"""Commands as processes: started in a moment by forking, or as a user starts them."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import psutil

from flows.runtime.server import ends_with_parent
from flows.runtime.stopping import end_children

CODE = "from flows.cli import main; main()"
LOOK = 0.1
PATIENCE = 240.0
"""Seconds after which a command that goes on by itself is said to hang."""


@dataclass
class Command:
    """A running `unshapley`. family: the processes that it had when we last looked."""

    process: psutil.Process
    log: Path
    begin: float = field(default_factory=time.monotonic)
    family: list[psutil.Process] = field(default_factory=list)

    def ends_within(self, seconds: float) -> bool:
        """Whether it ends in that time, counted from its start."""
        try:
            self.wait(max(0.0, self.begin + seconds - time.monotonic()))
        except psutil.TimeoutExpired:
            return False
        return True

    def wait(self, seconds: float = PATIENCE) -> int:
        """Its exit code, negative for a signal; `psutil.TimeoutExpired` if it works on.

        Counted in looks, so that a drill that is halted with all its commands does not take them for
        hanging when it goes on.
        """
        for _ in range(int(seconds / LOOK)):
            try:
                return int(self.process.wait(timeout=LOOK) or 0)
            except psutil.TimeoutExpired:
                continue
        return int(self.process.wait(timeout=seconds % LOOK) or 0)

    def look(self) -> list[psutil.Process]:
        """Note which processes it has started, and return those that live."""
        try:
            self.family = self.process.children(recursive=True)
        except psutil.NoSuchProcess:
            self.family = []
        return self.family

    def end(self) -> None:
        """Kill it and all that it has started."""
        for process in [self.process, *self.look()]:
            if process.is_running():
                process.kill()
        psutil.wait_procs([self.process], timeout=10)

    def printed(self) -> str:
        """What it printed; nothing where it was killed before it had a log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def start(
    words: Sequence[object], log: Path, env: Mapping[str, str], *, fresh: bool = False
) -> Command:
    """Run `unshapley` with these words; what it prints goes to `log`.

    fresh: in a new interpreter with a server of its own, as a user does. Else in a fork of this
    process, which has all modules loaded already, on the server that `env` names.
    """
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return Command(psutil.Process(pid), log)
    try:
        _become(list(map(str, words)), log, env, fresh)
    finally:
        os._exit(99)


def _become(words: list[str], log: Path, env: Mapping[str, str], fresh: bool) -> NoReturn:
    os.setsid()
    ends_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (written, 1), (written, 2)):
        os.dup2(source, target)
    os.environ.update(env)
    if fresh:
        os.environ.pop("PREFECT_API_URL", None)
        os.execve(sys.executable, [sys.executable, "-c", CODE, *words], os.environ)
    code = 1
    try:
        code = _run(words, env)
    except BaseException:  # noqa: BLE001 (what an interpreter would print)
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    loaded(log).write_text("\n".join(sorted(sys.modules)))
    end_children()
    os._exit(code)


def loaded(log: Path) -> Path:
    """Names of the modules that a forked command had loaded in the end."""
    return log.with_suffix(".modules")


def preload(names: Sequence[str]) -> None:
    """Import what a command has imported, so that forks of this process need not: more than half of
    what they take is for that.
    """
    for name in names:
        if name not in sys.modules:
            with suppress(Exception):  # one that only its package can import
                importlib.import_module(name)
    assert threading.active_count() == 1, "what is forked may have no other thread"


def _run(words: list[str], env: Mapping[str, str]) -> int:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.cli import main

    sys.argv = ["unshapley", *words]
    with temporary_settings(updates={PREFECT_API_URL: env["PREFECT_API_URL"]}):
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0
