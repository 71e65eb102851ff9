"""Which providers hold the same training rows, or the same runs of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from unshapley.data.windows import NONE
from unshapley.models.losses import is_text

RUN = 8
"""Tokens of the runs by which text is compared: copies are found that begin elsewhere in a row.
What is shorter is not compared."""
MOST = 2**19
"""Hashes that are compared; of more, those that are smallest: the same of all providers."""
BLOCK = 2**22
"""Numbers that are hashed at once."""
CELLS = 2**24
"""Numbers of sets times coalitions that are in memory at once."""

Floats = NDArray[np.float64]
Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class SharedRows:
    """What of the rows several providers hold.

    holders: each set of providers that hold the same, once, 1 where one belongs to it
    `(sets, providers)`; times: how much each set holds `(sets,)`; own: how much is different with
    each provider `(providers,)`. Providers are those with rows, up to the last one.
    """

    holders: sparse.csr_array
    times: Floats
    own: Floats

    def repeated(self, staying: NDArray[np.bool_]) -> Floats:
        """How much of what coalitions hold another of their members holds too `(m,)`: 1 less what
        is different over the sum of what is different with each member; staying: `(m, providers)`.
        """
        out = np.zeros(len(staying))
        if not len(self.times):
            return out
        block = max(1, CELLS // len(self.times))
        for begin in range(0, len(staying), block):
            part = staying[begin : begin + block, : len(self.own)].astype(np.float64)
            again = np.maximum(self.holders @ part.T - 1, 0)
            out[begin : begin + block] = self.times @ again / np.maximum(part @ self.own, 1)
        return out


def shared_rows(x: Tensor, y: Tensor, owner: Tensor) -> SharedRows:
    """Of rows `(x, y)`, compared label and all, or of the tokens of text; owner: `(rows,)`."""
    parts = _hashes(x.cpu().numpy(), y.cpu().numpy(), owner.cpu().numpy(), text=is_text(y))
    hashes, owners = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.lexsort((owners, hashes))
    hashes, owners = hashes[order], owners[order]
    new = np.ones(len(hashes), dtype=bool)
    new[1:] = hashes[1:] != hashes[:-1]
    different = new.copy()
    different[1:] |= owners[1:] != owners[:-1]
    owners, begins = owners[different], np.flatnonzero(new[different])
    own = np.bincount(owners).astype(np.float64)
    held = np.diff(np.append(begins, len(owners)))
    several = held > 1
    if not several.any():
        return SharedRows(sparse.csr_array((0, len(own))), np.zeros(0), own)
    marks = np.random.default_rng(0).integers(1, 2**63, len(own), dtype=np.uint64)
    sets = np.add.reduceat(marks[owners], begins)[several]
    _, example, times = np.unique(sets, return_index=True, return_counts=True)
    begins, held = begins[several][example], held[several][example]
    ends = np.append(0, np.cumsum(held))
    members = owners[np.arange(ends[-1]) + np.repeat(begins - ends[:-1], held)]
    holders = sparse.csr_array((np.ones(ends[-1]), members, ends), (len(begins), len(own)))
    return SharedRows(holders, times.astype(np.float64), own)


def _hashes(
    x: NDArray[np.generic], y: NDArray[np.generic], owner: NDArray[np.int64], *, text: bool
) -> Iterator[tuple[Hashes, NDArray[np.int64]]]:
    """A hash of each row, or run of tokens, and whose it is; of many the smallest."""
    run = min(RUN, y.shape[1]) if text else 0
    width = y.shape[1] if text else int(np.prod(x.shape[1:])) + 1
    count = len(y) * (width - run + 1) if text else len(y)
    limit = np.uint64(min(1.0, MOST / max(1, count)) * (2**64 - 2**12))
    factors = np.random.default_rng(1).integers(0, 2**63, width, dtype=np.uint64) * 2 + 1
    step = max(1, BLOCK // width)
    for begin in range(0, max(1, len(y)), step):
        part = slice(begin, begin + step)
        labels, whose = y[part], owner[part]
        if text:
            tokens, starts = labels.astype(np.uint64), width - run + 1
            found = sum(
                (_mixed(tokens[:, k : k + starts], factors[k]) for k in range(run)),
                np.zeros((len(tokens), starts), dtype=np.uint64),
            )
            kept = labels[:, run - 1 :] != NONE
            hashes, owners = found[kept], np.repeat(whose, kept.sum(axis=1))
        else:
            flat = x[part].reshape(len(labels), width - 1)
            table = np.column_stack([flat, labels]).astype(np.float64)
            table += 0.0  # −0 and 0 are the same
            hashes = _mixed(table.view(np.uint64), factors).sum(axis=1, dtype=np.uint64)
            owners = whose
        hashes = _mixed(hashes, factors[0])
        yield hashes[hashes <= limit], owners[hashes <= limit]


def _mixed(numbers: Hashes, factors: Hashes | np.uint64) -> Hashes:
    """Each number onto another, of 64 bits; factors: odd."""
    out: Hashes = (numbers ^ (numbers >> np.uint64(32))) * factors
    return out ^ (out >> np.uint64(29))
