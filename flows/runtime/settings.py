"""Settings of the tools we run on; importing Prefect before `configure` comes too early."""

from __future__ import annotations

import os
import tomllib
from contextlib import AbstractContextManager
from pathlib import Path

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Settings that turn off all telemetry."""


def configure(root: Path, *, verbose: bool = True) -> None:
    """Set defaults for what the user has not set: no telemetry, Prefect's home inside the project.

    If the user's environment or Prefect profile names a server, that server is used.
    verbose: show Prefect's own log lines on the console too.
    """
    defaults = {
        **QUIET,
        "PREFECT_LOGGING_EXTRA_LOGGERS": "unshapley",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        # one that Prefect starts itself, where a flow is called without our command line
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    }
    if not verbose:
        defaults["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
        defaults["PREFECT_SERVER_LOGGING_LEVEL"] = "CRITICAL"
    if not names_server():
        defaults["PREFECT_HOME"] = str(root.resolve() / ".prefect")
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def send_no_heartbeats() -> AbstractContextManager[object]:
    """From now on flow runs of this process send none, as long as what is returned is kept. They
    are for a server that watches many runs; a run waits up to a second for the thread that sends
    them, and no environment variable turns it off.
    """
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    settings = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    settings.__enter__()
    return settings


def names_server() -> bool:
    """Whether the user's environment or Prefect profile names a server."""
    if os.environ.get("PREFECT_API_URL") or os.environ.get("PREFECT_PROFILE"):
        return True
    home = os.environ.get("PREFECT_HOME") or Path.home() / ".prefect"
    profiles = Path(home) / "profiles.toml"
    if not profiles.is_file():
        return False
    content = tomllib.loads(profiles.read_text(encoding="utf-8"))
    active = content.get("profiles", {}).get(content.get("active", ""), {})
    return "PREFECT_API_URL" in active
