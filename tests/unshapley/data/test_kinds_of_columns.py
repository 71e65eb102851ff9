"""Columns that are no plain numbers: texts, ordered values, pictures, and a function of one's own."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from unshapley.config import Params
from unshapley.data.encoding import encode
from unshapley.data.inference import inspect_files, tables_among
from unshapley.data.preparation import prepare, source_hashes
from unshapley.data.reading import of_frame
from unshapley.data.tables import Schema, read_table
from unshapley.data.words import hashed
from unshapley.errors import InputError
from unshapley.project import Project

WORDS = {"good": "glad fine warm clear bright", "bad": "cold grey wet dull dark"}


def params(**settings) -> Params:
    return Params(prepare={"source": "files", **settings})


def texts(seed: int, count: int = 30) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    labels = rng.choice(list(WORDS), count)
    notes = [" ".join(rng.choice(WORDS[label].split(), 5)) for label in labels]
    return pd.DataFrame({"note": notes, "size": rng.choice(["small", "large"], count), "label": labels})  # fmt: skip


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    project.raw.mkdir(parents=True)
    return project


def test_words_become_features_in_which_equal_texts_are_equal_and_no_text_is_zero():
    frame = hashed("note", ["a cold day", None, "a cold day", "a warm day"], 64)
    assert list(frame)[:2] == ["note#00", "note#01"]
    np.testing.assert_array_equal(frame.loc[0], frame.loc[2])
    assert not frame.loc[1].any()
    assert np.linalg.norm(frame.loc[3]) == pytest.approx(1)
    shared = frame.loc[0] @ frame.loc[3]  # "day" but not "cold"
    assert 0.1 < shared < 0.9


def test_a_table_of_texts_and_ordered_values_is_prepared(project):
    for seed, name in enumerate(("north", "south")):
        texts(seed).to_csv(project.raw / f"{name}.csv", index=False)
    columns = {"note": "text", "size": ["small", "large"]}
    prepare(project, params(columns=columns, text_features=32))
    schema = Schema.load(project.schema)
    assert schema.features[0] == "note#00"
    assert schema.features[-1] == "size"
    table = read_table(project.partition("north"))
    assert set(table["size"]) == {0.0, 1.0}


def test_a_value_that_has_no_place_in_the_order_is_named():
    table = of_frame(texts(0).assign(size=["small"] * 29 + ["huge"]), "north")
    with pytest.raises(InputError, match="row 29 is 'huge'"):
        encode({"north": table}, params(columns={"note": "text", "size": ["small", "large"]}).prepare)  # fmt: skip


def test_sentences_are_inferred_to_be_text_and_names_to_be_left_out(tmp_path):
    frame = texts(0, 60).assign(person=[f"person {i}" for i in range(60)])
    frame.to_csv(tmp_path / "all.csv", index=False)
    settings = inspect_files(tables_among([tmp_path]), "label").settings
    assert settings.columns == {"note": "text", "size": "category"}
    assert settings.drop == ["person"]


@pytest.fixture
def pictures(project):
    rng = np.random.default_rng(0)
    for provider in ("north", "south"):
        for kind, level in (("dark", 60), ("light", 190)):
            folder = project.raw / provider / kind
            folder.mkdir(parents=True)
            for number in range(20):
                pixels = (level + rng.integers(-20, 20, (9, 7, 3))).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return project


@pytest.mark.parametrize(("channels", "features"), [("gray", 16), ("rgb", 48)])
def test_folders_of_pictures_are_a_table_of_pixels(pictures, channels, features):
    rows = prepare(pictures, params(pictures={"side": 4, "channels": channels}))
    assert sum(rows.values()) > 40
    schema = Schema.load(pictures.schema)
    assert len(schema.features) == features
    assert schema.classes == ("dark", "light")
    table = read_table(pictures.partition("north"))
    bright = table[list(schema.features)].mean(axis=1) > 0.5
    np.testing.assert_array_equal(bright, table["label"] == 1)


def test_pictures_are_inspected_by_their_folders(pictures):
    inspection = inspect_files(tables_among([pictures.raw]), "shade")
    assert inspection.rows == {"north": 40, "south": 40}
    assert inspection.classes == {"dark": 40, "light": 40}
    assert inspection.settings.label == "shade"
    assert "28 × 28 gray" in inspection.notes[0]
    stated = {"test": "south", "pictures": {"side": 4}}
    inspection = inspect_files(tables_among([pictures.raw]), "shade", stated=stated)
    assert inspection.rows == {"north": 40}, "those that judge are no provider"
    assert "4 × 4 gray" in inspection.notes[0]


def _alone(project):
    (project.raw / "north" / "dark" / "0.png").rename(project.raw / "north" / "0.png")


def _no_picture(project):
    (project.raw / "north" / "dark" / "0.png").write_bytes(b"no picture")


def _bomb(project):
    Image.new("1", (8_000, 8_000)).save(project.raw / "north" / "dark" / "0.png")


def _table(project):
    texts(0).to_csv(project.raw / "east.csv", index=False)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_alone, "lies in no folder of a class"),
        (_no_picture, "not readable as a picture"),
        (_bomb, "unfolds to more than 50,000,000 pixels"),
        (_table, "pictures and a table"),
    ],
)
def test_pictures_that_cannot_be_read_are_named(pictures, spoil, message):
    spoil(pictures)
    with pytest.raises(InputError, match=message):
        prepare(pictures, params())
    assert not pictures.schema.exists()


def halved(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(day=pd.to_datetime(frame["day"]).dt.day_of_year)


def failing(frame: pd.DataFrame) -> pd.DataFrame:
    raise KeyError("day")


def nothing(frame: pd.DataFrame) -> None:
    return None


@pytest.fixture
def dated(project):
    for month, name in ((1, "north"), (5, "south")):
        frame = pd.DataFrame({"day": [f"2024-{month:02d}-{i + 1:02d}" for i in range(30)]})
        frame.assign(label=["a", "b"] * 15).to_csv(project.raw / f"{name}.csv", index=False)
    return project


def test_a_function_of_ones_own_makes_numbers_of_dates_and_is_an_input(dated):
    settings = params(transform=f"{__name__}:halved")
    prepare(dated, settings)
    assert read_table(dated.partition("north"))["day"].between(1, 30).all()
    hashes = source_hashes(dated, settings.prepare)
    assert hashes == Schema.load(dated.schema).sources
    assert f"{__name__}:halved" in hashes


@pytest.mark.parametrize(
    ("name", "message"),
    [("failing", "failed on .*KeyError"), ("nothing", "a NoneType"), ("absent", "cannot be imported")],
)  # fmt: skip
def test_a_function_that_gives_no_table_is_an_error(dated, name, message):
    with pytest.raises(InputError, match=message):
        prepare(dated, params(transform=f"{__name__}:{name}"))


def test_a_few_cells_that_are_no_numbers_may_count_as_missing(tmp_path, caplog):
    labs = ["1.5", "<3.0", "2", "n. d.", "+4e0", "", *map(str, range(54))]
    frame = pd.DataFrame({"lab": labs, "label": ["a", "b"] * 30})
    frame.to_csv(tmp_path / "all.csv", index=False)
    files = tables_among([tmp_path])
    (lab,) = inspect_files(files, "label").columns
    assert "2 of 59 cells are no numbers" in " ".join(lab.notes)
    assert "number_or_missing" in " ".join(lab.notes)

    stated = {"columns": {"lab": "number_or_missing"}}
    inspection = inspect_files(files, "label", stated=stated)
    assert inspection.settings.incomplete == "impute"
    assert inspection.columns[0].missing == 3
    table = of_frame(frame, "north")
    _, encoded = encode({"north": table}, params(**stated).prepare)
    assert encoded["north"]["lab"].isna().sum() == 3
    assert encoded["north"]["lab"].sum() == 1.5 + 2 + 4 + sum(range(54))
    assert (
        "2 cells of column 'lab' are no numbers and count as missing, the first is '<3.0'"
        in caplog.text
    )
