"""What tables seem to hold: shown, and written as rules that read them."""

import numpy as np
import pandas as pd
import pytest

from unshapley.data.encoding import encode
from unshapley.data.inference import inspect_files, tables_among
from unshapley.data.sources import read_raw
from unshapley.errors import InputError


@pytest.fixture
def messy(tmp_path):
    rng, count = np.random.default_rng(0), 60
    frame = pd.DataFrame(
        {
            "site": rng.choice(["north", "south"], count),
            "age": rng.uniform(20, 90, count).round(1),
            "dose": [f"{v:.1f}" for v in rng.uniform(0, 9, count)],
            "sex": rng.choice(["f", "m"], count),
            "smokes": rng.choice([True, False], count),
            "seen": pd.date_range("2024-01-01", periods=count).strftime("%Y-%m-%d"),
            "name": [f"patient {i}" for i in range(count)],
            "nothing": "",
            "disease": ["ill" if i % 3 else "well" for i in range(count)],
        }
    )
    frame.loc[4, "dose"] = "?"
    frame["code"] = frame["disease"].map({"ill": 7, "well": 9})
    frame["diagnosis"] = frame["disease"]
    frame.to_csv(tmp_path / "all.csv", sep=";", decimal=",")
    return tmp_path


def test_what_is_inferred_reads_the_tables(messy):
    inspection = inspect_files(tables_among([messy]), "disease", "site")
    facts = {fact.name: fact for fact in inspection.columns}
    assert {name: fact.kind for name, fact in facts.items()} == {
        "Unnamed: 0": "index", "age": "number", "dose": "number", "sex": "category",
        "smokes": "number", "seen": "date", "name": "text", "nothing": "empty", "code": "number",
        "diagnosis": "category",
    }  # fmt: skip
    assert facts["dose"].missing == 1
    assert "predicts the label alone" in facts["code"].notes[0]
    assert facts["diagnosis"].notes[-1] == "left out: it equals the label in every row"
    assert inspection.classes == {"ill": 40, "well": 20}
    assert sum(inspection.rows.values()) == 60
    settings = inspection.settings
    assert settings.incomplete == "impute"
    schema, tables = encode(read_raw(messy, settings), settings)
    (table,) = tables.values()
    assert schema.features == ("age", "dose", "sex=f", "sex=m", "smokes", "code")
    assert table["dose"].isna().sum() == 1
    assert table["age"].between(20, 90).all()


def test_a_quantity_is_regression_and_rare_classes_are_told(tmp_path):
    rows = "".join(f"{i}.5,{i * 1.5},{'rare' if i < 2 else 'usual'}\n" for i in range(50))
    (tmp_path / "a.csv").write_text("u,price,kind\n" + rows)
    inspection = inspect_files({"a.csv": tmp_path / "a.csv"}, "price")
    assert (inspection.settings.task, inspection.classes) == ("regression", {})
    inspection = inspect_files({"a.csv": tmp_path / "a.csv"}, "kind")
    assert inspection.notes == ("classes of few rows: rare (2)",)


def test_a_file_without_a_header_is_told_by_its_numbers(tmp_path):
    (tmp_path / "a.data").write_text("1.5,2,x\n2.5,4,y\n")
    inspection = inspect_files({"a.data": tmp_path / "a.data"}, "kind", names=["u", "v", "kind"])
    assert inspection.settings.read.header is False
    assert inspection.rows == {"a": 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label": "y"}, "--label: there is no column 'y'"),
        ({"label": "disease", "provider": "ward"}, "--provider: there is no column 'ward'"),
    ],
)
def test_columns_that_are_not_there_are_named(messy, arguments, message):
    with pytest.raises(InputError, match=message):
        inspect_files({"all.csv": messy / "all.csv"}, **arguments)


def test_only_tables_are_taken(tmp_path, messy):
    (tmp_path / "notes.txt").write_text("hello")
    assert tables_among([tmp_path]) == {"all.csv": tmp_path / "all.csv"}
    for paths, message in (
        ([tmp_path / "notes.txt"], "is no table"),
        ([tmp_path / "gone.csv"], "there is no such file or folder"),
        ([tmp_path, tmp_path / "all.csv"], "two files named 'all.csv'"),
    ):
        with pytest.raises(InputError, match=message):
            tables_among(paths)
