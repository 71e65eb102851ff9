"""Rows as tensors, read from the tables of a project."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from unshapley.data.tables import TEXT, Schema, read_table, to_arrays
from unshapley.data.windows import to_windows
from unshapley.project import Project

Rows = tuple[Tensor, Tensor]
"""x `(rows, features)`, y `(rows,)`; of text both `(rows, context)`, int32"""


def read_rows(project: Project, schema: Schema, provider: str) -> Rows:
    """Training rows of a provider, `(rows, features)` and `(rows,)`."""
    return _tensors(project.partition(provider), schema)


def read_set(project: Project, schema: Schema, name: str) -> Rows:
    """The `test` or `reference` set, `(rows, features)` and `(rows,)`."""
    return _tensors({"test": project.test, "reference": project.reference}[name], schema)


def _tensors(path: Path, schema: Schema) -> Rows:
    read = to_windows if schema.task == TEXT else to_arrays
    x, y = read(read_table(path), schema, path)
    return torch.from_numpy(x), torch.from_numpy(y)
