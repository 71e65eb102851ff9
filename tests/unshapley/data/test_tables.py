from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unshapley.data.splits import split
from unshapley.data.tables import Schema, fingerprints, read_table, to_arrays, write_table
from unshapley.errors import InputError

SCHEMA = Schema(("a", "b"), "label", ("no", "yes"))


def frame(**columns) -> pd.DataFrame:
    return pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0], "label": [0, 1], **columns})


def test_split_uses_every_row_once_and_keeps_its_order():
    rows = pd.DataFrame({"a": range(100)})
    parts = split(rows, "p", test=0.2, reference=0.1, seed=0)
    assert [len(parts.test), len(parts.reference), len(parts.train)] == [20, 10, 70]
    used = [parts.test["a"], parts.reference["a"], parts.train["a"]]
    assert sorted(pd.concat(used)) == list(range(100))
    assert all(part.is_monotonic_increasing for part in used)


def test_split_depends_on_seed_and_provider_only():
    rows = pd.DataFrame({"a": range(50)})
    one = split(rows, "p", test=0.2, reference=0.1, seed=0).test
    assert one.equals(split(rows, "p", test=0.2, reference=0.1, seed=0).test)
    assert not one.equals(split(rows, "q", test=0.2, reference=0.1, seed=0).test)
    assert not one.equals(split(rows, "p", test=0.2, reference=0.1, seed=1).test)


def test_fingerprints_tell_rows_apart_but_not_number_types():
    whole = pd.DataFrame({"a": [1, 2, 1], "b": [3, 4, 3]})
    prints = fingerprints(whole, ["a", "b"])
    assert prints[0] == prints[2] != prints[1]
    assert (prints == fingerprints(whole.astype(float), ["a", "b"])).all()


def test_table_round_trips_to_the_same_bytes(tmp_path: Path):
    write_table(frame(), tmp_path / "a.parquet")
    write_table(read_table(tmp_path / "a.parquet"), tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (frame().drop(columns="b"), "column 'b' is missing"),
        (frame().iloc[:0], "holds no rows"),
        (frame(a=["x", "y"]), "not numbers"),
        (frame(b=[3.0, np.nan]), "'b' is nan in row 1"),
        (frame(label=[0, 2]), "label 2 in row 1 is unknown"),
    ],
)
def test_rows_no_model_could_read_are_refused(table, message):
    with pytest.raises(InputError, match=message):
        to_arrays(table, SCHEMA, Path("p.parquet"))


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path):
    (tmp_path / "p.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(InputError, match=r"p\.parquet: not readable as parquet"):
        read_table(tmp_path / "p.parquet")


def test_a_table_that_the_machine_cannot_read_is_not_called_damaged(tmp_path, monkeypatch):
    def starved(*_: object, **__: object):
        raise OSError("Failed to launch worker thread: Resource temporarily unavailable")

    monkeypatch.setattr(pd, "read_parquet", starved)
    with pytest.raises(MemoryError):
        read_table(tmp_path / "north.parquet")
