"""Exports as other programs write them: grouped digits, nested objects, columns that come and go."""

import json

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from unshapley.config import Params, ReadSettings
from unshapley.data.encoding import encode
from unshapley.data.inference import inspect_files, tables_among
from unshapley.data.preparation import prepare
from unshapley.data.sources import read_raw
from unshapley.errors import InputError
from unshapley.project import Project

AMOUNTS = np.random.default_rng(0).uniform(100, 3e6, 40).round(2)


def written(amount: float, thousands: str, decimal: str) -> str:
    return f"{amount:,.2f}".replace(",", "t").replace(".", decimal).replace("t", thousands)


def export(folder, thousands, decimal, separator=";", **columns):
    frame = pd.DataFrame({"sum": [written(a, thousands, decimal) for a in AMOUNTS], **columns})
    for name in "ab":
        path = folder / f"{name}.csv"
        frame.assign(label=["a", "b"] * 20).to_csv(path, sep=separator, index=False)


@pytest.mark.parametrize(
    ("thousands", "decimal", "separator"),
    [(".", ",", ";"), (",", ".", ";"), (",", ".", ","), (" ", ",", ";"), ("'", ".", ",")],
)
def test_grouped_digits_are_inferred_and_read(tmp_path, thousands, decimal, separator):
    export(tmp_path, thousands, decimal, separator)
    settings = inspect_files(tables_among([tmp_path]), "label").settings
    assert (settings.read.thousands, settings.read.decimal) == (thousands, decimal)
    _, tables = encode(read_raw(tmp_path, settings), settings)
    np.testing.assert_allclose(tables["a"]["sum"], AMOUNTS, rtol=1e-12)


@pytest.mark.parametrize("space", ["\u00a0", "\u202f"])
def test_a_space_is_any_space(tmp_path, space):
    export(tmp_path, space, ",")
    read = {"separator": ";", "decimal": ",", "thousands": " "}
    settings = inspect_files(tables_among([tmp_path]), "label", stated={"read": read}).settings
    _, tables = encode(read_raw(tmp_path, settings), settings)
    np.testing.assert_allclose(tables["a"]["sum"], AMOUNTS, rtol=1e-12)


def test_what_may_be_a_fraction_is_not_taken_for_thousands(tmp_path):
    rows = "\n".join(f"{i},{i % 9:d}.{i:03d},{i % 2}" for i in range(100, 140))
    (tmp_path / "all.csv").write_text(f"x,weight,label\n{rows}\n")
    settings = inspect_files(tables_among([tmp_path]), "label").settings
    assert (settings.read.thousands, settings.read.decimal) == (None, ".")


def test_texts_that_are_no_such_numbers_stay_as_they_are(tmp_path):
    places = ["1.2.2024", "12.34", "1.234.56", "v1.234", "1.234"] * 8
    export(tmp_path, ".", ",", place=places)
    stated = {"columns": {"place": "category"}}
    settings = inspect_files(tables_among([tmp_path]), "label", stated=stated).settings
    schema, _ = encode(read_raw(tmp_path, settings), settings)
    assert schema.categories["place"] == ("1.2.2024", "1.234.56", "12.34", "1234", "v1.234")


def test_one_mark_cannot_be_both():
    with pytest.raises(ValidationError, match="the same mark"):
        ReadSettings(decimal=",", thousands=",")


def test_numbers_with_units_are_left_out_with_what_to_do(tmp_path):
    export(tmp_path, ".", ",", share=[f"{i},5 %" for i in range(40)])
    (_, share) = inspect_files(tables_among([tmp_path]), "label").columns
    assert "as '0,5 %': see prepare.read.thousands" in share.notes[0]


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)))


def readings(count=40):
    rng = np.random.default_rng(1)
    return [
        {"temp": float(t), "device": {"id": i % 5, "at": {"floor": i % 3}}, "label": int(t > 0)}
        for i, t in enumerate(rng.normal(size=count).round(3))
    ]


def test_objects_are_columns(tmp_path):
    for name in "ab":
        lines(tmp_path / f"{name}.jsonl", readings())
    settings = inspect_files(tables_among([tmp_path]), "label").settings
    schema, tables = encode(read_raw(tmp_path, settings), settings)
    assert schema.features == ("temp", "device.id", "device.at.floor")
    assert tables["a"]["device.at.floor"].tolist()[:4] == [0, 1, 2, 0]


