"""End a command in time when it is told to stop, whatever it is doing.

Prefect reports a stopped run to its server and waits for the tasks that run; where the server has
gone too, each of its queued events waits for it in vain, for hours. What was measured is on disk
already, so after a while the process just ends.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

GRACE = 5.0
"""Seconds for an orderly end."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)
GOES_ON = "the same command goes on where this one stopped"


class Stopped(KeyboardInterrupt):
    """The process was told to stop, by this signal."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """On SIGTERM or SIGINT `Stopped` is raised in the main thread; if the process is still there
    `GRACE` seconds later, it and its child processes end.

    Does nothing outside the main thread, which alone may handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.signal(s, _stop) for s in SIGNALS}
    # bytes arrive here whatever handler Prefect sets in the meantime
    read, write = os.pipe()
    os.set_blocking(write, False)
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_end_after_signal, args=(read,), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for signum, handler in before.items():
            signal.signal(signum, handler)
        os.close(write)


def end(code: int, message: str) -> NoReturn:
    """End this process and all that it has started, without waiting for anything."""
    # not print: another thread may hold its lock
    os.write(sys.stderr.fileno(), f"{message}\n".encode())
    end_children()
    os._exit(code)


def end_children() -> None:
    """Kill all processes that this one has started, directly or not."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue


def said(signum: int) -> str:
    """What a stopped command says."""
    return f"stopped by {signal.Signals(signum).name}; {GOES_ON}"


def _stop(signum: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped(signum)


def _end_after_signal(pipe: int) -> None:
    """Wait for a signal's byte, then for the orderly end, then end the process."""
    while received := os.read(pipe, 1):
        if received[0] in SIGNALS:
            threading.Event().wait(GRACE)
            end(128 + received[0], said(received[0]))
    os.close(pipe)
