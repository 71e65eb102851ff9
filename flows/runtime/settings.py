"""Settings of the tools we run on; importing Prefect before `configure` comes too early."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
}
"""No telemetry leaves."""


def configure(root: Path, *, verbose: bool = True) -> None:
    """Set what the user has not set: no telemetry, and a Prefect home inside the project.

    A server named by the user's environment or Prefect profile stays the one that is used.
    verbose: let Prefect's own log lines onto the console, next to ours.
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
