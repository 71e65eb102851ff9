"""Prepare the source rows: write partitions, test set and reference set to disk."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unshapley.config import Params, PrepareSettings
from unshapley.data import faults
from unshapley.data.digits import load_forms
from unshapley.data.encoding import encode
from unshapley.data.names import check_distinct, provider_name
from unshapley.data.splits import Split, split
from unshapley.data.tables import Schema, read_table, write_table
from unshapley.errors import InputError
from unshapley.project import Project

log = logging.getLogger("unshapley.prepare")

SUFFIXES = (".csv", ".parquet")
"""Endings of tables, in any case."""


def prepare(project: Project, params: Params) -> dict[str, int]:
    """Write partitions, test set, reference set and schema; returns training rows by provider."""
    if params.prepare.source == "digits":
        raw, label = load_forms(), "label"
    else:
        raw, label = read_raw(project.raw), params.prepare.label
    schema, tables = encode(raw, label, params.prepare.task)
    splits = {
        provider: _split(table, provider, params.prepare, schema.features)
        for provider, table in tables.items()
    }
    schema = replace(
        _with_label_scale(schema, splits), providers=tuple(tables), prepared=prepared_with(params)
    )
    train = faults.plant(
        {p: s.train for p, s in splits.items()}, params.faults, schema, params.prepare.seed
    )
    _write(project, schema, train, splits)
    return {provider: len(table) for provider, table in train.items()}


def _with_label_scale(schema: Schema, splits: dict[str, Split]) -> Schema:
    """Add mean and standard deviation of a numeric label, computed on the reference set.

    No model is trained or tested on that set.
    """
    if schema.task == "classification":
        return schema
    labels = pd.concat([s.reference[schema.label] for s in splits.values()])
    scale = float(labels.std(ddof=0))
    if not scale > 0:
        raise InputError(
            f"the label {schema.label!r} does not vary in the reference set",
            where="prepare.reference_share",
            expected="numbers that differ",
            do="raise the share, or correct the label",
        )
    return replace(schema, label_mean=float(labels.mean()), label_scale=scale)


def prepared_with(params: Params) -> dict[str, Any]:
    """The sections of params.yaml that determine the tables."""
    return params.model_dump(mode="json", include={"prepare", "faults"})


def check_prepared(schema: Schema, params: Params, where: Path) -> None:
    """Raise `InputError` if the tables on disk were prepared with other parameters."""
    for section, settings in prepared_with(params).items():
        recorded = schema.prepared.get(section, {})
        changed = [key for key in settings if recorded.get(key) != settings[key]]
        if changed:
            key = changed[0]
            raise InputError(
                f"the tables were prepared with {section}.{key} = {recorded.get(key)!r}",
                where=where,
                expected=f"{settings[key]!r}, as in params.yaml",
                do="run `unshapley prepare` (or `dvc repro`), or restore params.yaml",
            )


def _split(
    table: pd.DataFrame, provider: str, params: PrepareSettings, features: Sequence[str]
) -> Split:
    """Split the rows; a table with missing values is kept whole, so that it can be quarantined."""
    if not np.isfinite(table.to_numpy(dtype=float)).all():
        return Split(table, table.iloc[:0], table.iloc[:0])
    return split(
        table,
        provider,
        test=params.test_share,
        reference=params.reference_share,
        seed=params.seed,
        features=features,
    )


def raw_tables(folder: Path) -> dict[str, Path]:
    """File of each provider, by name in sorted order; hidden files are none.

    Raises `InputError` for a name that no provider can have, for two files of one provider, and
    for names that look alike.
    """
    paths: dict[str, Path] = {}
    for path in sorted(folder.iterdir() if folder.is_dir() else ()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith(".") or not path.is_file():
            continue
        name = provider_name(path.stem, where=path)
        if name in paths:
            raise InputError(
                f"provider {name!r} has two files",
                where=path,
                expected="one file per provider",
                do="remove or rename one of the two",
            )
        paths[name] = path
    check_distinct(paths, where=folder)
    return dict(sorted(paths.items()))


def read_raw(folder: Path) -> dict[str, pd.DataFrame]:
    """One table per provider, by name; `InputError` for no table, one only, or an empty one."""
    paths = raw_tables(folder)
    if not paths:
        raise InputError(
            "holds no CSV or parquet file",
            where=folder,
            do="put one file per provider there, or set prepare.source to digits",
        )
    if len(paths) < 2:
        raise InputError(
            "holds the file of one provider only", where=folder, expected="at least two providers"
        )
    tables = {name: read_table(path) for name, path in paths.items()}
    for name, table in tables.items():
        if table.empty:
            raise InputError("holds no rows", where=paths[name], do="add rows, or remove the file")
    return tables


def _write(
    project: Project, schema: Schema, train: dict[str, pd.DataFrame], splits: dict[str, Split]
) -> None:
    # without its schema nothing is prepared: a mix of old and new tables is taken for neither
    project.schema.unlink(missing_ok=True)
    for provider, table in train.items():
        write_table(table, project.partition(provider))
    for stale in project.partitions.glob("*.parquet"):
        if stale.stem not in train:
            stale.unlink()
    write_table(pd.concat([s.test for s in splits.values()]), project.test)
    write_table(pd.concat([s.reference for s in splits.values()]), project.reference)
    schema.save(project.schema)
