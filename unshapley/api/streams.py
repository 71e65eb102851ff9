"""Rows of torch's datasets and loaders, read once into arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from unshapley.errors import InputError

PAIRS = "pairs (x, y) of a row and its label"
BLOCK = 1024
"""Items that are put together at once: one by one each would be an object of its own."""
COPIES = 4
"""How often rows stand in memory at most, from here to the tensors that models see."""


def pair_of(source: Dataset[Any] | DataLoader[Any], where: object) -> tuple[Any, Any]:
    """X and y of all rows of a dataset or loader, which is read once, in the order of its rows.

    Raises `InputError` for one without rows, of other items than pairs, that draws some rows twice
    or never, or that does not fit into memory.
    """
    if isinstance(source, TensorDataset) and len(source.tensors) == 2:
        return source.tensors
    rows = _Rows(where, psutil.virtual_memory().available // COPIES)
    if isinstance(source, DataLoader):
        loader = _in_order(source, where)
        (rows.add if loader.batch_sampler is None else rows.add_batches)(loader)
    elif isinstance(source, IterableDataset):
        rows.add(source)
    elif hasattr(source, "__len__"):
        rows.add(source[i] for i in range(len(source)))
    else:
        raise InputError(
            f"is a {type(source).__name__} without a length",
            where=where,
            expected="a dataset with __len__ and __getitem__, or an IterableDataset",
        )
    return rows.together()


def as_array(values: Any, name: str, where: object) -> NDArray[Any]:
    """Values as an array; `InputError` for an x that is none of numbers."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    array: NDArray[Any] = np.asarray(values)
    if array.dtype == object and name == "x":
        raise InputError(
            f"x is of type {type(values).__name__}, which is no array of numbers",
            where=where,
            expected="an array or tensor of numbers",
        )
    return array


@dataclass
class _Rows:
    """Rows as they come in; limit: bytes that they may take."""

    where: object
    limit: int
    xs: list[NDArray[Any]] = field(default_factory=list)
    ys: list[NDArray[Any]] = field(default_factory=list)
    read: int = 0
    size: int = 0

    def add(self, items: Iterable[Any]) -> None:
        """Rows one by one, or in batches that their author has made."""
        stream = iter(items)
        first = list(islice(stream, 1))
        if first and _is_batch(first[0]):
            self.add_batches(chain(first, stream))
            return
        stream = chain(first, stream)
        while block := list(islice(stream, BLOCK)):
            pairs = [self._pair(item, "item", self.read + i) for i, item in enumerate(block)]
            self._add([as_array(x, "x", self.where) for x, _ in pairs], _labels(pairs))

    def add_batches(self, batches: Iterable[Any]) -> None:
        """Rows in batches, with their number as the first length of x and of y."""
        for number, batch in enumerate(batches):
            x, y = self._pair(batch, "batch", number)
            rows, labels = as_array(x, "x", self.where), as_array(y, "y", self.where)
            if not rows.ndim or not labels.ndim or len(rows) != len(labels):
                raise InputError(
                    f"batch {number} has x of shape {rows.shape} and y of shape {labels.shape}",
                    where=self.where,
                    expected="(rows, features …) and (rows,)",
                )
            self._add(list(rows), labels)

    def together(self) -> tuple[NDArray[Any], NDArray[Any]]:
        if not self.read:
            raise InputError("holds no rows", where=self.where, expected=PAIRS)
        return np.concatenate(self.xs), np.concatenate(self.ys)

    def _pair(self, item: Any, what: str, number: int) -> tuple[Any, Any]:
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise InputError(
                f"{what} {number} is no pair (x, y) but a {type(item).__name__}",
                where=self.where,
                expected=PAIRS,
            )
        return item[0], item[1]

    def _add(self, rows: list[NDArray[Any]], labels: NDArray[Any]) -> None:
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        shapes = {row.shape for row in rows} | {part.shape[1:] for part in self.xs[:1]}
        if len(shapes) > 1:
            raise InputError(
                f"rows of different shapes: {', '.join(map(str, sorted(shapes)))}",
                where=self.where,
                expected="rows of one shape",
            )
        if self.ys and labels.shape[1:] != self.ys[0].shape[1:]:
            raise InputError(
                f"labels of the shapes {self.ys[0].shape} and {labels.shape}",
                where=self.where,
                expected="(rows,): a class or a number for each row",
            )
        self.xs.append(np.stack(rows))
        self.ys.append(labels)
        self.read += len(rows)
        self.size += self.xs[-1].nbytes
        if self.size > self.limit:
            raise InputError(
                f"its first {self.read:,} rows take {self.size / 2**20:,.0f} MiB; with the copies "
                f"that are made of them {self.limit * COPIES / 2**20:,.0f} MiB, all that was free, "
                "are used up",
                where=self.where,
                expected="rows that fit into memory: they are read once and kept, as every "
                "coalition is measured on them",
                do="give fewer rows or features (an endless stream has to be cut: itertools.islice)"
                ", or write them to files for `unshapley run`",
            )


def _is_batch(item: Any) -> bool:
    """Whether it holds as many labels as rows, and not one of each."""
    if not isinstance(item, tuple | list) or len(item) != 2:
        return False
    x, y = item
    return np.ndim(y) > 0 and len(y) > 1 and np.ndim(x) > 1 and len(x) == len(y)


def _labels(pairs: list[tuple[Any, Any]]) -> NDArray[Any]:
    return np.array([y.item() if hasattr(y, "item") else y for _, y in pairs])


def _in_order(loader: DataLoader[Any], where: object) -> DataLoader[Any]:
    """A loader of the same rows that takes each of them once, in the order of its dataset: the same
    call gives the same numbers then, and no row is left out of the last batch.
    """
    batches = loader.batch_sampler
    if batches is not None and not isinstance(batches, BatchSampler):
        return loader  # batches of the user's own
    sampler = loader.sampler if batches is None else batches.sampler
    stream = isinstance(loader.dataset, IterableDataset)
    _check_each_once(sampler, where)
    own = None if stream or isinstance(sampler, RandomSampler | SequentialSampler) else sampler
    return DataLoader(
        loader.dataset,
        batch_size=None if batches is None else batches.batch_size,
        sampler=own,
        collate_fn=loader.collate_fn,
        # workers each read a whole stream, unless its author has divided it among them
        num_workers=0 if stream else loader.num_workers,
        worker_init_fn=loader.worker_init_fn,
    )


def _check_each_once(sampler: object, where: object) -> None:
    """Raise `InputError` for a sampler that does not give each row once."""
    if isinstance(sampler, WeightedRandomSampler) or (
        isinstance(sampler, RandomSampler)
        and (sampler.replacement or sampler.num_samples != len(sampler.data_source))
    ):
        raise InputError(
            f"its {type(sampler).__name__} takes some rows twice and others never",
            where=where,
            expected="every row once",
            do="give the loader's dataset: loader.dataset",
        )
