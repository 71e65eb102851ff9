import shutil
from dataclasses import replace

import pandas as pd
import pytest

from unshapley.config import FaultSettings, Params, PrepareSettings, parse_params
from unshapley.data.encoding import encode
from unshapley.data.faults import plant
from unshapley.data.preparation import check_prepared, prepare, prepared_with
from unshapley.data.reading import of_frame
from unshapley.data.sources import read_raw
from unshapley.data.tables import Schema, read_table
from unshapley.errors import InputError
from unshapley.project import Project

SCHEMA = Schema(("a",), "label", tuple("0123"))


def partitions() -> dict[str, pd.DataFrame]:
    label = [i % 4 for i in range(40)]
    return {
        name: pd.DataFrame({"a": [i + shift for i in range(40)], "label": label})
        for name, shift in (("p", 0.0), ("q", 0.25), ("r", 0.5))
    }


def encoded(frames: dict[str, pd.DataFrame], **settings):
    raw = {name: of_frame(frame, f"provider {name}") for name, frame in frames.items()}
    return encode(raw, PrepareSettings(**settings))


def test_a_key_that_an_older_version_did_not_know_makes_no_table_stale(tmp_path):
    prepared = prepared_with(Params())
    del prepared["prepare"]["read"]["thousands"], prepared["prepare"]["task"]
    schema = replace(SCHEMA, prepared=prepared)
    check_prepared(schema, Params(), tmp_path)
    other = Params(prepare={"read": {"thousands": "'"}})
    with pytest.raises(InputError, match="were prepared with prepare.read = .*'thousands': None"):
        check_prepared(schema, other, tmp_path)


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
        ({"b": [1, 2]}, "provider q: has a column 'b', which provider p has not"),
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


def prepared(tmp_path, tables, **settings):
    """Sets that `prepare` writes of these tables."""
    project = Project(tmp_path)
    project.raw.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_csv(project.raw / f"{name}.csv", index=False)
    prepare(project, parse_params({"prepare": {"source": "files", **settings}}, "test"))
    train = {name: read_table(project.partition(name)) for name in project.providers()}
    return train, read_table(project.test), Schema.load(project.schema)


def test_only_trusted_providers_judge(tmp_path, caplog):
    prepared(tmp_path, partitions())
    assert "a table of your own in prepare.test" in caplog.text
    caplog.clear()
    train, test, schema = prepared(tmp_path, partitions(), test_from=["q"])
    assert set(test["a"] % 1) == {0.25}
    assert {name: len(table) for name, table in train.items()} == {"p": 36, "q": 28, "r": 36}
    assert schema.test_sources == {"q": 8}
    assert not caplog.messages
    with pytest.raises(InputError, match="test_from names the unknown provider 'x'"):
        prepared(tmp_path, partitions(), test_from=["x"])


def test_sets_of_ones_own_judge_and_are_no_providers(tmp_path, caplog):
    own = pd.DataFrame({"label": [3, 0], "a": [100.5, 101.5]})
    tables = {**partitions(), "test": own, "reference": own[:1] + 1}
    train, test, schema = prepared(
        tmp_path, tables, test="test.csv", reference="reference.csv", label_classes={"4": "0"}
    )
    assert list(train) == ["p", "q", "r"]
    assert all(len(table) == 40 for table in train.values())
    assert test.to_dict("list") == {"a": [100.5, 101.5], "label": [3, 0]}
    assert schema.test_sources == {}
    assert "drawn from" not in caplog.text
    for given, message in (
        ("../test.csv", "is no table in"),
        ("no.csv", "file is missing"),
    ):
        with pytest.raises(InputError, match=message):
            prepared(tmp_path, tables, test=given, reference="reference.csv")


def test_rows_of_a_group_stay_together_and_what_providers_share_is_trained_on(tmp_path, caplog):
    tables = {
        name: table.assign(patient=[f"{name}{i // 4}" for i in range(40)])
        for name, table in partitions().items()
    }
    tables["q"].loc[:3, "patient"] = "p0"
    train, test, schema = prepared(tmp_path, tables, group="patient")
    assert schema.features == ("a",)
    groups = {a: g for t in tables.values() for a, g in zip(t["a"], t["patient"], strict=True)}
    tested = {groups[a] for a in test["a"]}
    trained = {groups[a] for table in train.values() for a in table["a"]}
    assert len(test) == 24
    assert not tested & trained
    assert "p0" in trained
    assert "8 rows stand with several providers" in caplog.text


def test_equal_rows_of_two_providers_are_trained_on_unless_by_chance(tmp_path):
    tables = partitions()
    tables["r"] = tables["p"]
    train, test, _ = prepared(tmp_path, tables)
    assert set(test["a"] % 1) == {0.25}
    assert len(train["p"]) == len(train["r"]) == 40
    few = {name: table.assign(a=table["a"] // 4) for name, table in partitions().items()}
    assert prepared(tmp_path, few)[2].test_sources.keys() == {"p", "q", "r"}


@pytest.mark.parametrize(
    ("times", "after"),
    [
        ([f"2024-01-{i % 20 + 1:02d}" for i in range(40)], "2024-01-15"),
        ([f"2024-01-{i % 20 + 1:02d}T12:00:00Z" for i in range(40)], "2024-01-16"),
        ([i % 20 for i in range(40)], 14),
    ],
)
def test_later_rows_judge(tmp_path, times, after):
    tables = {name: table.assign(seen=times) for name, table in partitions().items()}
    train, test, schema = prepared(tmp_path, tables, time="seen", test_after=after)
    assert schema.features == ("a",)
    assert set(test["a"] // 1 % 20) == set(range(15, 20))
    assert max(table["a"].mod(20).max() for table in train.values()) < 15
    tables["q"]["seen"] = "soon"
    with pytest.raises(InputError, match="provider q: column 'seen', row 0 is 'soon'"):
        prepared(tmp_path, tables, time="seen", test_after=after)
    with pytest.raises(InputError, match="all its rows are test or reference rows"):
        tables["q"]["seen"] = times
        prepared(tmp_path, tables, time="seen", test_after="2023" if isinstance(after, str) else -1)


def test_rows_of_a_folder_are_one_provider_s(tmp_path):
    project = Project(tmp_path)
    tables = partitions()
    for part in range(2):
        path = project.raw / "q" / f"{part}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        tables["q"][20 * part : 20 * part + 20].to_csv(path, index=False)
    nested = prepared(tmp_path, {name: tables[name] for name in "pr"})
    shutil.rmtree(project.raw)
    flat = prepared(tmp_path, tables)
    assert nested[1].equals(flat[1])
    assert all(nested[0][name].equals(flat[0][name]) for name in "pqr")
    assert nested[2].sources.keys() == {"p.csv", "q/0.csv", "q/1.csv", "r.csv"}
