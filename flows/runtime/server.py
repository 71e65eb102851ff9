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
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from flows.runtime.settings import names_server
from unshapley.errors import UnshapleyError

APP = "prefect.server.api.server:create_app"
PATIENCE = 180
"""Seconds that it may take to start: 5 are usual, 20 on a busy machine that makes its database."""
SHORT = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
"""Without user interface and scheduler, as Prefect starts a server for one process."""
_PR_SET_PDEATHSIG = 1


@contextmanager
def embedded_server() -> Iterator[EmbeddedServer]:
    """A server of our own, unless the user names one; wait for it before a flow runs.

    To be entered before Prefect is imported. It ends with this process, when Prefect has delivered
    its last events.
    """
    server = EmbeddedServer()
    if not names_server():
        server.start()
    try:
        yield server
    except BaseException:
        server.stop()
        raise


class EmbeddedServer:
    """The process and its address; nothing is done where it was not started."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

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
            preexec_fn=_end_with_parent,  # noqa: PLW1509 (no other thread runs as yet)
        )
        os.environ["PREFECT_API_URL"] = self.url
        atexit.register(self.stop)

    def wait(self) -> None:
        """Until it answers; `UnshapleyError` where it ends, or takes too long."""
        if self.process is None:
            return
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self.process.poll() is None:
            if self._answers():
                return
            time.sleep(0.05)
        state = "does not answer" if self.process.poll() is None else "ended"
        raise UnshapleyError(
            f"Prefect's server for this run {state}; its home is {os.environ['PREFECT_HOME']}\n"
            "  do: run the same command again, or name a running server by PREFECT_API_URL"
        )

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as reply:  # noqa: S310
                return bool(reply.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        """End it, and forget its address."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
        if os.environ.get("PREFECT_API_URL") == self.url:
            del os.environ["PREFECT_API_URL"]


_LIBC = ctypes.CDLL(None, use_errno=True)


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
