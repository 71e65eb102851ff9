"""Rows by provider: of the files that are named after one, or by a column."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from unshapley.config import PrepareSettings
from unshapley.data.names import check_distinct, meant, provider_name
from unshapley.errors import InputError

log = logging.getLogger("unshapley.prepare")


def by_provider(
    tables: Mapping[str, pd.DataFrame], settings: PrepareSettings, folder: Path
) -> dict[str, pd.DataFrame]:
    """The rows of each provider, by name in sorted order."""
    if settings.provider is None:
        parts_of: dict[str, list[pd.DataFrame]] = {}
        for name, table in tables.items():  # of a provider's folder: provider/file
            parts_of.setdefault(name.partition("/")[0], []).append(table)
        return {
            name: pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
            for name, parts in sorted(parts_of.items())
        }
    for name, table in tables.items():
        nobody = table[settings.provider].isna()
        if nobody.any():
            raise InputError(
                f"column {settings.provider!r}, row {int(nobody.argmax())} is empty",
                where=folder / name,
                expected="the provider of every row",
                do="fill it in, or leave these rows out of the file",
            )
    rows = pd.concat(tables.values())
    rows[settings.provider] = _meant(rows[settings.provider], settings)
    parts = {
        provider_name(str(name), where=f"column {settings.provider!r}"): part.drop(
            columns=settings.provider
        ).reset_index(drop=True)
        for name, part in rows.groupby(settings.provider)
    }
    check_distinct(parts, where=f"column {settings.provider!r}")
    if len(parts) < 2:
        raise InputError(
            f"column {settings.provider!r} names one provider only: {next(iter(parts))!r}",
            where=folder,
            expected="at least two providers",
        )
    return dict(sorted(parts.items()))


def _meant(texts: pd.Series, settings: PrepareSettings) -> pd.Series:
    """The names of providers that the texts of their column mean."""
    absent = [text for text in settings.provider_names if text not in set(texts)]
    if absent:
        log.warning("prepare.provider_names: no row has %s", ", ".join(map(repr, absent)))
    return texts.map({text: meant(text, settings.provider_names) for text in texts.unique()})
