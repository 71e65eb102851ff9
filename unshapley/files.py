"""Write files that are either complete or absent, and compute hashes of their content."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unshapley.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes; of a folder, of its files' relative names and hashes."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        return digest({p.relative_to(path).as_posix(): sha256(p) for p in files})
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(content: Any) -> str:
    """Hex SHA-256 of JSON-like content; the order of keys does not matter."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def canonical_json(content: Any) -> str:
    """JSON with sorted keys and no NaN: equal content gives equal text."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as readable JSON with sorted keys, atomically."""
    text = json.dumps(content, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False)
    with written_whole(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path, *, do: str) -> Any:
    """Read JSON; `InputError` with the advice `do` if the file is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("file is missing", where=path, do=do) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"not readable as JSON ({error})", where=path, do=do) from None


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, atomically, as `csv_text` gives it."""
    text = csv_text(frame)
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def csv_text(frame: pd.DataFrame) -> str:
    """A table as CSV; text that a spreadsheet would take for a formula is marked with an apostrophe
    (`as_text`).
    """
    texts = frame.select_dtypes(include=["object", "str"]).columns
    safe = frame.assign(**{c: frame[c].map(as_text, na_action="ignore") for c in texts})
    return str(safe.to_csv(index=False, lineterminator="\n"))


FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_text(cell: Any) -> Any:
    """A cell that no spreadsheet obeys as a formula: marked with an apostrophe if it begins so."""
    if isinstance(cell, str) and cell.lstrip("'").startswith(FORMULA):
        return f"'{cell}"
    return cell


def from_text(cell: str) -> str:
    """The inverse of `as_text`."""
    marked = cell.startswith("'") and cell.lstrip("'").startswith(FORMULA)
    return cell[1:] if marked else cell


def seal(content: Any) -> dict[str, Any]:
    """A result with the hash of its content, so that a damaged result is recognised."""
    return {"content": content, "sha256": digest(content)}


def is_sealed(result: Any) -> bool:
    """Whether a sealed result is unchanged."""
    return isinstance(result, dict) and result.get("sha256") == digest(result.get("content"))


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`. If the block ends without an error, the
    temporary file is renamed to `path`, else it is removed; the next writer removes what a killed
    one has left.

    Raises `InputError` if the folder cannot be written or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        file = part.open("xb")  # with the permissions that the user's umask leaves
    except OSError as error:
        raise unwritable(path, error) from None
    try:
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield part
            with part.open("rb") as written:
                os.fsync(written.fileno())
            part.replace(path)
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        part.unlink(missing_ok=True)


def _remove_abandoned(path: Path) -> None:
    """Remove temporary files for `path` whose writer, which holds a lock, lives no more."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 8}"):
        with suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


def unwritable(path: Path, error: OSError) -> InputError:
    """The error for a file that cannot be written, whatever the reason."""
    return InputError(
        f"cannot be written: {error.strerror or error}",
        where=path,
        expected="a folder this user may write to, with free space",
        do="make room or correct the permissions, then run the same command again; "
        "what was finished is kept",
    )
