"""Prepare the source rows: write partitions, test set and reference set to disk."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from unshapley.config import DIGITS, Params, PrepareSettings
from unshapley.data import faults
from unshapley.data.corpora import prepare_corpus
from unshapley.data.digits import load_forms
from unshapley.data.documents import is_of_text
from unshapley.data.drift import drifting
from unshapley.data.embedding import embedding_files
from unshapley.data.encoding import encode
from unshapley.data.imputing import imputed
from unshapley.data.pictures import is_picture
from unshapley.data.providers import by_provider
from unshapley.data.reading import of_frame
from unshapley.data.sources import files_like, is_table, read_raw
from unshapley.data.splits import SETS, Sets, divide
from unshapley.data.tables import TEXT, Schema, write_table
from unshapley.data.tokenizing import Tokenizer, file_of
from unshapley.data.transforming import source_of_transform, transformed
from unshapley.data.words import weighted
from unshapley.errors import InputError
from unshapley.files import sha256, written_whole
from unshapley.project import Project

log = logging.getLogger("unshapley.prepare")

OWN_TEST_ROWS = (
    "test rows are drawn from the providers that are valued, so that one of noise is tested on its "
    "own noise: name those you trust in prepare.test_from, or a table of your own in prepare.test"
)


def prepare(project: Project, params: Params) -> dict[str, int]:
    """Write partitions, test set, reference set and schema; returns training rows by provider."""
    settings, tokenizer = params.prepare, None
    if settings.task == TEXT:
        corpus = prepare_corpus(project, params)
        schema, sets, tokenizer = corpus.schema, corpus.sets, corpus.tokenizer
    else:
        schema, sets, settings = _prepared_rows(project, params)
    if sets.test_sources and not settings.test_from:
        log.warning(OWN_TEST_ROWS)
    schema = replace(
        schema,
        providers=tuple(sets.train),
        prepared=prepared_with(params),
        sources=source_hashes(project, settings) if settings.source == "files" else {},
        test_sources=sets.test_sources,
    )
    _write(project, schema, sets, tokenizer)
    return {provider: len(table) for provider, table in sets.train.items()}


def _prepared_rows(project: Project, params: Params) -> tuple[Schema, Sets, PrepareSettings]:
    """Rows of numbers by use, and the settings that hold for their source."""
    settings = params.prepare
    if settings.source == "digits":
        settings = PrepareSettings.model_validate(settings.model_dump(include={"source", *DIGITS}))
        raw = {name: of_frame(form, f"provider {name}") for name, form in load_forms().items()}
    else:
        raw = {n: transformed(t, settings) for n, t in read_raw(project.raw, settings).items()}
    schema, encoded = encode(raw, _located(settings, project.root))
    own = without_incomplete({n: encoded.pop(n) for n in SETS if n in encoded}, settings)
    tables = without_incomplete(by_provider(encoded, settings, project.raw), settings)
    tables = faults.plant(tables, params.faults, schema, settings.seed)
    sets = divide(tables, own, settings, schema.features)
    schema, sets = weighted(schema, sets, settings)
    if settings.incomplete == "impute":
        schema, sets = imputed(schema, sets)
    for provider, far in drifting(sets.train, schema.features).items():
        log.warning("%s is unlike the others (standard deviations): %s", provider, far)
    return with_label_scale(schema, sets.reference), sets, settings


def _located(settings: PrepareSettings, root: Path) -> PrepareSettings:
    """The same, with the embedding model's folder found from the project."""
    if settings.embedding is None:
        return settings
    return settings.model_copy(update={"embedding": str(root / settings.embedding)})


def source_hashes(project: Project, settings: PrepareSettings) -> dict[str, str]:
    """Hex SHA-256 of every table, picture and document in data/raw, by the name of its file, and
    of the source of `settings.transform`, of a tokenizer and of an embedding model that are named,
    by their names.
    """
    text = settings.task == TEXT
    is_source = is_of_text if text else lambda name: is_table(name) or is_picture(name)
    files = files_like(is_source, project.raw, nested=True)
    hashes = {path.relative_to(project.raw).as_posix(): sha256(path) for path in files}
    if settings.transform is not None:
        hashes[settings.transform] = source_of_transform(settings.transform)
    if settings.embedding is not None and not text:
        files_of = embedding_files(project.root / settings.embedding)
        hashes |= {f"{settings.embedding}/{name}": value for name, value in files_of.items()}
    if text and settings.documents.tokenizer is not None:
        named = settings.documents.tokenizer
        hashes[named] = sha256(file_of(project.root / named))
    return hashes


def without_incomplete(
    tables: dict[str, pd.DataFrame], settings: PrepareSettings
) -> dict[str, pd.DataFrame]:
    """Leave out rows that miss a value where params.yaml says so, and count them."""
    if settings.incomplete == "keep":
        return tables
    needed = [settings.label] if settings.incomplete == "impute" else None
    kept = {name: table.dropna(subset=needed) for name, table in tables.items()}
    for name, table in kept.items():
        missing = len(tables[name]) - len(table)
        if missing:
            what = f"the label {settings.label!r}" if needed else "a value"
            rows = len(tables[name])
            log.warning("%s: %d of %d rows miss %s and are left out", name, missing, rows, what)
        if table.empty:
            raise InputError(
                "every row misses a value",
                where=name,
                expected="complete rows",
                do="correct the file, set prepare.incomplete: impute, or remove it",
            )
    whole = {name: table.reset_index(drop=True) for name, table in kept.items()}
    if settings.task == "regression":
        return whole
    return {name: table.astype({settings.label: int}) for name, table in whole.items()}


def with_label_scale(schema: Schema, reference: pd.DataFrame) -> Schema:
    """Add mean and standard deviation of a numeric label, computed on the reference set.

    No model is trained or tested on that set.
    """
    if schema.task == "classification":
        return schema
    labels = reference[schema.label]
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
    defaults = prepared_with(Params())
    for section, settings in prepared_with(params).items():
        recorded = _merged(defaults[section], schema.prepared.get(section, {}))
        changed = [key for key in settings if recorded.get(key) != settings[key]]
        if changed:
            key = changed[0]
            raise InputError(
                f"the tables were prepared with {section}.{key} = {recorded.get(key)!r}",
                where=where,
                expected=f"{settings[key]!r}, as in params.yaml",
                do="run `unshapley prepare` (or `dvc repro`), or restore params.yaml",
            )


def _merged(defaults: Mapping[str, Any], stated: Mapping[str, Any]) -> dict[str, Any]:
    """What is stated, and the defaults of keys that an older version did not know."""
    out = {**defaults, **stated}
    for key, value in defaults.items():
        if isinstance(value, Mapping) and isinstance(out[key], Mapping):
            out[key] = _merged(value, out[key])
    return out


def _write(project: Project, schema: Schema, sets: Sets, tokenizer: Tokenizer | None) -> None:
    # without its schema nothing is prepared: a mix of old and new tables is taken for neither
    project.schema.unlink(missing_ok=True)
    for provider, table in sets.train.items():
        write_table(table, project.partition(provider))
    for stale in project.partitions.glob("*.parquet"):
        if stale.stem not in sets.train:
            stale.unlink()
    write_table(sets.test, project.test)
    write_table(sets.reference, project.reference)
    if tokenizer is None:
        project.tokenizer.unlink(missing_ok=True)
    else:
        with written_whole(project.tokenizer) as part:
            part.write_text(tokenizer.content, encoding="utf-8", newline="")
    schema.save(project.schema)
