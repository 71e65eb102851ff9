"""A valuation of text, from files to report: the whole flow at its smallest."""

import json
import os
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from tests.cli import unshapley
from tests.unshapley.data.test_corpora import corpus
from tests.unshapley.data.test_text_inspection import written
from unshapley.project import Project

SMALL = [
    "pretrain.kwargs={width: 16, layers: 1, heads: 2}",
    "pretrain.steps=12",
    "pretrain.batch_size=8",
    "prepare.documents={vocabulary: 270, context: 16}",
    "run.retries=0",
]
DATA = Path(os.environ.get("UNSHAPLEY_TEST_DATA") or Path(__file__).parents[3] / "shared/data")


def valued(folder: Path, place: Path, *settings: str) -> Project:
    sets = [part for setting in (*SMALL, *settings) for part in ("--set", setting)]
    done = unshapley("init", folder, "--data", place, "--yes", *sets)
    assert done.returncode == 0, done.stderr
    done = unshapley("run", "--project", folder)
    assert done.returncode == 0, done.stderr
    return Project(folder)


def test_files_of_text_become_values_and_a_report_that_shows_copies(tmp_path):
    place = written(tmp_path / "corpus", corpus("abc", 12))
    project = valued(tmp_path / "p", place, "faults.duplicate={c: a}")
    values = pd.read_csv(project.valuation / "values.csv").set_index("provider")
    assert set(values.index) == {"a", "b", "c"}
    assert values["value"].notna().all()
    report = (project.valuation / "report.html").read_text()
    assert "documents also stand in another provider" in report
    assert "passages in common" in report
    manifest = (project.valuation / "manifest.json").read_bytes()
    done = unshapley("run", "--project", project.root)
    assert done.returncode == 0
    again = json.loads((project.valuation / "run.json").read_text())
    assert again["chunks"]["computed"] == 0
    assert (project.valuation / "manifest.json").read_bytes() == manifest


def test_questions_with_options_judge(tmp_path):
    place = written(tmp_path / "corpus", corpus("abc", 12))
    texts = [path.read_text().split() for path in sorted(place.rglob("*.txt"))[:12]]
    questions = [
        {"question": words[0], "options": [words[1], words[1] + " x"], "answer": 0}
        for words in texts
    ]
    judge = tmp_path / "judge.jsonl"
    judge.write_text("\n".join(map(json.dumps, questions)))
    settings = (*SMALL, "valuation.utilities=[choice_log_likelihood]")
    stated = [part for setting in settings for part in ("--set", setting)]
    folder = tmp_path / "p"
    command = ("init", folder, "--data", place, "--test", judge, "--yes", *stated)
    assert unshapley(*command).returncode == 0
    done = unshapley("run", "--project", folder)
    assert done.returncode == 0, done.stderr
    assert "Values for choice_log_likelihood (nats a question)" in done.stdout
    assert pd.read_csv(folder / "data/valuation/values.csv")["value"].abs().min() > 0


@pytest.mark.skipif(not (DATA / "inaugural").is_dir(), reason=f"{DATA}/inaugural is missing")
def test_addresses_of_presidents(tmp_path):
    with zipfile.ZipFile(DATA / "inaugural/inaugural.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".txt")]
        texts = {Path(name).stem: archive.read(name) for name in names}
    files = {
        f"{president}/{name}-{i:02}.txt": part
        for name, text in texts.items()
        for president in [name.partition("-")[2]]
        if president in ("Jefferson", "Lincoln", "Wilson", "Eisenhower")
        for i, part in enumerate(p for p in text.split(b"\n\n") if p.strip())
    }
    project = valued(tmp_path / "p", written(tmp_path / "corpus", files))
    values = pd.read_csv(project.valuation / "values.csv")
    assert sorted(values["provider"]) == ["Eisenhower", "Jefferson", "Lincoln", "Wilson"]
    assert values["value"].sum() > 0  # whoever they are, text helps
