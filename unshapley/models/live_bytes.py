"""Counted memory: bytes of the tensors that a computation makes, at most at a time."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, adds up the memory of new tensors, and subtracts what is freed.

    `peak` is the most at a time. What was there before does not count, views count once, and what
    an operation needs inside of itself is not seen.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._now = 0
        self._alive: dict[int, int] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {t.untyped_storage()._cdata for t in _tensors((args, kwargs))}
        out = func(*args, **(kwargs or {}))
        for storage in (tensor.untyped_storage() for tensor in _tensors(out)):
            if storage._cdata not in given and storage._cdata not in self._alive:
                self._begin(storage)
        return out

    def _begin(self, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()
        self._alive[storage._cdata] = size
        self._now += size
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._end, storage._cdata)

    def _end(self, key: int) -> None:
        self._now -= self._alive.pop(key)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
