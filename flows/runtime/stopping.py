"""End a command in time when it is told to stop, whatever it is doing.

Prefect reports a stopped run to its server and waits for the tasks that run; where the server has
gone too, each of its queued events waits for it in vain, for hours. What was measured is on disk
already, so after a while the process just ends. So it does where no more memory is granted: a
library that cannot start a thread may wait for it for ever.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

GRACE = 5.0
"""Seconds for an orderly end."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)
THREAD_BYTES = 8 * 2**20
"""Address space that a new thread takes."""
STARVING, SPINNING, BETWEEN_LOOKS = 20.0, 60.0, 0.2
"""Seconds until a command ends: without memory for a thread, without a look; and between looks."""
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


@contextmanager
def ending_without_memory() -> Iterator[None]:
    """End the process when it could not have started a thread for `STARVING` seconds, or where its
    address space is limited and no thread of ours could run for `SPINNING` seconds: OpenBLAS asks
    again for ever for memory that it cannot have, and keeps Python's lock meanwhile.
    """
    over = threading.Event()
    threading.Thread(target=_end_starving, args=(over,), daemon=True).start()
    try:
        yield
    finally:
        over.set()
        faulthandler.cancel_dump_traceback_later()


def _end_starving(over: threading.Event) -> None:
    fed = time.monotonic()
    while not over.wait(BETWEEN_LOOKS):
        try:
            mmap.mmap(-1, THREAD_BYTES).close()
            fed = time.monotonic()
            if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
                # its clock needs no lock of Python's; every look that finds memory sets it anew
                faulthandler.dump_traceback_later(SPINNING, exit=True, file=2)
        except (OSError, MemoryError, RuntimeError):
            if time.monotonic() - fed > STARVING:
                end(1, f"error: the machine is out of memory; {GOES_ON}")


def end(code: int, message: str) -> NoReturn:
    """End this process and all that it has started, without waiting for anything."""
    # not print: another thread may hold its lock
    os.write(2, f"{message}\n".encode())
    try:
        end_children()
    finally:
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
