"""Prefect's API server for the time of one command, in a process of its own.

Started before Prefect is imported, so that both happen at the same time; named to Prefect and its
worker processes by PREFECT_API_URL, so that none of them starts another one. The kernel ends it
when this process ends, however that happens.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from flows.runtime.addresses import check_server
from flows.runtime.settings import names_server, send_no_heartbeats
from flows.runtime.stopping import end
from unshapley.errors import UnshapleyError

SERVED = "serve/api"
"""File of a server's home that holds its address while it runs."""
APP = "prefect.server.api.server:create_app"
PATIENCE = 180
"""Seconds that it may take to start: 5 are usual, 20 on a busy machine that makes its database."""
SHORT = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
"""Without user interface and scheduler, as Prefect starts a server for one process."""
UNREACHABLE, BETWEEN_CHECKS = 60.0, 5.0
"""Seconds that a server of the user's may be away while a flow runs, and between two looks."""
GONE = "error: {}\n  finished chunks are kept\n  do: run the same command again"
_PR_SET_PDEATHSIG = 1


@contextmanager
def embedded_server() -> Iterator[EmbeddedServer]:
    """A server of our own, unless the user names one; wait for it before a flow runs.

    To be entered before Prefect is imported. It ends with this process, when Prefect has delivered
    its last events: those of a flow that failed too, for which Prefect would wait in vain. Raises
    `InputError` where the server that the user names is of no use.
    """
    server = EmbeddedServer()
    check_named_server()
    if not names_server():
        url = served(Path(os.environ["PREFECT_HOME"]))
        if url:  # two servers on one SQLite file would lock each other out
            os.environ["PREFECT_API_URL"] = url
        else:
            server.start()
    yield server


def served(home: Path) -> str:
    """Address of the server that `unshapley serve` keeps up on this home; empty where none does."""
    try:
        url = (home / SERVED).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
    return url if answers(url) else ""


class EmbeddedServer:
    """The process and its address; nothing is done where it was not started."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self._settings: AbstractContextManager[object] | None = None

    def start(self) -> None:
        """Start it in the background."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/api"
        arguments = ["--factory", APP, "--host", "127.0.0.1", "--port", str(port)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *arguments, "--log-level", "error"],
            env={**os.environ, **SHORT},
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us: the last states are still delivered
            preexec_fn=ends_with_parent,  # noqa: PLW1509 (no other thread runs as yet)
        )
        os.environ["PREFECT_API_URL"] = self.url
        atexit.register(self.stop)

    def wait(self) -> None:
        """Until it answers; `UnshapleyError` where it ends, or takes too long.

        From then on this process ends if the server does: that of the user, if it is named and
        answers now, when it has not answered for `UNREACHABLE` seconds.
        """
        if self.process is None:
            url = named_url()
            if answers(url):
                threading.Thread(target=_end_without, args=(url,), daemon=True).start()
            return
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self.process.poll() is None:
            if answers(self.url):
                self._settings = send_no_heartbeats()
                own = (self.process,)
                threading.Thread(target=self._end_with, args=own, daemon=True).start()
                return
            time.sleep(0.05)
        state = "does not answer" if self.process.poll() is None else "ended"
        raise UnshapleyError(
            f"Prefect's server for this run {state}; its home is {os.environ['PREFECT_HOME']}\n"
            "  do: run the same command again, or name a running server by PREFECT_API_URL"
        )

    def _end_with(self, process: subprocess.Popen[bytes]) -> None:
        """End this process too when the server ends before it is stopped."""
        process.wait()
        if self.process is process:
            end(1, GONE.format("Prefect's server for this run ended"))

    def stop(self) -> None:
        """End it, and forget its address."""
        if self.process is None:
            return
        process, self.process = self.process, None  # so that its end is not taken for a fault
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if os.environ.get("PREFECT_API_URL") == self.url:
            del os.environ["PREFECT_API_URL"]


def answers(url: str) -> bool:
    """Whether the server at this address is well."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as reply:  # noqa: S310
            return bool(reply.status == 200)
    except (OSError, ValueError):  # ValueError: no address
        return False


def check_named_server() -> None:
    """Raise `InputError` where the user names a server that `check_server` refuses."""
    if names_server() and (url := named_url()):
        check_server(url)


def named_url() -> str:
    """Address of the server that the user's environment or Prefect profile names."""
    from prefect.settings import PREFECT_API_URL

    return str(PREFECT_API_URL.value() or "")


def _end_without(url: str) -> None:
    """End this process when a server has not answered for a while."""
    last = time.monotonic()
    while time.monotonic() - last < UNREACHABLE:
        time.sleep(BETWEEN_CHECKS)
        if answers(url):
            last = time.monotonic()
    end(1, GONE.format(f"Prefect's server {url} has not answered for {UNREACHABLE:.0f} s"))


_LIBC = ctypes.CDLL(None, use_errno=True)


def ends_with_parent() -> None:
    """Have the kernel end this process with the one that started it; for `preexec_fn`."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
