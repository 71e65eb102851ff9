"""Arguments of tasks."""

from __future__ import annotations

from typing import TypeVar, cast

from prefect.utilities.annotations import quote

T = TypeVar("T")


def unvisited(value: T) -> T:
    """An argument that Prefect passes on as it is.

    It would look for futures in every element of its lists, as are the utilities of a plan and
    their bootstrap samples: a second for 1000 coalitions.
    """
    return cast("T", quote(value))
