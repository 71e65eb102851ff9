"""Tables as people have them: types come from all files, and nothing is changed in silence."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pytest

from unshapley.config import PrepareSettings
from unshapley.data.encoding import encode
from unshapley.data.reading import read_file
from unshapley.data.sources import read_raw
from unshapley.errors import InputError


def files(folder, texts, ending="csv"):
    for name, text in texts.items():
        (folder / f"{name}.{ending}").write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def prepared(folder, texts, ending="csv", **settings):
    settings = PrepareSettings(source="files", **settings)
    return encode(read_raw(files(folder, texts, ending), settings), settings)


def labelled(*labels):
    return "u,label\n" + "".join(f"{i}.5,{label}\n" for i, label in enumerate(labels))


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ((("NA", "EU"), ("AS", "None")), ("AS", "EU", "NA", "None")),
        ((("1", "2"), ("x", "1")), ("1", "2", "x")),
        ((("1", "2"), ("1.0", "2e0")), ("1", "2")),
        ((("0.50", "10"), (".5", "9")), ("0.5", "9", "10")),
        ((("01", "1"), ("02", "1")), ("1", "01", "02")),
        ((("True", "False"), ("True", "True")), ("False", "True")),
    ],
)
def test_classes_come_from_all_files(tmp_path, labels, classes):
    schema, tables = prepared(tmp_path, {"a": labelled(*labels[0]), "b": labelled(*labels[1])})
    assert sorted(schema.classes) == sorted(classes)
    assert all(table["label"].dtype == np.int64 for table in tables.values())


def test_numbers_come_before_words_in_their_order(tmp_path):
    schema, tables = prepared(tmp_path, {"a": labelled("10", "9"), "b": labelled("x", "9")})
    assert schema.classes == ("9", "10", "x")
    assert tables["a"]["label"].tolist() == [1, 0]


def test_truth_values_and_numbers_are_one_class_only_by_a_rule(tmp_path):
    texts = {"a": labelled("True", "False"), "b": labelled("0", "1")}
    with pytest.raises(
        InputError, match=r"the label 'label' is 'True' \(row 0 of .*a.csv\) and '0'"
    ):
        prepared(tmp_path, texts)
    schema, tables = prepared(tmp_path, texts, label_classes={"True": "1", "False": "0"})
    assert schema.classes == ("0", "1")
    assert tables["a"]["label"].tolist() == [1, 0]


def test_labels_above_a_number_are_a_class(tmp_path):
    texts = {"a": labelled("0", "3"), "b": labelled("-1", "1")}
    schema, tables = prepared(tmp_path, texts, label_above=0)
    assert schema.classes == ("<= 0", "> 0")
    assert [t["label"].tolist() for t in tables.values()] == [[0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("label,u,label", "0,1,0", "column 'label' stands at positions 1 and 3"),
        (",u,label", "0,1,0", "column 1 has no name, as a written index has none"),
        ("Unnamed: 0,u,label", "0,1,0", "column 1 has no name"),
        ("seen,u,label", "2024-01-31,1,0", "column 'seen' holds dates: '2024-01-31'"),
        ("seen,u,label", "31.1.2024,1,0", "column 'seen' holds dates"),
        ("code,u,label", "007,1,0", "column 'code' has leading zeros, which numbers lose: '007'"),
        ("dose,u,label", "3e39,1,0", "column 'dose', row 0 is 3e\\+39"),
        ("dose,u,label", "inf,1,0", "column 'dose', row 0 is 'inf'"),
        ("sex,u,label", "f,1,0", "column 'sex', row 0 is 'f'"),
        ("a;b;label", "1;2;0", "is one column only(.|\n)*separator to ';'"),
        ("u,v,label", "1,2,3,0", "Expected 3 columns, got 4"),
    ],
)
def test_what_reading_would_change_is_named(tmp_path, header, row, message):
    texts = {"a": f"{header}\n{row}\n", "b": f"{header}\n{row[:-1]}1\n"}
    with pytest.raises(InputError, match=message):
        prepared(tmp_path, texts)


def test_a_column_is_of_one_kind_in_all_files(tmp_path):
    texts = {"a": "v,label\nTrue,0\n", "b": "v,label\n0,1\n"}
    with pytest.raises(InputError, match=r"column 'v' is 'True' .* and '0' "):
        prepared(tmp_path, texts)
    _, tables = prepared(tmp_path, texts, columns={"v": "number"})
    assert [t["v"].tolist() for t in tables.values()] == [[1.0], [0.0]]


def test_rules_of_the_user_cover_it(tmp_path):
    text = ",seen,sex,code,u,label\n0,2024-01-31,f,007,-,x\n1,2024-02-01,m,012,2,y\n"
    schema, tables = prepared(
        tmp_path,
        {"a": text, "b": text},
        drop=["Unnamed: 0", "seen"],
        columns={"sex": "category", "code": "number"},
        read={"missing": ["-"]},
    )
    assert schema.features == ("sex=f", "sex=m", "code", "u")
    assert schema.categories == {"sex": ("f", "m")}
    expected = [[1, 0, 7, np.nan, 0], [0, 1, 12, 2, 1]]
    np.testing.assert_array_equal(tables["a"].to_numpy(dtype=float), expected)


def test_how_files_are_written_is_a_parameter(tmp_path):
    text = "\ufeffgröße;label\n1,5;0\n-2,25e1;1\n"
    read = {"separator": ";", "decimal": ","}
    _, tables = prepared(tmp_path, {"a": text, "b": text.encode()}, read=read)
    assert tables["a"]["größe"].tolist() == [1.5, -22.5]
    (tmp_path / "latin").mkdir()
    texts = {name: "größe\tlabel\n1\tö\n2\tü\n".encode("latin-1") for name in "ab"}
    schema, _ = prepared(tmp_path / "latin", texts, "TSV", read={"encoding": "latin-1"})
    assert (schema.features, schema.classes) == (("größe",), ("ö", "ü"))


def test_a_file_without_a_header_has_the_names_that_are_given(tmp_path):
    texts = {"north": "63.0,?,2\n41.0,1.5,0\n", "south": "50.0,2.5,0\n37.0,?,1\n"}
    read = {"header": False, "names": ["age", "st", "num"], "missing": ["?"]}
    schema, tables = prepared(tmp_path, texts, "data", read=read, label="num", label_above=0)
    assert schema.features == ("age", "st")
    assert tables["north"]["num"].tolist() == [1, 0]
    assert tables["north"]["st"].isna().tolist() == [True, False]


def test_typed_files_are_read_as_they_are(tmp_path):
    frame = pd.DataFrame({"u": [1, 2], "v": [True, False], "w": pd.Categorical(["1", "2"])})
    frame = frame.assign(label=["x", "y"])
    frame.to_parquet(tmp_path / "a.parquet")
    pa.feather.write_feather(frame, tmp_path / "b.feather")
    frame.to_json(tmp_path / "c.jsonl", orient="records", lines=True)
    settings = PrepareSettings(source="files")
    _, tables = encode(read_raw(tmp_path, settings), settings)
    for table in tables.values():
        assert table.to_numpy(dtype=float).tolist() == [[1, 1, 1, 0], [2, 0, 2, 1]]


@pytest.mark.parametrize("line", ['{"text": "no end', "[1]"])
def test_a_line_that_is_no_object_of_json_is_named_by_its_number(tmp_path, line):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(['{"text": "x"}'] * 36 + [line, '{"text": "y"}']))
    with pytest.raises(InputError, match=r"a\.jsonl: line 37 is not JSON"):
        read_file(path)


def test_a_rare_class_is_pointed_out(tmp_path, caplog):
    texts = {"a": labelled(*"xy" * 20), "b": labelled(*"xy" * 20, "rare", "rare")}
    prepared(tmp_path, texts)
    assert "class 'rare' has 2 rows, of b" in caplog.text
    texts["b"] = labelled(*"xy" * 20, *(f"rare {i}" for i in range(8)))
    caplog.clear()
    prepared(tmp_path, texts)
    assert caplog.text.count("has 1 row, of b") == 5
    assert "so it is with 3 classes more" in caplog.text


def test_a_provider_may_have_a_folder_of_files(tmp_path):
    (tmp_path / "a.csv").write_text(labelled("x", "y"))
    for name, label in (("site=b/2023/1.csv", "x"), ("site=b/2024/1.csv", "z"), ("c/1.csv", "y")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(labelled(label))
    (tmp_path / "c" / ".2.csv").write_text("half")
    (tmp_path / "notes").mkdir()
    settings = PrepareSettings(source="files")
    raw = read_raw(tmp_path, settings)
    assert list(raw) == ["a", "b/site=b/2023/1.csv", "b/site=b/2024/1.csv", "c"]
    assert encode(raw, settings)[0].classes == ("x", "y", "z")
    (tmp_path / "b.csv").write_text(labelled("x"))
    with pytest.raises(InputError, match="provider 'b' has two files"):
        read_raw(tmp_path, settings)
