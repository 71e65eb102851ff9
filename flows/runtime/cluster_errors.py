"""What may be wrong with a cluster, each in one clear error."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from unshapley.errors import InputError, UnshapleyError

PATIENCE = 60.0
"""Seconds that a cluster may be without any worker."""
BETWEEN_LOOKS = 15.0
"""Seconds between two looks whether there are workers."""
TO_CONNECT = 10
"""Seconds until a scheduler or head must have answered."""
EXAMPLES = {"dask": "tcp://host:8786", "ray": "ray://host:10001"}
AGAIN = "finished chunks are kept\n  do: run the same command again"


def no_answer(address: str, runner: str, error: object) -> InputError:
    """Nothing, or something else, is at the address of a cluster."""
    return InputError(
        f"no {runner.capitalize()} cluster answers at {address}: {_reason(error)}",
        where="run.address",
        expected=f"the address of one that runs, such as {EXAMPLES[runner]}",
        do="start it, correct the address, or leave it out: then one is started for the run",
    )


def no_workers(address: str) -> UnshapleyError:
    """A cluster that has had no worker for a while."""
    return UnshapleyError(
        f"the cluster at {address} has had no worker for {PATIENCE:.0f} s; {AGAIN}, when workers "
        "have joined it"
    )


def lost(address: str, error: object) -> UnshapleyError:
    """A cluster that went away in the middle."""
    return UnshapleyError(f"the cluster at {address} was lost: {_reason(error)}; {AGAIN}")


def _reason(error: object) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def killed(worker: str) -> UnshapleyError:
    """A chunk that killed each worker that tried it."""
    return UnshapleyError(
        f"each worker that measured a chunk died, the last one {worker}, as one does that runs out "
        "of memory\n  finished chunks are kept\n"
        "  do: lower valuation.memory_mb or valuation.chunk_size, or give workers more memory"
    )


def refuse(worker: str, error: BaseException) -> NoReturn:
    """Raise what a worker raised, with its name; `InputError` where it lacks our sources."""
    if isinstance(error, InputError):
        what = f"worker {worker}: {error.what}"
        raise InputError(what, where=error.where, expected=error.expected, do=error.do) from None
    if isinstance(error, ImportError | AttributeError):
        raise InputError(
            f"worker {worker} cannot run this version of unshapley: {error}",
            do="install the same version, with the same packages, on every worker",
        ) from None
    raise error


def first_refusal(refusals: Iterable[tuple[str, Any]]) -> None:
    """Raise for the first of (worker, error) whose error is one."""
    for worker, error in refusals:
        if isinstance(error, BaseException):
            refuse(worker, error)
