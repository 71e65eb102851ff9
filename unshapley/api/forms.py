"""Rows in the forms that Python programs have them in, as frames of pandas."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from unshapley.api.streams import as_array, pair_of
from unshapley.errors import InputError

EXPECTED = (
    "a pandas DataFrame, a pair (x, y) of arrays or tensors, or a torch Dataset or DataLoader of "
    "such pairs"
)


@dataclass(frozen=True)
class Form:
    """Rows as a frame with the label as a column.

    shape: of a row in x; numeric: whether x is one array of numbers, which need no reading.
    """

    frame: pd.DataFrame
    shape: tuple[int, ...]
    numeric: bool = False


def as_form(table: Any, label: str, where: object) -> Form:
    """Rows in any of the forms that they come in.

    Columns of x without names are called x0, x1 … in the order of its memory. Raises `InputError`
    for what is none of these forms, or whose x and y do not belong together.
    """
    if isinstance(table, pd.DataFrame):
        return Form(table, (len(table.columns) - 1,))
    if isinstance(table, Dataset | DataLoader):
        table = pair_of(table, where)
    listed = isinstance(table, tuple | list) and len(table) > 0
    documents = listed and all(isinstance(part, str) for part in table)
    if documents or not isinstance(table, tuple | list) or len(table) != 2:
        raise InputError(
            f"is a {type(table).__name__}" + " of texts" * documents,
            where=where,
            expected=EXPECTED,
            do="if these are documents, say task='language-model'" if documents else "",
        )
    x, y = table
    labels = _labels(y, where)
    if isinstance(x, pd.DataFrame):
        form = Form(x.reset_index(drop=True), (len(x.columns),))
    else:
        array = as_array(x, "x", where)
        if array.ndim < 2:
            raise InputError(
                f"x has the shape {array.shape}", where=where, expected="(rows, features …)"
            )
        flat = array.reshape(len(array), -1)
        names = [f"x{i}" for i in range(flat.shape[1])]
        numeric = array.dtype.kind in "biuf"
        form = Form(pd.DataFrame(flat, columns=names), array.shape[1:], numeric)
    if len(labels) != len(form.frame):
        raise InputError(
            f"x has {len(form.frame)} rows, y has {len(labels)}",
            where=where,
            expected="a label a row",
        )
    if label in form.frame.columns:
        raise InputError(
            f"x has a column {label!r}, as the label is called",
            where=where,
            do="leave it out of x, which would hold the answer, or give another `label`",
        )
    return replace(form, frame=form.frame.assign(**{label: labels}))


def _labels(y: Any, where: object) -> NDArray[Any]:
    labels: NDArray[Any] = y.to_numpy() if isinstance(y, pd.Series) else as_array(y, "y", where)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise InputError(
            f"y has the shape {labels.shape}",
            where=where,
            expected="(rows,): a class or a number for each row, not one-hot",
        )
    return labels
