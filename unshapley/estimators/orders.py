"""Shared code of the permutation estimators: plans of blocks, paths, means over blocks."""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy import special

from unshapley.errors import InputError
from unshapley.estimators.base import SAMPLING, Estimate, Floats, Plan, check_budget
from unshapley.game.coalitions import Coalitions

Ints = NDArray[np.int64]
HISTORY = 12


def plan_of_blocks(
    name: str,
    n: int,
    budget: int,
    seed: int,
    draw: Callable[[np.random.Generator], Ints],
    longest: int | None = None,
) -> Plan:
    """As many independent blocks of permutations as fit into the budget, and at least two.

    draw: gives one block `(k, n)`; longest: prefixes of more providers are not measured. A
    coalition that occurs twice is measured once.
    """
    longest = n - 1 if longest is None else longest
    rng = np.random.default_rng(seed)
    needed = 2 * len(draw(np.random.default_rng(0))) * longest
    check_budget(budget, needed, n)
    known: dict[bytes, NDArray[np.bool_]] = {}
    blocks: list[Ints] = []
    while len(known) < sum(comb(n, s) for s in range(1, longest + 1)) or len(blocks) < 2:
        block = draw(rng)
        passed = dict(pair for order in block for pair in keyed(order, longest))
        if len(known.keys() | passed.keys()) > budget:
            break
        known |= {key: coalition for key, coalition in passed.items() if key not in known}
        blocks.append(block)
    reason = f"{len(blocks)} independent draws fit into the budget of {budget}"
    return Plan(name, np.array(list(known.values())), reason, np.vstack(blocks))


def mean_over_blocks(
    plan: Plan, table: Floats, size: int, longest: int, weight: Floats
) -> Estimate:
    """Mean marginal contribution, with the covariance of a mean of independent blocks.

    size: permutations per block; longest: length of the longest measured prefix, and the later
    providers share U(all) − U(longest prefix) equally; weight: of each position `(n,)`.
    """
    n, k = plan.n, len(plan.permutations)
    paths = paths_of(plan, longest)
    by_position = _gains(n, longest) * weight[:, None]
    gains = table[paths] @ by_position.T
    by_provider = np.empty((k, n))
    np.put_along_axis(by_provider, plan.permutations, gains, axis=1)
    blocks = by_provider.reshape(-1, size, n).mean(axis=1)
    count = len(blocks)
    operator = np.zeros((n, len(table)))
    for path, permutation in zip(paths, plan.permutations, strict=True):
        np.add.at(operator, (permutation[:, None], path[None, :]), by_position / k)
    steps = np.unique(np.linspace(2, count, min(count - 1, HISTORY)).astype(int))
    measured = np.maximum.accumulate(paths[:, :-1].max(axis=1))
    return Estimate(
        blocks.mean(axis=0),
        {SAMPLING: np.cov(blocks, rowvar=False).reshape(n, n) / count},
        np.array([blocks[:i].mean(axis=0) for i in steps]),
        measured[size * steps - 1],
        operator,
        float(special.stdtrit(count - 1, 0.975)),
    )


def _gains(n: int, longest: int) -> Floats:
    """Matrix `(n, longest + 2)` from the utilities along a path to the gain at each position."""
    step = np.zeros((n, longest + 2))
    early = np.arange(longest)
    step[early, early], step[early, early + 1] = -1, 1
    step[longest:, -2], step[longest:, -1] = -1 / (n - longest), 1 / (n - longest)
    return step


def prefixes(permutation: Ints, longest: int | None = None) -> Coalitions:
    """The first `longest` prefixes of a permutation, as coalitions `(longest, n)`; by default all
    but the empty and the full one `(n − 1, n)`.
    """
    n = len(permutation)
    position = np.empty(n, dtype=np.int64)
    position[permutation] = np.arange(n)
    out: Coalitions = position[None, :] <= np.arange(longest or n - 1)[:, None]
    return out


def keyed(permutation: Ints, longest: int | None = None) -> list[tuple[bytes, NDArray[np.bool_]]]:
    """The same as pairs of (key, coalition), with a different key for each coalition."""
    coalitions = prefixes(permutation, longest)
    keys = np.packbits(coalitions, axis=1)
    return [(key.tobytes(), coalition) for key, coalition in zip(keys, coalitions, strict=True)]


def paths_of(plan: Plan, longest: int | None = None) -> Ints:
    """For each permutation the indices in the table of the empty coalition, its prefixes and the
    full coalition `(k, longest + 2)`.
    """
    keys = np.packbits(plan.coalitions, axis=1)
    index_of = {key.tobytes(): i + 1 for i, key in enumerate(keys)}
    k, n = plan.permutations.shape
    paths = np.zeros((k, (longest or n - 1) + 2), dtype=np.int64)
    paths[:, -1] = len(keys) + 1
    for row, permutation in zip(paths, plan.permutations, strict=True):
        passed = [key for key, _ in keyed(permutation, longest)]
        if not index_of.keys() >= set(passed):
            raise InputError(
                "a permutation passes coalitions that the plan does not measure",
                expected="a plan as make_plan made it",
            )
        row[1:-1] = [index_of[key] for key in passed]
    return paths
