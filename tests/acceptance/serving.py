"""`unshapley serve` as a user starts it, and what its API answers."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.clusters import free_port
from tests.conftest import USER, copy_database
from tests.flows.checkouts import NAMED

HOME = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


class Server:
    """A server in a folder of its own, which is its home too."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder, self.port = folder, free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        folder.mkdir(exist_ok=True)
        self.environment = {
            **{k: v for k, v in USER.items() if k != "PREFECT_HOME"},
            **NAMED,
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PYTHONPATH": str(HOME),
            **environment,
        }
        copy_database(folder / ".prefect")

    @property
    def out(self) -> Path:
        """What it has printed."""
        return self.folder / "out"

    @contextmanager
    def serving(self, *arguments: object, end: int = signal.SIGTERM) -> Iterator[str]:
        """Start it; yields what it has printed, and ends it by a signal."""
        command = [BIN / "unshapley", "serve", *arguments, "--port", self.port]
        out = self.out
        with out.open("w") as file:
            process = subprocess.Popen(
                [*map(str, command)],
                cwd=self.folder,
                env=self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
            try:
                wait_for(lambda: "next:" in out.read_text() or process.poll() is not None)
                assert process.poll() is None, out.read_text()
                yield out.read_text()
            finally:
                process.send_signal(end)
                process.wait(timeout=60)

    def command(self, *arguments: object) -> str:
        """Run another command in its folder."""
        words = [*map(str, (BIN / "unshapley", *arguments))]
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, path: str, content: Any = None, method: str = "") -> Any:
        """What the API answers to somebody who has its credentials, if it asks for any."""
        auth = self.environment.get("PREFECT_API_AUTH_STRING", "")
        headers = {"content-type": "application/json"}
        if auth:
            headers |= basic(auth)
            with urllib.request.urlopen(
                urllib.request.Request(f"{self.api}/csrf-token?client=test", headers=headers)
            ) as answer:
                headers |= {
                    "Prefect-Csrf-Token": json.load(answer)["token"],
                    "Prefect-Csrf-Client": "test",
                }
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(
            f"{self.api}/{path}", body, headers, method=method or ("POST" if body else "GET")
        )
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or "null")

    def run(self, deployment: str, **parameters: Any) -> dict[str, Any]:
        """Run a deployment to its end."""
        return self.end_of(self.begin(deployment, **parameters)["id"])

    def begin(self, deployment: str, **parameters: Any) -> dict[str, Any]:
        known = self.ask(f"deployments/name/{deployment}")
        return self.ask(f"deployments/{known['id']}/create_flow_run", {"parameters": parameters})

    def end_of(self, run: str) -> dict[str, Any]:
        wait_for(lambda: self.ask(f"flow_runs/{run}")["state_type"] in ENDED)
        return self.ask(f"flow_runs/{run}")

    def schedules(self) -> dict[str, list[tuple[str, bool]]]:
        """Cron and whether it is on, by deployment."""
        flows = {f["id"]: f["name"] for f in self.ask("flows/filter", {})}
        return {
            f"{flows[d['flow_id']]}/{d['name']}": [
                (s["schedule"]["cron"], s["active"]) for s in d["schedules"]
            ]
            for d in self.ask("deployments/filter", {})
        }


def basic(auth: str) -> dict[str, str]:
    """The header that names user:password."""
    return {"Authorization": f"Basic {base64.b64encode(auth.encode()).decode()}"}


def wait_for(true: Callable[[], Any], seconds: float = 900) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.5)


def left_of(server: Server) -> list[str]:
    """Processes that a server has left."""
    import psutil

    return [
        " ".join(p.info["cmdline"])
        for p in psutil.process_iter(["cmdline", "cwd", "environ"])
        if (p.info["environ"] or {}).get("PREFECT_API_URL") == server.api
    ]