def test_lists_are_left_out_with_the_reason_and_are_no_label(tmp_path):
    rows = [{**row, "tags": ["x"] * (i % 3)} for i, row in enumerate(readings())]
    lines(tmp_path / "a.jsonl", rows)
    inspection = inspect_files(tables_among([tmp_path]), "label")
    assert inspection.settings.drop == ["tags"]
    (fact,) = [fact for fact in inspection.columns if fact.name == "tags"]
    assert fact.kind == "list<item: string>"
    assert "left out: each cell holds several things" in fact.notes[0]
    with pytest.raises(InputError, match="column 'tags': its cells are of type list"):
        inspect_files(tables_among([tmp_path]), "tags")


def test_a_column_that_not_all_tables_have_can_be_left_out(tmp_path):
    lines(tmp_path / "a.jsonl", readings())
    lines(tmp_path / "b.jsonl", [{**row, "note": "checked"} for row in readings()])
    files = tables_among([tmp_path])
    with pytest.raises(InputError, match=r"has a column 'note'(.|\n)*prepare.drop"):
        inspect_files(files, "label")
    inspection = inspect_files(files, "label", stated={"drop": ["note"]})
    assert inspection.settings.drop == ["note"]
    _, tables = encode(read_raw(tmp_path, inspection.settings), inspection.settings)
    assert len(tables["b"]) == 40


def test_a_row_of_totals_is_named(tmp_path):
    frame = pd.DataFrame(
        {"site": ["x", "y"] * 5 + [None], "n": range(11), "label": [0, 1] * 5 + [0]}
    )
    frame.to_csv(tmp_path / "all.csv", index=False)
    with pytest.raises(InputError, match=r"all.csv: column 'site': 1 of 11 .* in row 10"):
        inspect_files(tables_among([tmp_path]), "label", "site")


@pytest.fixture
def sites(tmp_path):
    sites = ["North/West", "south", "South "] * 20
    frame = pd.DataFrame({"site": sites, "n": range(60), "label": [0, 1] * 30})
    frame.to_csv(tmp_path / "all.csv", index=False)
    return tmp_path


def prepared(folder, names):
    raw = Project(folder / "project")
    raw.raw.mkdir(parents=True)
    (raw.raw / "all.csv").write_bytes((folder / "all.csv").read_bytes())
    settings = {"source": "files", "provider": "site", "provider_names": names}
    return prepare(raw, Params(prepare=settings))


def test_texts_in_a_column_may_mean_a_provider_of_another_name(sites, caplog):
    names = {"North/West": "north-west", "South": "south", "East": "east"}
    inspection = inspect_files(
        tables_among([sites / "all.csv"]), "label", "site", {"provider_names": names}
    )
    assert inspection.rows == {"north-west": 20, "south": 40}
    assert inspection.settings.provider_names == names
    rows = prepared(sites, names)
    assert list(rows) == ["north-west", "south"]
    assert "prepare.provider_names: no row has 'East'" in caplog.text


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({}, "prepare.provider_names: {'North/West': …}"),
        ({"North/West": "a/b"}, "'a/b' cannot be the name of a provider"),
        ({"North/West": "south", "South": "south"}, "names one provider only: 'south'"),
    ],
)
def test_names_that_cannot_be_say_what_to_state(sites, names, message):
    with pytest.raises(InputError) as raised:
        prepared(sites, names)
    assert message in str(raised.value)


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;\r"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_a_line_that_states_the_separator_is_no_header(tmp_path, line, encoding):
    rows = "\n".join(f"{i},5;{'ab'[i % 2]}" for i in range(20))
    for name in "ab":
        text = f"{line}\ngröße;label\n{rows}\n"
        (tmp_path / f"{name}.csv").write_bytes(text.encode(encoding))
    stated = {"read": {"encoding": encoding.removesuffix("-sig")}}
    settings = inspect_files(tables_among([tmp_path]), "label", stated=stated).settings
    schema, tables = encode(read_raw(tmp_path, settings), settings)
    assert schema.features == ("größe",)
    assert tables["b"]["größe"].tolist() == [i + 0.5 for i in range(20)]


def test_names_that_look_alike_are_pointed_out(tmp_path, caplog):
    frame = pd.DataFrame(
        {"sex": ["f", "F", "m"] * 20, "n": range(60), "y": ["Yes", "no", "yes"] * 20}
    )
    for name in "ab":
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    inspection = inspect_files(tables_among([tmp_path]), "y")
    assert "classes 'Yes' and 'yes' look alike" in " ".join(inspection.notes)
    assert "'F' and 'f' look alike" in inspection.columns[0].notes
    encode(read_raw(tmp_path, inspection.settings), inspection.settings)
    assert "prepare.label_classes: {'yes': 'Yes'}" in caplog.text
    one = inspection.settings.model_copy(update={"label_classes": {"yes": "Yes"}})
    assert encode(read_raw(tmp_path, one), one)[0].classes == ("Yes", "no")
