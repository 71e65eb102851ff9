"""Words weighted by how rare they are in the reference set, and by nothing else."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from unshapley.api.tables import read_tables
from unshapley.config import Params
from unshapley.data.encoding import encode
from unshapley.data.inference import inspect_files, tables_among
from unshapley.data.preparation import prepare
from unshapley.data.reading import of_frame
from unshapley.data.splits import divide
from unshapley.data.tables import Schema, fingerprints, read_table
from unshapley.data.words import inverse_frequencies, tfidf, weighted
from unshapley.errors import InputError
from unshapley.project import Project

REFERENCE = ["cold rain falls", "warm sun shines", "cold wind blows", "the sun shines"]


def params(**settings):
    return Params(prepare={"source": "files", "columns": {"note": "tfidf"}, **settings})


def table(notes, size=1.0):
    return pd.DataFrame({"note": notes, "size": size, "label": ["a", "b"] * (len(notes) // 2)})


TABLES = {
    "north": table(["cold rain falls", "warm sun shines", None, "cold cold wind"] * 5),
    "south": table(["soleil brille", "la pluie", "the sun shines", "pluie froide"] * 5, 2.0),
    "test": table(["cold rain", "soleil", "sun shines", ""]),
    "reference": table(REFERENCE),
}


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    project.raw.mkdir(parents=True)
    for name, frame in TABLES.items():
        frame.to_csv(project.raw / f"{name}.csv", index=False)
    return project


OWN = {"test": "test.csv", "reference": "reference.csv"}


def test_features_are_those_of_scikit_learn_fitted_on_the_reference_set_alone(project, caplog):
    prepare(project, params(**OWN))
    schema = Schema.load(project.schema)
    peer = TfidfVectorizer(ngram_range=(1, 2)).fit(REFERENCE)
    terms = list(peer.get_feature_names_out())
    assert schema.features == (*(f"note#{term}" for term in terms), "size")
    assert list(schema.tfidf["note"]) == terms
    np.testing.assert_array_equal(list(schema.tfidf["note"].values()), peer.idf_)
    for path in (project.partition("north"), project.test, project.reference):
        rows, name = read_table(path), path.stem
        notes = TABLES[name]["note"].fillna("")
        expected = peer.transform(notes).toarray()
        np.testing.assert_allclose(rows[list(schema.features[:-1])], expected, rtol=1e-15)
        assert list(rows)[-2:] == ["size", "label"]
    assert schema.unknown_words["note"] == {"north": 0.0, "south": 0.6667, "test": 0.2}
    assert "north 0%, south 67%, test 20%" in caplog.text


def test_the_recorded_numbers_give_the_same_features_to_new_texts(project):
    prepare(project, params(**OWN))
    recorded = json.loads(project.schema.read_text())["tfidf"]["note"]
    peer = TfidfVectorizer(ngram_range=(1, 2)).fit(REFERENCE)
    new = ["The sun, the cold", "nothing of it known", ""]
    np.testing.assert_array_equal(tfidf(new, recorded), peer.transform(new).toarray())


def test_a_provider_s_words_change_nothing_of_another_s_features(project):
    before = params(**OWN)
    prepare(project, before)
    rows = project.partition("north").read_bytes()
    table(["quite other words"] * 20).to_csv(project.raw / "south.csv", index=False)
    prepare(project, before)
    assert project.partition("north").read_bytes() == rows


def test_the_most_frequent_words_are_kept_and_ties_are_in_order():
    texts = ["one two", "one three", "two"]
    assert list(inverse_frequencies("note", texts, 2)) == ["one", "two"]
    assert list(inverse_frequencies("note", texts, 3)) == ["one", "one three", "two"]


def test_where_rows_are_drawn_equal_texts_stay_on_one_side(project):
    notes = [f"word{i} and word{i + 1}" for i in range(20)] * 2
    raw = {"north": of_frame(table(notes), "north"), "south": of_frame(table(notes), "south")}
    settings = params().prepare
    schema, tables = encode(raw, settings)
    assert list(fingerprints(tables["north"], schema.features)[:20]) == list(
        fingerprints(tables["south"], schema.features)[20:]
    )
    sets = divide({"north": tables["north"]}, {}, settings, schema.features)
    for one, other in ((sets.test, sets.reference), (sets.test, sets.train["north"])):
        assert not set(one["note"]) & set(other["note"])
    schema, sets = weighted(schema, sets, settings)
    assert set(schema.features[:-1]) == {f"note#{term}" for term in schema.tfidf["note"]}


def test_frames_in_memory_give_the_same_rows(project):
    prepare(project, params(**OWN))
    data = {name: TABLES[name] for name in ("north", "south")}
    found = read_tables(data, TABLES["test"], TABLES["reference"], params().prepare)
    schema = Schema.load(project.schema)
    assert found.schema.features == schema.features
    assert found.schema.tfidf == schema.tfidf
    x, _ = found.partitions["south"]
    rows = read_table(project.partition("south"))[list(schema.features)]
    np.testing.assert_array_equal(x.numpy(), rows.to_numpy(dtype=np.float32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"faults": {"noise": {"north": 1.0}}}, "faults.noise: column 'note' is weighted"),
        ({"reference": "empty.csv"}, "column 'note' has no word in the reference set"),
    ],
)
def test_what_cannot_be_is_one_error(project, change, message):
    table(["", "?!"] * 5).to_csv(project.raw / "empty.csv", index=False)
    faults = change.pop("faults", {})
    settings = params(**{**OWN, **change})
    if "reference" not in change:
        (project.raw / "empty.csv").unlink()
    else:
        (project.raw / "reference.csv").unlink()
    with pytest.raises(InputError, match=message):
        prepare(project, settings.model_copy(update={"faults": Params(faults=faults).faults}))
    assert not project.schema.exists()


def test_it_is_chosen_beside_what_is_inferred(project):
    stated = {"columns": {"note": "tfidf"}}
    inspection = inspect_files(tables_among([project.raw]), "label", stated=stated)
    assert inspection.settings.columns["note"] == "tfidf"
    assert inspection.settings.incomplete == "keep", "a text that is missing has no words"
