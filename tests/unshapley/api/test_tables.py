"""Tables in memory are prepared as files are."""

import numpy as np
import pandas as pd
import pytest
import torch

import unshapley as us
from tests.unshapley.api.test_value import NAMES, rows
from unshapley.api.tables import read_tables
from unshapley.config import parse_params
from unshapley.data.preparation import prepare
from unshapley.data.tables import Schema
from unshapley.models.rows import read_rows, read_set
from unshapley.project import Project


def with_gaps(seed: int) -> pd.DataFrame:
    frame = rows(seed)
    rng = np.random.default_rng(seed)
    frame["b"] = frame["b"].where(rng.random(len(frame)) > 0.1)
    frame["kind"] = rng.choice(["x", "y", "z"], len(frame))
    return frame


@pytest.mark.parametrize("incomplete", ["drop", "impute"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_rows_are_those_of_files(incomplete, task, tmp_path):
    label = "ill" if task == "classification" else "a"
    frames = {name: with_gaps(seed) for seed, name in enumerate(NAMES)}
    stated = {
        "source": "files", "label": label, "task": task, "incomplete": incomplete, "seed": 4,
        "columns": {"kind": "category"}, "drop": ["ill"] if task == "regression" else ["c"],
    }  # fmt: skip
    params = parse_params({"prepare": stated}, where="test")
    project = Project(tmp_path)
    project.raw.mkdir(parents=True)
    for name, frame in frames.items():
        frame.to_parquet(project.raw / f"{name}.parquet")
    prepare(project, params)
    schema = Schema.load(project.schema)

    found = read_tables(frames, None, None, params.prepare)
    assert (found.schema.features, found.schema.classes) == (schema.features, schema.classes)
    assert found.schema.label_scale == schema.label_scale
    assert list(found.partitions) == list(schema.providers)
    stored = {name: read_rows(project, schema, name) for name in found.partitions}
    sets = {name: read_set(project, schema, name) for name in ("test", "reference")}
    ours = {**found.partitions, "test": found.test, "reference": found.reference}
    for name, (x, y) in {**stored, **sets}.items():
        assert torch.equal(ours[name][0], x), name
        assert torch.equal(ours[name][1], y), name


def test_a_set_that_is_given_is_taken_whole_and_the_other_is_drawn():
    frames = {name: rows(seed) for seed, name in enumerate(NAMES)}
    settings = parse_params({"prepare": {"label": "ill"}}, where="test").prepare
    drawn = read_tables(frames, None, None, settings)
    given = read_tables(frames, rows(8, 33), None, settings)
    assert (len(given.test[1]), len(given.reference[1])) == (33, 18)
    assert len(given.partitions["north"][1]) == 54 > len(drawn.partitions["north"][1]) == 42
    both = read_tables(frames, rows(8), rows(9, 21), settings)
    assert (len(both.reference[1]), len(both.partitions["north"][1])) == (21, 60)


def test_providers_are_the_keys():
    frames = {name: rows(seed).assign(place=name) for seed, name in enumerate(NAMES)}
    with pytest.raises(us.InputError, match="the keys of `data` name the providers"):
        us.value(None, frames, label="ill", params={"prepare": {"provider": "place"}})


def test_trusted_providers_judge_and_groups_stay_together():
    frames = {name: rows(seed).assign(person=range(60)) for seed, name in enumerate(NAMES)}
    stated = {"label": "ill", "group": "person", "test_from": ["north"]}
    settings = parse_params({"prepare": stated}, where="test").prepare
    found = read_tables(
        {n: f.assign(person=n + f["person"].astype(str)) for n, f in frames.items()},
        None,
        None,
        settings,
    )
    assert found.findings == ()
    assert (len(found.test[1]), len(found.partitions["south"][1])) == (12, 54)
    assert found.schema.features == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("prepare", "sets", "message"),
    [
        ({"test": "test.csv"}, {}, "params.prepare.test: names the file 'test.csv'"),
        ({"reference": "r.csv"}, {"test": rows(8)}, "give its rows as `reference`"),
        ({"test_from": ["north"]}, {"test": rows(8)}, "test and test_from: one of them says"),
    ],
)
def test_one_place_says_which_rows_judge(prepare, sets, message):
    frames = {name: rows(seed) for seed, name in enumerate(NAMES)}
    with pytest.raises(us.InputError) as raised:
        us.value(None, frames, label="ill", params={"prepare": prepare}, **sets)
    assert message in str(raised.value)
