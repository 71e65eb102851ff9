"""Cron expressions: when they fire, and that they do."""

from __future__ import annotations

from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from unshapley.errors import InputError

NIGHTLY = "0 3 * * *"
WEEKLY = "0 5 * * 0"


def check_cron(cron: str, where: str = "--schedule") -> None:
    """Raise `InputError` for what is no cron expression of five fields, or never fires."""
    fields = cron.split()
    problem = "five fields are needed" if len(fields) != 5 else _problem(cron)
    if not problem:
        return
    if len(fields) == 5 and not _problem(" ".join([*fields[:3], "*", fields[4]])):
        raise InputError(
            f"{cron!r} never fires: no such day comes", where=where, do="correct day and month"
        )
    raise InputError(
        f"{cron!r} is no cron expression: {problem}",
        where=where,
        expected=f"minute hour day month weekday, such as {NIGHTLY!r}: at three each night, UTC",
    )


def _problem(cron: str) -> str:
    """Why an expression does not fire in the next 50 years; empty where it does."""
    try:
        next(CronSim(cron, datetime.now(UTC)))
    except CronSimError as error:
        return str(error)
    except StopIteration:
        return "it never fires"
    return ""
