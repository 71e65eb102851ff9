"""What a corpus seems to hold: shown, and written as rules that read it."""

import json

import numpy as np
import pytest

from tests.unshapley.data.test_corpora import WORDS, corpus, text_of
from unshapley.config import load_params
from unshapley.data.preparation import prepare
from unshapley.data.starting import init_with_tables
from unshapley.data.starting_text import doubts_about_corpus, settings_of_corpus
from unshapley.data.text_inspection import documents_among, inspect_corpus, is_corpus
from unshapley.errors import InputError
from unshapley.project import Project


def written(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def inspected(folder, files, provider=None, **stated):
    place = written(folder, files)
    return inspect_corpus(documents_among([place]), provider, stated, folder)


def test_only_files_of_text_are_a_corpus_unless_the_task_says_so(tmp_path):
    text = written(tmp_path / "t", {"a/x.txt": "x", "b.md": "y"})
    mixed = written(tmp_path / "m", {"a/x.txt": "x", "b.jsonl": "{}"})
    assert is_corpus([text], {})
    assert not is_corpus([mixed], {})
    assert is_corpus([mixed], {"task": "language-model"})
    assert not is_corpus([text], {"task": "classification"})
    assert not is_corpus([tmp_path / "none"], {})
    assert not is_corpus([written(tmp_path / "p", {"a/x.txt": "x", "a/y.png": "z"})], {})


def test_documents_of_each_provider_are_counted(tmp_path):
    rng = np.random.default_rng(0)
    files = {name: " ".join(rng.choice(WORDS, 60)) for name in corpus("abc")}
    files |= {"b/copy.txt": files["a/part/00.txt"], "b/near.txt": files["a/part/01.txt"] + " more"}
    files |= {"c/empty.txt": " \n"}
    inspection = inspected(tmp_path, files, documents={"context": 8, "vocabulary": 300})
    a, b, c = inspection.providers.values()
    assert (a.documents, a.repeated, a.near, a.empty) == (10, 0, 0, 0)
    assert (b.documents, b.repeated, b.near) == (12, 1, 1)
    assert (c.documents, c.empty) == (11, 1)
    lengths = [len(text) for name, text in files.items() if name[0] == "a"]
    assert (a.characters, a.shortest, a.longest) == (sum(lengths), min(lengths), max(lengths))
    assert 0 < a.tokens < a.characters
    assert inspection.settings.incomplete == "drop"
    assert inspection.notes[-1] == "1 document is left out, as there is no text: c/empty.txt"


def test_the_rules_are_those_that_read_the_corpus(tmp_path):
    inspection = inspected(tmp_path / "c", {**corpus("ab", 12), "b/none.txt": "\n"})
    assert inspection.settings.documents.vocabulary < 512  # there is little text
    settings = settings_of_corpus(inspection, None, ["pretrain.steps=5"])
    files = documents_among([tmp_path / "c"])
    params = load_params(init_with_tables(tmp_path / "p", files, settings))
    assert params.pretrain.architecture == "unshapley.models:gpt"
    assert (params.pretrain.steps, params.pretrain.batch_size) == (5, 16)
    assert params.valuation.utilities == ["log_likelihood"]
    assert params.validation.min_rows == 7
    assert prepare(Project(tmp_path / "p"), params) == {"a": 9, "b": 9}


def test_a_context_longer_than_all_documents_is_lowered(tmp_path):
    inspection = inspected(tmp_path, {f"{n}/{i}.txt": f"{n}{i} short" for n in "ab" for i in range(9)})  # fmt: skip
    assert inspection.settings.documents.context <= 8
    assert "so a row has" in inspection.notes[-1]


def test_a_column_names_providers_of_tables(tmp_path):
    rows = [{"body": text_of(i), "site": f"s{i % 3}"} for i in range(30)]
    lines = "\n".join(map(json.dumps, rows))
    documents = {"column": "body", "vocabulary": 270, "context": 8}
    inspection = inspected(tmp_path, {"all.jsonl": lines}, "site", documents=documents)
    assert {n: facts.documents for n, facts in inspection.providers.items()} == {
        "s0": 10, "s1": 10, "s2": 10}  # fmt: skip
    assert inspection.settings.provider == "site"
    with pytest.raises(InputError, match=r"has no column 'text'(.|\n)*one of body, site"):
        inspected(tmp_path, {"all.jsonl": lines}, "site")


def test_other_encodings_are_pointed_out(tmp_path):
    files = {**corpus("ab"), "b/french.txt": "caf\xe9".encode("cp1252"), "b/bin.txt": b"\0\1\2"}
    inspection = inspected(tmp_path / "x", files)
    assert inspection.providers["b"].unreadable == 2
    assert inspection.notes[0] == "2 documents are not readable as utf-8: b/bin.txt, b/french.txt"
    assert not any("would read all" in note for note in inspection.notes)  # bin.txt is none
    assert "is binary" in str(inspection.problem)
    files.pop("b/bin.txt")
    inspection = inspected(tmp_path / "y", files)
    assert inspection.notes[1].endswith("--set prepare.read.encoding=cp1252")
    assert "french.txt" in str(inspection.problem)
    assert inspected(tmp_path / "y", files, read={"encoding": "cp1252"}).problem is None


def test_few_documents_and_a_single_provider_are_doubted(tmp_path):
    (doubt,) = doubts_about_corpus(inspected(tmp_path / "few", corpus("ab", 10)))
    assert doubt.startswith("a has 10 documents only, so validation.min_rows is set to 6")
    (doubt,) = doubts_about_corpus(inspected(tmp_path / "one", corpus("a", 40)))
    assert "one provider only, a" in doubt
    assert not doubts_about_corpus(inspected(tmp_path / "many", corpus("ab", 40)))


@pytest.mark.parametrize(
    ("files", "message"),
    [({"x.png": b""}, "holds no documents"), ({"test.txt": "x", "a.txt": "y"}, "it is reserved")],
)
def test_what_is_no_corpus_is_refused(tmp_path, files, message):
    with pytest.raises(InputError, match=message):
        inspected(tmp_path, files)


def test_the_documents_that_judge_are_none_of_a_provider(tmp_path):
    place = written(tmp_path, {"a/x.txt": "x", "judge/y.txt": "y", "z.txt": "z"})
    assert set(documents_among([place], place / "judge")) == {"a/x.txt", "z.txt"}
    assert set(documents_among([place], place / "z.txt")) == {"a/x.txt", "judge/y.txt"}
    with pytest.raises(InputError, match="two files named"):
        documents_among([place / "a", written(tmp_path / "b", {"x.txt": "2"})])
