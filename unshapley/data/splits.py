"""Split rows into training, test and reference rows: whose rows judge, and what stays together."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unshapley.config import PrepareSettings
from unshapley.data.chance import collision_rate
from unshapley.data.tables import TEXT, fingerprints, unit
from unshapley.data.windows import text_prints
from unshapley.errors import InputError

log = logging.getLogger("unshapley.prepare")

TRAIN, TEST, REFERENCE = range(3)
SETS = ("test", "reference")


@dataclass(frozen=True)
class Split:
    """Rows of one provider by use."""

    train: pd.DataFrame
    test: pd.DataFrame
    reference: pd.DataFrame


@dataclass(frozen=True)
class Sets:
    """Rows of all providers by use.

    train: by provider, in provider order; test_sources: how many test rows each provider gave, in
    the order of their rows; empty where the test set is the user's own.
    """

    train: dict[str, pd.DataFrame]
    test: pd.DataFrame
    reference: pd.DataFrame
    test_sources: dict[str, int]


def divide(
    tables: Mapping[str, pd.DataFrame],
    given: Mapping[str, pd.DataFrame],
    settings: PrepareSettings,
    features: Sequence[str],
) -> Sets:
    """Split the rows of every provider, as section `prepare` states it.

    given: those of `SETS` that are the user's own. Raises `InputError` for an unknown provider, an
    unreadable time, and a set or a provider that is left without rows.
    """
    splits = _split_all(tables, settings, features, given)
    row = unit(settings.task)[:-1]
    for name, part in splits.items():
        if part.train.empty:
            raise InputError(
                f"all its {row}s are test or reference {row}s",
                where=f"provider {name}",
                expected=f"{row}s to train on",
                do="lower the shares, or move prepare.test_after",
            )
    drawn = {
        name: pd.concat([getattr(part, name) for part in splits.values()], ignore_index=True)
        for name in SETS
        if name not in given
    }
    for name, drawn_rows in drawn.items():
        if drawn_rows.empty:
            raise InputError(
                f"no {row} is left for the {name} set",
                where=f"prepare.{name}",
                expected=f"{row}s that judge" if name == "test" else f"{row}s beside them",
                do=f"raise prepare.{name}_share, or name a table of your own: prepare.{name}"
                + ("; a document is never split" if row == "document" else ""),
            )
    own = {
        name: rows.drop(columns=list(settings.aside), errors="ignore")
        for name, rows in given.items()
    }
    sets = {**own, **drawn}
    return Sets(
        {name: part.train for name, part in splits.items()},
        sets["test"],
        sets["reference"],
        {name: len(part.test) for name, part in splits.items() if len(part.test)},
    )


def _split_all(
    tables: Mapping[str, pd.DataFrame],
    settings: PrepareSettings,
    features: Sequence[str],
    given: Collection[str],
) -> dict[str, Split]:
    """Rows of a group, and equal rows of several providers that are not equal by chance, are on one
    side of the split: those of several providers are training rows. So are rows that miss a value,
    unless it is going to be filled.
    """
    for name in settings.test_from:
        if name not in tables:
            raise InputError(
                f"prepare.test_from names the unknown provider {name!r}",
                expected=f"one of {', '.join(sorted(tables))}",
            )
    units = {name: _units(table, settings, features) for name, table in tables.items()}
    shared = _shared(tables, units, settings, features)
    if len(shared):
        rows = sum(int(np.isin(of_table, shared).sum()) for of_table in units.values())
        log.warning(
            "%d %s stand with several providers: they are trained on, not tested on",
            rows,
            unit(settings.task),
        )
    reference = 0.0 if "reference" in given else settings.reference_share
    splits = {}
    for name, table in tables.items():
        fixed = np.isin(units[name], shared) | ~_usable(table, settings, features)
        test = settings.test_share if _judges(name, settings, given) else 0.0
        part = _parts(
            name,
            units[name],
            fixed,
            is_test=_later(table, name, settings) if test else None,
            shares={TEST: test, REFERENCE: reference},
            seed=settings.seed,
        )
        kept = table.drop(columns=[c for c in settings.aside if c in table])
        splits[name] = Split(*(kept[part == side].reset_index(drop=True) for side in range(3)))
    return splits


def _judges(provider: str, settings: PrepareSettings, given: Collection[str]) -> bool:
    return "test" not in given and (not settings.test_from or provider in settings.test_from)


def _usable(
    table: pd.DataFrame, settings: PrepareSettings, features: Sequence[str]
) -> NDArray[np.bool_]:
    """Rows that can be tested on: complete ones, or those that are going to be."""
    if settings.task == TEXT:
        needed = [*features]
    else:
        needed = [settings.label] + (settings.incomplete != "impute") * [*features]
    return table[needed].notna().all(axis=1).to_numpy()


def _units(
    table: pd.DataFrame, settings: PrepareSettings, features: Sequence[str]
) -> NDArray[np.uint64]:
    """What stays together `(rows,)`: the group of each row, or its features, as a hash."""
    if settings.group is None:
        return text_prints(table) if settings.task == TEXT else fingerprints(table, features)
    groups = table[settings.group]
    alone = pd.Series([f"\x00{i}" for i in range(len(table))], index=table.index)
    hashes = pd.util.hash_pandas_object(groups.fillna(alone), index=False)
    return np.asarray(hashes, dtype=np.uint64)


def _shared(
    tables: Mapping[str, pd.DataFrame],
    units: Mapping[str, NDArray[np.uint64]],
    settings: PrepareSettings,
    features: Sequence[str],
) -> NDArray[np.uint64]:
    """Units of several providers; none where rows of these columns are equal by chance."""
    if settings.group is None:
        rate = max(collision_rate(table, features) for table in tables.values())
        rows = sum(map(len, tables.values()))
        if rate * rows**2 / 2 > 1:
            return np.array([], dtype=np.uint64)
    distinct = [np.unique(of_table) for of_table in units.values()]
    values, times = np.unique(np.concatenate(distinct), return_counts=True)
    return np.asarray(values[times > 1])


def _later(table: pd.DataFrame, name: str, settings: PrepareSettings) -> NDArray[np.bool_] | None:
    """Which rows are later than `test_after`; None where that is not asked for."""
    if settings.time is None:
        return None
    column, limit = table[settings.time], settings.test_after
    times: pd.Series = (
        pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
        if isinstance(limit, str)
        else pd.to_numeric(column, errors="coerce")
    )
    if times.isna().any():
        row = int(times.isna().to_numpy().argmax())
        raise InputError(
            f"column {settings.time!r}, row {row} is {column.iloc[row]!r}",
            where=f"provider {name}",
            expected="YYYY-MM-DD, with or without a time" if isinstance(limit, str) else "a number",
            do="correct the file, or prepare.test_after",
        )
    border = pd.Timestamp(limit, tz="UTC") if isinstance(limit, str) else limit
    return np.asarray(times > border)


def split(
    frame: pd.DataFrame,
    provider: str,
    *,
    test: float,
    reference: float,
    seed: int,
    features: Sequence[str] | None = None,
) -> Split:
    """Split the rows of one provider at random, and keep their order in each part; rows that are
    equal in `features` (by default in all columns) go to the same part.
    """
    units = fingerprints(frame, features or list(frame.columns))
    nothing = np.zeros(len(frame), dtype=bool)
    shares = {TEST: test, REFERENCE: reference}
    part = _parts(provider, units, nothing, is_test=None, shares=shares, seed=seed)
    return Split(*(frame[part == side].reset_index(drop=True) for side in range(3)))


def _parts(
    provider: str,
    units: NDArray[np.uint64],
    fixed: NDArray[np.bool_],
    *,
    is_test: NDArray[np.bool_] | None,
    shares: Mapping[int, float],
    seed: int,
) -> NDArray[np.int64]:
    """The side of each row `(rows,)`; those in `fixed` are training rows.

    Units are taken in random order, each whole, if that brings a side closer to its share. The seed
    depends on the provider's name, so that a new provider does not change other splits. is_test:
    which rows are tested on instead of a share; a unit goes where most of its rows do.
    """
    part = np.full(len(units), TRAIN)
    free = np.flatnonzero(~fixed)
    order = free[generator(seed, "split", provider).permutation(len(free))]
    group = pd.factorize(units[order])[0]
    left = dict(enumerate(np.bincount(group).tolist()))
    of_group = np.full(len(left), TRAIN)
    if is_test is not None and len(order):
        late = np.bincount(group, weights=is_test[order]) * 2 > np.bincount(group)
        of_group[late] = TEST
        left = {number: size for number, size in left.items() if not late[number]}
        shares = {REFERENCE: shares[REFERENCE]}
    for side, share in shares.items():
        for taken in _closest(left, round(share * len(units))):
            of_group[taken] = side
            del left[taken]
    part[order] = of_group[group]
    return part


def _closest(sizes: Mapping[int, int], wanted: int) -> list[int]:
    """Groups in their order, each of which brings their total closer to the wanted one."""
    taken = []
    for group, size in sizes.items():
        if wanted <= 0:
            break
        if size < 2 * wanted:
            taken.append(group)
            wanted -= size
    return taken


def generator(seed: int, *parts: str) -> np.random.Generator:
    """A generator whose stream depends only on the seed and the strings `parts`."""
    seed_bytes = hashlib.sha256("\x1f".join([str(seed), *parts]).encode()).digest()
    return np.random.default_rng(int.from_bytes(seed_bytes[:16], "big"))
