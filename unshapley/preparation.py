"""From the source of the rows to partitions, test set and reference set on disk."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from unshapley import faults
from unshapley.config import Params
from unshapley.digits import load_forms
from unshapley.errors import InputError
from unshapley.project import Project
from unshapley.rows import Schema, Split, read_table, split, write_table


def prepare(project: Project, params: Params) -> dict[str, int]:
    """Write partitions, test set, reference set and schema; give the training rows by provider."""
    if params.prepare.source == "digits":
        raw, label = load_forms(), "label"
    else:
        raw, label = read_raw(project.raw), params.prepare.label
    schema, tables = encode(raw, label)
    splits = {
        provider: split(
            table,
            provider,
            test=params.prepare.test_share,
            reference=params.prepare.reference_share,
            seed=params.prepare.seed,
        )
        for provider, table in tables.items()
    }
    train = faults.plant(
        {p: s.train for p, s in splits.items()}, params.faults, schema, params.prepare.seed
    )
    _write(project, schema, train, splits)
    return {provider: len(table) for provider, table in train.items()}


def read_raw(folder: Path) -> dict[str, pd.DataFrame]:
    """One table a provider, named by its file; `InputError` for none or two of one name."""
    files = sorted([*folder.glob("*.csv"), *folder.glob("*.parquet")])
    if not files:
        raise InputError(
            "holds no CSV or parquet file",
            where=folder,
            do="put one file a provider there, or set prepare.source to digits",
        )
    tables: dict[str, pd.DataFrame] = {}
    for file in files:
        if file.stem in tables:
            raise InputError(
                f"provider {file.stem!r} stands there twice",
                where=file,
                expected="one file a provider",
                do="remove or rename one of the two",
            )
        tables[file.stem] = read_table(file)
    return tables


def encode(raw: dict[str, pd.DataFrame], label: str) -> tuple[Schema, dict[str, pd.DataFrame]]:
    """Labels as class codes, columns in one order; the first provider's columns are the schema."""
    for provider, frame in raw.items():
        if label not in frame.columns:
            raise InputError(
                f"has no label column {label!r}",
                where=f"provider {provider}",
                expected=f"one of its columns {', '.join(map(str, frame.columns[:8]))} …",
                do="set prepare.label",
            )
    found = pd.concat([frame[label] for frame in raw.values()]).dropna().unique().tolist()
    classes = sorted(found, key=lambda value: (str(type(value)), value))
    first = next(iter(raw.values()))
    schema = Schema(
        tuple(str(c) for c in first.columns if c != label), label, tuple(map(str, classes))
    )
    codes = {value: code for code, value in enumerate(classes)}
    return schema, {
        provider: frame.assign(**{label: frame[label].map(codes)})[
            [c for c in frame.columns if c != label] + [label]
        ]
        for provider, frame in sorted(raw.items())
    }


def _write(
    project: Project, schema: Schema, train: dict[str, pd.DataFrame], splits: dict[str, Split]
) -> None:
    for provider, table in train.items():
        write_table(table, project.partition(provider))
    for stale in project.partitions.glob("*.parquet"):
        if stale.stem not in train:
            stale.unlink()
    write_table(pd.concat([s.test for s in splits.values()]), project.test)
    write_table(pd.concat([s.reference for s in splits.values()]), project.reference)
    schema.save(project.schema)
