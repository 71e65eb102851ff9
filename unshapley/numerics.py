"""One thread and deterministic kernels, for as long as a computation takes.

The order of sums, and so every bit, must depend neither on the number of cores nor on how work is
spread; and what the caller's process had set is restored.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

_LOCK = threading.Lock()
_BEFORE: list[tuple[int, int, bool]] = []
"""What was set before the first of the computations that are under way, one entry for each."""


@contextmanager
def deterministic() -> Iterator[None]:
    """Torch on one thread with deterministic kernels; several threads may be inside at a time.

    The last one to leave restores what the first one found.
    """
    _enter()
    try:
        yield
    finally:
        _leave()


def square_root(x: Tensor) -> Tensor:
    """Without a gradient, and rounded as IEEE 754 demands: torch's is not (it is that of MKL's
    vector library), and has other last bits on processors of other makers.
    """
    if x.device.type != "cpu":
        return x.detach().sqrt()
    return torch.from_numpy(np.sqrt(x.detach().numpy()))


@contextmanager
def one_thread() -> Iterator[None]:
    """numpy, scipy and torch on one thread."""
    with deterministic(), threadpool_limits(1):
        yield


def reserve_buffers() -> None:
    """Have the libraries of numpy and scipy take their working memory now. Where they cannot have
    it later, they ask for it for ever, and keep all of Python from running meanwhile.
    """
    from scipy.linalg import lapack

    square = np.eye(256)
    np.dot(square, square)
    lapack.dgetrf(square)


def _enter() -> None:
    if torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        # it stays set: changing variables while other threads read them is not safe
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with _LOCK:
        _BEFORE.append(_BEFORE[0] if _BEFORE else _settings())
        torch.set_num_threads(1)
        # not use_deterministic_algorithms: it imports torch's compiler, which takes 2 s
        torch.set_deterministic_debug_mode("error")
        # filling new memory guards against reads of unwritten values; newton takes 10 % longer
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def _leave() -> None:
    with _LOCK:
        threads, algorithms, fill = _BEFORE.pop()
        if not _BEFORE:
            torch.set_num_threads(threads)
            torch.set_deterministic_debug_mode(algorithms)
            torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


def _settings() -> tuple[int, int, bool]:
    return (
        torch.get_num_threads(),
        torch.get_deterministic_debug_mode(),
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
    )
