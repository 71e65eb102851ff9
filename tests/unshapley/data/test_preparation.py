import pandas as pd
import pytest

from unshapley.config import FaultSettings, PrepareSettings, parse_params
from unshapley.data.encoding import encode
from unshapley.data.faults import plant
from unshapley.data.preparation import prepare
from unshapley.data.reading import of_frame
from unshapley.data.sources import read_raw
from unshapley.data.tables import Schema, read_table
from unshapley.errors import InputError
from unshapley.project import Project

SCHEMA = Schema(("a",), "label", tuple("0123"))


def partitions() -> dict[str, pd.DataFrame]:
    rows = {"a": [float(i) for i in range(40)], "label": [i % 4 for i in range(40)]}
    return {name: pd.DataFrame(rows) for name in ("p", "q", "r")}


def encoded(frames: dict[str, pd.DataFrame], **settings):
    raw = {name: of_frame(frame, f"provider {name}") for name, frame in frames.items()}
    return encode(raw, PrepareSettings(**settings))


def test_faults_change_only_their_provider():
    before = partitions()
    after = plant(before, FaultSettings(wrong_labels={"p": 0.5}), SCHEMA, seed=0)
    assert (after["p"]["label"] != before["p"]["label"]).sum() == 20
    assert after["p"]["label"].between(0, 3).all()
    assert after["q"].equals(before["q"])


def test_noise_stays_in_range_and_duplicates_are_copies():
    faults = FaultSettings(noise={"p": 3.0}, duplicate={"r": "q"})
    before, after = partitions(), plant(partitions(), faults, SCHEMA, seed=0)
    assert not after["p"]["a"].equals(before["p"]["a"])
    assert after["p"]["a"].between(0, 39).all()
    assert after["r"].equals(after["q"])


def test_a_fault_of_nobody_is_refused():
    with pytest.raises(InputError, match="faults.noise names the unknown provider 'x'"):
        plant(partitions(), FaultSettings(noise={"x": 1.0}), SCHEMA, seed=0)


def test_labels_become_class_codes():
    raw = {"p": pd.DataFrame({"y": ["cat", "dog"], "a": [1, 2]})}
    schema, tables = encoded(raw, label="y")
    assert schema == Schema(("a",), "y", ("cat", "dog"))
    assert tables["p"]["y"].tolist() == [0, 1]


def test_two_files_of_one_provider_are_refused(tmp_path):
    for name in ("p.csv", "p.parquet"):
        (tmp_path / name).touch()
    (tmp_path / "p.csv").write_text("a,label\n1,0\n")
    with pytest.raises(InputError, match="provider 'p' has two files"):
        read_raw(tmp_path, PrepareSettings())


def test_a_provider_that_left_leaves_no_partition(tmp_path):
    project = Project(tmp_path)
    project.raw.mkdir(parents=True)
    params = parse_params({"prepare": {"source": "files"}}, "test")
    for name, table in partitions().items():
        table.to_csv(project.raw / f"{name}.csv", index=False)
    prepare(project, params)
    (project.raw / "q.csv").unlink()
    kept = read_table(project.partition("p"))
    prepare(project, params)
    assert project.providers() == ["p", "r"]
    assert read_table(project.partition("p")).equals(kept)


def frame_of(labels) -> pd.DataFrame:
    return pd.DataFrame({"a": [1.0] * len(labels), "label": labels})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": ["1", "?"]}, r"provider q: column 'a', row 1 is '\?'"),
        ({"b": [1, 2]}, "provider q: column 'b' is only in provider p or only here"),
    ],
)
def test_columns_that_cannot_be_features_are_refused(change, message):
    raw = {"p": frame_of([0, 1]), "q": frame_of([0, 1]).assign(**change)}
    with pytest.raises(InputError, match=message):
        encoded(raw)


def test_one_empty_cell_costs_its_row_and_no_other(tmp_path, caplog):
    project = Project(tmp_path)
    project.raw.mkdir(parents=True)
    for name, table in partitions().items():
        if name == "q":
            table.loc[3, "a"] = None
        table.to_csv(project.raw / f"{name}.csv", index=False)
    rows = {}
    for incomplete in ("keep", "drop", "impute"):
        params = {"prepare": {"source": "files", "incomplete": incomplete}}
        rows[incomplete] = prepare(project, parse_params(params, "test"))
        assert read_table(project.test)["a"].notna().all()
        assert len(read_table(project.test)) == 24
    assert rows["keep"] == {"p": 28, "q": 28, "r": 28}  # there validation finds it
    assert "q: 1 of 40 rows miss a value" in caplog.text
    assert rows["drop"] == {"p": 28, "q": 27, "r": 28}
    assert rows["impute"]["q"] == 28
    schema = Schema.load(project.schema)
    assert schema.features == ("a", "a is missing")
    reference = read_table(project.reference)
    known = reference[reference["a is missing"] == 0]["a"]
    assert schema.imputed == {"a": known.median()}
    marked = [t[t["a is missing"] == 1] for t in map(read_table, (project.partition("q"), project.test, project.reference))]  # fmt: skip
    assert sum(map(len, marked)) == 1
    assert pd.concat(marked)["a"].tolist() == [known.median()]


def test_numbers_that_are_hardly_classes_are_pointed_out(caplog):
    tables = partitions()
    encoded(tables)
    assert not caplog.messages
    for i, table in enumerate(tables.values()):
        table["label"] = [20 * i + k // 2 for k in range(40)]
    encoded(tables)
    assert "60 different numbers in 120 rows" in caplog.text
    assert "prepare.task: regression" in caplog.text
