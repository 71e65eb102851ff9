"""The user's own function on tables as they were read, before anything is made of their columns."""

from __future__ import annotations

import pandas as pd

from unshapley.config import PrepareSettings
from unshapley.data.reading import RawTable, of_frame
from unshapley.errors import InputError
from unshapley.extensions import import_object, source_of

WHERE = "prepare.transform"


def transformed(table: RawTable, settings: PrepareSettings) -> RawTable:
    """The table as `settings.transform` gives it; unchanged where nothing is named.

    Each is given by itself, so that the rows of one provider have no say in what another's become.
    Raises `InputError` where the function fails, or gives no table.
    """
    if settings.transform is None:
        return table
    function = import_object(settings.transform, "transform", WHERE)
    return _applied(function, table, settings)


def source_of_transform(path: str) -> str:
    """Hash of the source of the function."""
    return source_of(path, import_object(path, "transform", WHERE))


def _applied(function: object, table: RawTable, settings: PrepareSettings) -> RawTable:
    if not callable(function):
        raise InputError(
            f"{settings.transform!r} is no function",
            where=WHERE,
            expected="a function of a frame that gives a frame",
        )
    try:
        frame = function(table.rows.to_pandas())
    except Exception as error:
        reason = str(error).splitlines() or [type(error).__name__]
        raise InputError(
            f"{settings.transform} failed on {table.where}: {type(error).__name__}: {reason[0]}",
            where=WHERE,
            do="correct the function",
        ) from error
    if not isinstance(frame, pd.DataFrame) or frame.empty:
        raise InputError(
            f"{settings.transform} gave {_named(frame)} for {table.where}",
            where=WHERE,
            expected="a pandas DataFrame with rows",
        )
    return of_frame(frame.reset_index(drop=True), table.where)


def _named(result: object) -> str:
    return "no rows" if isinstance(result, pd.DataFrame) else f"a {type(result).__name__}"
