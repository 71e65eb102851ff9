"""Records: JSON files with one pydantic model each."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from unshapley.errors import InputError
from unshapley.files import read_json

Record = TypeVar("Record", bound=BaseModel)


def read_record(kind: type[Record], path: Path, *, writer: str, do: str) -> Record:
    """Read a record; `InputError` with the advice `do` where it is missing, damaged or another.

    writer: the command that writes it.
    """
    content = read_json(path, do=do)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"key {'.'.join(map(str, first['loc']))!r}: {first['msg']}",
            where=path,
            expected=f"the record that `{writer}` writes",
            do=do,
        ) from None
