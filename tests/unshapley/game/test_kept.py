"""What coalitions keep of the rows, and how much of it is there twice."""

from __future__ import annotations

import numpy as np
import torch

from unshapley.data.windows import windows
from unshapley.models.shared_rows import RUN, shared_rows

EVERY = (np.arange(16)[:, None] >> np.arange(4) & 1).astype(bool)


def repeated(x, y, owner, staying):
    return shared_rows(x, y, owner).repeated(staying)


def by_sets(held: list[set[int]]) -> list[float]:
    """The definition, read aloud."""
    out = []
    for stays in EVERY:
        members = [held[i] for i in np.flatnonzero(stays)]
        together = sum(map(len, members))
        out.append(1 - len(set().union(*members)) / together if together else 0.0)
    return out


def test_repeated_rows_count_with_their_label() -> None:
    held = [{0, 1, 2}, {2, 3}, {0, 1, 2, 4}, {5}]
    table = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    own = [sorted(rows) for rows in held]
    x = torch.cat([table[rows] for rows in own])
    y = torch.cat([torch.tensor(rows) % 2 for rows in own])
    owner = torch.cat([torch.full((len(rows),), i) for i, rows in enumerate(own)])
    np.testing.assert_allclose(repeated(x, y, owner, EVERY), by_sets(held))
    assert not repeated(x, y + 2 * owner, owner, EVERY).any()


def test_a_providers_own_repetitions_are_not_shared_ones() -> None:
    x, y = torch.zeros(6, 2), torch.zeros(6, dtype=torch.int64)
    x[3:] += 1
    owner = torch.tensor([0, 0, 0, 1, 1, 1])
    assert not repeated(x, y, owner, EVERY[:4, :2]).any()


def test_text_is_found_where_it_stands_elsewhere_in_a_window() -> None:
    rng = np.random.default_rng(0)
    texts = [rng.integers(1, 500, 200).tolist() for _ in range(3)]
    texts.append([7, 8, 9, *texts[0]])
    parts = [windows([text], 64) for text in texts]
    x, y = (torch.from_numpy(np.concatenate(part)) for part in zip(*parts, strict=True))
    owner = torch.repeat_interleave(torch.arange(4), torch.tensor([len(p[0]) for p in parts]))
    shared = repeated(x, y, owner, EVERY)
    both = EVERY[:, 0] & EVERY[:, 3]
    assert not shared[~both].any()
    pair = shared[both & (EVERY.sum(axis=1) == 2)].item()
    assert 0.5 * (1 - 8 * RUN / 200) < pair < 0.5
    everybody = shared[EVERY.all(axis=1)].item()
    assert 0 < everybody < pair


def test_of_very_many_rows_a_part_is_compared_that_is_the_same_for_all(monkeypatch):
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.random((30000, 2)))
    x[20000:] = x[:10000]
    y, owner = torch.zeros(30000, dtype=torch.int64), torch.arange(3).repeat_interleave(10000)
    both = np.array([[True, False, True], [True, True, False], [True, True, True]])
    exactly = repeated(x, y, owner, both)
    monkeypatch.setattr("unshapley.models.shared_rows.MOST", 3000)
    monkeypatch.setattr("unshapley.models.shared_rows.BLOCK", 1000)
    np.testing.assert_allclose(repeated(x, y, owner, both), exactly, atol=0.02)
    np.testing.assert_allclose(exactly, [0.5, 0.0, 1 / 3])
