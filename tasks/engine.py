"""Where the work of a task is carried out: in its own process, or on a cluster's workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Engine(Protocol):
    """Carries out functions for tasks, several at a time."""

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """What the function gives, wherever it ran; raises what it raised.

        Where the worker is lost, another one does it; `UnshapleyError` where none is left, or each
        that tried it died.
        """

    def everywhere(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call the function on every worker that there is; `InputError` names the first that it
        raised `InputError` on.
        """


class Here:
    """The process of the task itself."""

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        return function(*arguments)

    def everywhere(self, function: Callable[..., object], *arguments: Any) -> None:
        """Nothing: this process has called it, and those that it starts are like it."""
