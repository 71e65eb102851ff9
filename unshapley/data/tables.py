"""Tables of rows: read, write and fingerprint partitions.

A table is a pandas frame with the feature columns first and the label column last; labels are
integer class codes, or numbers where the task is regression. `Schema` names columns and classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from unshapley.errors import InputError, raise_if_no_memory
from unshapley.files import read_json, write_json, written_whole

TEXT = "language-model"
"""The task whose rows are text; its tables are described in `data.windows`."""


def unit(task: str) -> str:
    """What the rows of a table are called."""
    return "documents" if task == TEXT else "rows"


@dataclass(frozen=True)
class Schema:
    """Columns and classes that every table of a project shares."""

    features: tuple[str, ...]
    label: str
    classes: tuple[str, ...]
    providers: tuple[str, ...] = ()
    prepared: dict[str, Any] = field(default_factory=dict)
    """the sections of params.yaml that the tables were prepared with"""
    task: str = "classification"
    label_mean: float = 0.0
    label_scale: float = 1.0
    """mean and standard deviation of a numeric label in the reference set; models learn
    (label − mean) / scale, utilities are in units of the label"""
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """of each column of categories: its values, each of which is a feature `column=value`"""
    imputed: dict[str, float] = field(default_factory=dict)
    """of each feature with missing values: what stands for them"""
    tfidf: dict[str, dict[str, float]] = field(default_factory=dict)
    """of each column of texts that is weighted by frequency: the words and pairs that are features
    `column#words`, in order, with their inverse document frequency in the reference set"""
    unknown_words: dict[str, dict[str, float]] = field(default_factory=dict)
    """of each such column: the share of a provider's words that the reference set does not hold"""
    sources: dict[str, str] = field(default_factory=dict)
    """hex SHA-256 of every table that was read, by the name of its file"""
    test_sources: dict[str, int] = field(default_factory=dict)
    """how many test rows each provider gave, in their order; empty for a test set of one's own"""
    context: int = 0
    """of text: tokens of a row"""
    vocabulary: int = 0
    """of text: number of different tokens"""
    tokenizer: str = ""
    """of text: hex SHA-256 of data/tokenizer.json"""
    boundary: int = 0
    """of text: token before and after every document"""
    unknown: int = -1
    """of text: token of what the tokenizer does not know; −1: it knows everything"""
    test_bytes: int = 0
    """of text: bytes in UTF-8 of what is to be predicted of the test set; 0: not known"""

    @property
    def inputs(self) -> int:
        """Number of inputs of a model: features, or tokens of a row."""
        return self.context if self.task == TEXT else len(self.features)

    @property
    def outputs(self) -> int:
        """Number of outputs of a model: one logit per class or token, or the label."""
        if self.task == TEXT:
            return self.vocabulary
        return len(self.classes) if self.task == "classification" else 1

    def save(self, path: Path) -> None:
        write_json(path, asdict(self))

    @staticmethod
    def load(path: Path) -> Schema:
        content = read_json(path, do="run `unshapley prepare` or `dvc checkout`")
        try:
            return Schema(
                tuple(content["features"]),
                content["label"],
                tuple(content["classes"]),
                tuple(content["providers"]),
                content["prepared"],
                content["task"],
                content["label_mean"],
                content["label_scale"],
                {name: tuple(values) for name, values in content.get("categories", {}).items()},
                content.get("imputed", {}),
                content.get("tfidf", {}),
                content.get("unknown_words", {}),
                content.get("sources", {}),
                content.get("test_sources", {}),
                content.get("context", 0),
                content.get("vocabulary", 0),
                content.get("tokenizer", ""),
                content.get("boundary", 0),
                content.get("unknown", -1),
                content.get("test_bytes", 0),
            )
        except (KeyError, TypeError, AttributeError):
            raise InputError(
                "not a schema", where=path, expected="what `unshapley prepare` writes"
            ) from None


def read_table(path: Path) -> pd.DataFrame:
    """Read a parquet file of ours unchanged; `InputError` if it cannot be read."""
    try:
        return pd.read_parquet(path).reset_index(drop=True)
    except FileNotFoundError:
        raise InputError(
            "file is missing",
            where=path,
            do="restore it with `dvc checkout`, or run `unshapley prepare`",
        ) from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise_if_no_memory(error)
        raise InputError(f"not readable as {path.suffix[1:]}: {error}", where=path) from None


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as parquet, atomically; the same table gives the same bytes."""
    with written_whole(path) as part:
        frame.to_parquet(part, index=False, compression="zstd")


def to_arrays(
    frame: pd.DataFrame, schema: Schema, where: Path
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Features `(rows, features)` and labels `(rows,)` of a table: class codes, or standardised
    numbers in float32.

    Raises `InputError` for a table that no model can use; validation checks the expectations.
    """
    missing = [c for c in (*schema.features, schema.label) if c not in frame.columns]
    if missing:
        raise InputError(
            f"column {missing[0]!r} is missing",
            where=where,
            expected=f"{len(schema.features)} features and {schema.label!r}",
        )
    if frame.empty:
        raise InputError("holds no rows", where=where, expected="at least one row")
    try:
        x = frame[list(schema.features)].to_numpy(dtype=np.float32, copy=True)
        dtype = np.int64 if schema.task == "classification" else np.float64
        y = frame[schema.label].to_numpy(dtype=dtype, copy=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"not numbers: {error}", where=where) from None
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise InputError(
            f"{schema.features[column]!r} is {x[row, column]} in row {row}",
            where=where,
            expected="finite numbers",
            do="fill it in, or set prepare.incomplete to impute or drop",
        )
    if schema.task == "regression":
        if not np.isfinite(y).all():
            row = int(np.argmin(np.isfinite(y)))
            raise InputError(
                f"{schema.label!r} is {y[row]} in row {row}", where=where, expected="finite numbers"
            )
        return x, ((y - schema.label_mean) / schema.label_scale).astype(np.float32)
    if y.min() < 0 or y.max() >= len(schema.classes):
        row = int(np.argmax((y < 0) | (y >= len(schema.classes))))
        raise InputError(
            f"label {y[row]} in row {row} is unknown to the model",
            where=where,
            expected=f"class codes 0 to {len(schema.classes) - 1}",
        )
    return x, y


def _as_numbers(column: pd.Series) -> pd.Series:
    """Texts that are to be weighted are numbered; of others only those that are numbers count."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes
    return pd.to_numeric(column, errors="coerce")


def fingerprints(frame: pd.DataFrame, features: Sequence[str]) -> NDArray[np.uint64]:
    """A 64-bit hash of each row's features `(rows,)`: equal rows have equal fingerprints."""
    present = [c for c in features if c in frame.columns]
    if not present:
        return np.zeros(len(frame), dtype=np.uint64)
    # as floats, so that integers equal the same numbers read as decimals
    numbers = frame[present]
    if not all(is_numeric_dtype(kind) for kind in numbers.dtypes):
        numbers = numbers.apply(_as_numbers)
    numbers = numbers.astype(float)
    hashes = pd.util.hash_pandas_object(numbers, index=False)
    return np.asarray(hashes, dtype=np.uint64)
