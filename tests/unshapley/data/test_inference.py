"""What tables seem to hold: shown, and written as rules that read them."""

import numpy as np
import pandas as pd
import pytest

from unshapley.data.encoding import encode
from unshapley.data.inference import inspect_files, tables_among
from unshapley.data.sources import read_raw
from unshapley.data.starting import check_own_set, doubts
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
    inspection = inspect_files(
        {"a.data": tmp_path / "a.data"}, "kind", stated={"read": {"names": ["u", "v", "kind"]}}
    )
    assert inspection.settings.read.header is False
    assert inspection.rows == {"a": 2}


def test_what_the_user_states_comes_before_what_is_inferred(messy):
    """A text in the encoding of Windows, whose separator is inferred all the same."""
    frame = pd.read_csv(messy / "all.csv", sep=";", dtype=str, index_col=0)
    frame["sex"] = frame["sex"].map({"f": "weiblich", "m": "männlich"})
    path = messy / "all.csv"
    frame.to_csv(path, sep=";", encoding="cp1252", index=False)
    with pytest.raises(InputError, match="--set prepare.read.encoding=cp1252"):
        inspect_files({"all.csv": path}, "disease", "site")
    order = ["weiblich", "männlich"]
    stated = {
        "read": {"encoding": "cp1252"}, "drop": ["age"], "columns": {"sex": order, "name": "text"},
        "incomplete": "drop",
    }  # fmt: skip
    settings = inspect_files({"all.csv": path}, "disease", "site", stated).settings
    assert (settings.read.encoding, settings.read.separator) == ("cp1252", ";")
    assert settings.columns == {"sex": order, "name": "text"}
    assert settings.drop == ["age", "seen", "nothing", "diagnosis"]
    assert settings.incomplete == "drop"
    with pytest.raises(InputError, match="unknown key 'prepare.dorp'"):
        inspect_files({"all.csv": path}, "disease", "site", {"dorp": []})


def test_a_column_that_splits_rows_is_not_left_out(messy):
    stated = {"time": "seen", "test_after": "2024-02-01"}
    inspection = inspect_files(tables_among([messy]), "disease", "site", stated)
    assert "seen" not in inspection.settings.drop
    assert "seen" not in {fact.name for fact in inspection.columns}


def test_why_a_column_is_left_out_is_said_as_it_is(tmp_path):
    rows = []
    for i in range(40):
        lab, score = ("<3.0", "few") if i < 5 else (i + 0.25, 4)
        rows.append(f"0{i}1,{lab},{score},{i + 1}.5 %,P{i}x,{i % 2}")
    (tmp_path / "a.csv").write_text("\n".join(["ward,lab,score,cost,code,y", *rows]))
    facts = inspect_files({"a.csv": tmp_path / "a.csv"}, "y").columns
    assert {fact.name: fact.notes[-1] for fact in facts} == {
        "ward": "left out: numbers with leading zeros are codes",
        "lab": "left out: 5 of 40 cells are no numbers, as '<3.0'; prepare.columns: {lab: number_or_missing} takes these as missing",
        "score": "5 of 40 cells are no numbers, as 'few'",
        "cost": "left out: numbers are written otherwise than 1234.5, as '1.5 %': see prepare.read.thousands, or take units off by prepare.transform",
        "code": "left out: it holds names or codes",
    }


def test_a_provider_s_name_is_checked_before_anything_is_written(messy):
    frame = pd.read_csv(messy / "all.csv", sep=";", dtype=str)
    path = messy / "all.csv"
    for site, message in {"a/b": "cannot be the name of a provider", None: "1 of 60 cells"}.items():
        frame.loc[0, "site"] = site
        frame.to_csv(path, sep=";", index=False)
        with pytest.raises(InputError, match=message):
            inspect_files({"all.csv": path}, "disease", "site")


def test_numbers_are_counted_as_numbers_and_identifiers_are_pointed_out(tmp_path):
    rows = "".join(f"{i % 2}{'.0' * (i % 4 > 1)},{(i * 7919) % 9973},{i % 3}\n" for i in range(40))
    (tmp_path / "a.csv").write_text("sex,patient,y\n" + rows)
    inspection = inspect_files({"a.csv": tmp_path / "a.csv"}, "y")
    sex, patient = inspection.columns
    assert (sex.distinct, sex.notes) == (2, ())
    assert patient.notes == ("another whole number in every row: if it names rows, leave it out",)


def test_a_table_that_judges_has_the_columns_of_the_others(messy):
    inspection = inspect_files(tables_among([messy]), "disease", "site")
    frame = pd.read_csv(messy / "all.csv", sep=";", dtype=str).drop(columns=["site", "seen"])
    path = messy / "test.csv"
    frame.to_csv(path, sep=";", index=False)
    check_own_set(path, inspection)  # it needs neither a provider nor what is left out
    frame.rename(columns={"age": "years"}).to_csv(path, sep=";", index=False)
    with pytest.raises(InputError, match="no column 'age', which .* has, but a column 'years'"):
        check_own_set(path, inspection)
    with pytest.raises(InputError, match=r"nope\.csv: there is no such file"):
        check_own_set(messy / "nope.csv", inspection)


def test_few_rows_and_a_single_class_are_told(tmp_path):
    for name, rows in {"a": 40, "b": 3}.items():
        (tmp_path / f"{name}.csv").write_text("u,y\n" + "".join(f"{i}.5,1\n" for i in range(rows)))
    inspection = inspect_files(tables_among([tmp_path]), "y")
    assert doubts(inspection)[0].startswith("b has 3 rows only, so validation.min_rows is set to 1")
    assert "one class only" in inspection.notes[0]
    alone = inspect_files({"a.csv": tmp_path / "a.csv"}, "y")
    assert doubts(alone)[0].startswith("there is one provider only, a, and `run` needs two")


def test_tables_and_pictures_in_one_folder_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "north" / "ill").mkdir(parents=True)
    (tmp_path / "north" / "ill" / "1.png").touch()
    with pytest.raises(InputError, match="holds tables, as a.csv, and pictures, as 1.png"):
        tables_among([tmp_path])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label": "y"}, "--label: there is no column 'y'"),
        ({"label": "disease", "provider": "ward"}, "--provider: there is no column 'ward'"),
        (
            {"label": "disease", "stated": {"columns": {"nmae": "text"}}},
            r"prepare.columns: there is no column 'nmae'(.|\n)*one of Unnamed: 0, site",
        ),
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
