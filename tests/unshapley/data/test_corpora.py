"""Text as people have it: folders, files and tables of documents become rows of tokens."""

import hashlib
import json
import os
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from unshapley.config import parse_params
from unshapley.data.preparation import check_prepared, prepare, source_hashes
from unshapley.data.tables import Schema, read_table
from unshapley.data.tokenizing import stored
from unshapley.data.windows import to_windows, windows_of
from unshapley.errors import InputError
from unshapley.project import Project

WORDS = ["the", "people", "of", "this", "nation", "hold", "that", "liberty", "and", "law", "shall", "be", "kept", "by", "those", "who", "serve"]  # fmt: skip


def text_of(seed: int, words: int = 60) -> str:
    return " ".join(WORDS[(i * (seed + 3) + i // 7) % len(WORDS)] for i in range(words)) + f" {seed}."  # fmt: skip


def write(project: Project, files) -> None:
    for name, content in files.items():
        path = project.raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def corpus(providers="abc", documents=10) -> dict[str, str]:
    """Files of text, a folder a provider."""
    return {
        f"{name}/part/{i:02}.txt": text_of(100 * k + i)
        for k, name in enumerate(providers)
        for i in range(documents)
    }


def params_of(faults=None, documents=None, **settings):
    stated = {"vocabulary": 270, "context": 16, **(documents or {})}
    content = {"source": "files", "task": "language-model", "documents": stated, **settings}
    return parse_params({"prepare": content, "faults": faults or {}}, "test")


def prepared(tmp_path, files, faults=None, documents=None, **settings) -> Project:
    project = Project(tmp_path)
    write(project, files)
    prepare(project, params_of(faults, documents, **settings))
    return project


def texts(project: Project) -> dict[str, dict[str, str]]:
    """Text by document, by table."""
    paths = {n: project.partition(n) for n in project.providers()}
    paths |= {"test": project.test, "reference": project.reference}
    frames = {name: read_table(path) for name, path in paths.items()}
    return {n: dict(zip(f["document"], f["text"], strict=True)) for n, f in frames.items()}


def test_folders_of_text_become_tables_of_tokens(tmp_path):
    files = corpus()
    project = prepared(tmp_path, files)
    schema = Schema.load(project.schema)
    assert (schema.task, schema.features, schema.label, schema.classes) == (
        "language-model", ("text",), "", ())  # fmt: skip
    assert (schema.providers, schema.context, schema.vocabulary) == (("a", "b", "c"), 16, 270)
    assert schema.sources.keys() == files.keys()
    assert schema.tokenizer == hashlib.sha256(project.tokenizer.read_bytes()).hexdigest()
    read = texts(project)
    assert {name: len(rows) for name, rows in read.items()} == {
        "a": 7, "b": 7, "c": 7, "test": 6, "reference": 3}  # fmt: skip
    together = {document: text for part in read.values() for document, text in part.items()}
    assert together == files  # every document stands whole in one table
    for part in read.values():
        assert list(part) == sorted(part)
    check_prepared(schema, params_of(), project.schema)


def test_windows_of_test_documents_are_counted_by_provider(tmp_path):
    project = prepared(tmp_path, corpus())
    schema, test = Schema.load(project.schema), read_table(project.test)
    again = stored(project.tokenizer, schema).encode(test["text"].tolist())
    assert [a.tolist() for a in again] == [t.tolist() for t in test["tokens"]]
    assert [name[0] for name in test["document"]] == sorted("aabbcc")
    counts = [windows_of(tokens, 16) for tokens in test["tokens"]]
    assert list(schema.test_sources.items()) == [
        (name, sum(counts[2 * i : 2 * i + 2])) for i, name in enumerate("abc")
    ]
    x, _ = to_windows(test, schema, project.test)
    assert len(x) == sum(counts)


def test_the_same_documents_give_the_same_bytes(tmp_path):
    first, second = (prepared(tmp_path / name, corpus()) for name in "pq")
    for path in (p for p in (tmp_path / "p/data").rglob("*") if p.is_file()):
        same = second.root / path.relative_to(first.root)
        assert path.read_bytes() == same.read_bytes()


def test_tokens_are_those_of_the_text_and_special_ones_are_never_read_from_it(tmp_path):
    from tokenizers import Tokenizer

    odd = "before <|endoftext|> after, \u00e9\u4e2d\U0001f600\ttab" + text_of(5)
    project = prepared(tmp_path, {**corpus(), "a/odd.txt": odd})
    library = Tokenizer.from_file(str(project.tokenizer))
    assert library.token_to_id("<|endoftext|>") == 0
    frames = [read_table(p) for p in (project.partition("a"), project.test, project.reference)]
    for text, tokens in pd.concat(frames)[["text", "tokens"]].itertuples(index=False):
        assert 0 not in tokens
        assert library.decode(list(tokens)) == text


def tables(ending: str, rows) -> dict[str, bytes]:
    frame, sink = pd.DataFrame(rows), pa.BufferOutputStream()
    if ending == "csv":
        return {"all.csv": frame.to_csv(index=False).encode()}
    if ending == "jsonl":
        return {"all.jsonl": frame.to_json(orient="records", lines=True).encode()}
    table = pa.Table.from_pandas(frame, preserve_index=False)
    if ending == "arrow":
        pa.feather.write_feather(table, sink)
    elif ending == "stream":  # as Hugging Face's datasets store it
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        pa.parquet.write_table(table, sink)
    return {"all.arrow" if ending == "stream" else f"all.{ending}": sink.getvalue().to_pybytes()}


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "arrow", "stream"])
def test_tables_name_their_providers_in_a_column(tmp_path, ending):
    bodies = [text_of(i) + '\n"quoted", and\nlines' for i in range(24)]
    rows = {"site": ["x", "y"] * 12, "body": bodies, "id": range(24)}
    project = prepared(
        tmp_path, tables(ending, rows), provider="site", documents={"column": "body"}
    )
    read = texts(project)
    together = {document: text for part in read.values() for document, text in part.items()}
    name = "all.arrow" if ending == "stream" else f"all.{ending}"
    assert together == {f"{name}:{i:02}": text for i, text in enumerate(bodies)}
    assert all(int(document[-2:]) % 2 == 0 for document in read["x"])


def test_a_file_or_a_folder_is_a_provider_of_documents_and_tables(tmp_path):
    rows = [{"text": text_of(i)} for i in range(10)]
    lines = "\n".join(json.dumps(row) for row in rows)
    files = {"one.jsonl": lines, "two/more.jsonl": lines.replace("people", "men"), "two/a.md": text_of(99), "three.txt": text_of(50)}  # fmt: skip
    project = prepared(tmp_path, files)
    read = texts(project)
    assert set(read) == {"one", "two", "three", "test", "reference"}
    assert list(read["three"]) == ["three.txt"]
    assert {name.split(":")[0] for name in read["two"]} <= {"two/a.md", "two/more.jsonl"}


def test_a_line_may_be_longer_than_a_block_of_arrow(tmp_path):
    long = text_of(7, 300_000)
    rows = [{"text": t} for t in (*map(text_of, range(10)), long)]
    csv = pd.DataFrame(rows).to_csv(index=False)
    files = {"a.jsonl": "\n".join(map(json.dumps, rows)), "b.csv": csv.replace("people", "men")}
    read = texts(prepared(tmp_path, files))
    assert long in {text for part in read.values() for text in part.values()}


def test_other_files_are_named(tmp_path, caplog):
    project = prepared(tmp_path, {**corpus(), "a/cover.png": b"\x89PNG", "b/.hidden": "x"})
    assert "not read: a/cover.png" in caplog.text
    assert "hidden" not in caplog.text
    assert "a/cover.png" not in Schema.load(project.schema).sources


def test_line_ends_and_byte_order_marks_are_no_text(tmp_path):
    files = {**corpus(), "a/dos.txt": b"\xef\xbb\xbf" + text_of(3).replace(" ", "\r\n").encode()}
    read = texts(prepared(tmp_path, files))
    together = {k: v for part in read.values() for k, v in part.items()}
    assert together["a/dos.txt"] == text_of(3).replace(" ", "\n")


def test_equal_documents_stand_on_one_side(tmp_path, caplog):
    files = corpus()
    files |= {f"c/part/{i:02}.txt": files[f"b/part/{i:02}.txt"] for i in range(10)}
    files |= {f"a/again/{i:02}.txt": files[f"a/part/{i:02}.txt"] for i in range(10)}
    read = texts(prepared(tmp_path, files))
    trained = {text for name in "abc" for text in read[name].values()}
    assert not trained & {*read["test"].values(), *read["reference"].values()}
    assert {name[0] for name in read["test"]} == {"a"}
    assert "20 documents stand with several providers" in caplog.text
    assert "no test documents come from b, c" in caplog.text


def test_groups_and_times_of_tables_rule_the_split(tmp_path):
    rows = {"text": [text_of(i) for i in range(40)], "site": ["x", "y"] * 20, "book": [f"{i % 2}-{i // 4}" for i in range(40)], "day": [f"2024-01-{i % 20 + 1:02}" for i in range(40)]}  # fmt: skip
    grouped = prepared(tmp_path / "g", tables("csv", rows), provider="site", group="book")
    read = texts(grouped)
    books = {n: {rows["book"][int(d.split(":")[1])] for d in part} for n, part in read.items()}
    assert not books["test"] & (books["x"] | books["y"])
    timed = prepared(
        tmp_path / "t", tables("csv", rows), provider="site", time="day", test_after="2024-01-16"
    )
    tested = {int(d.split(":")[1]) % 20 for d in texts(timed)["test"]}
    assert tested == {16, 17, 18, 19}


@pytest.mark.parametrize("own", ["judge.txt", "judge", "judge.jsonl"])
def test_sets_of_ones_own(tmp_path, own):
    inside = {"judge": "judge/deep/x.md"}.get(own, own)
    content = json.dumps({"text": text_of(500)}) if own.endswith("jsonl") else text_of(500)
    project = prepared(tmp_path, {**corpus(), inside: content}, test=own)
    read = texts(project)
    assert list(read["test"].values()) == [text_of(500)]
    assert set(read) == {"a", "b", "c", "test", "reference"}
    assert Schema.load(project.schema).test_sources == {}
    assert sum(len(read[name]) for name in "abc") == 27


def test_faults_of_text(tmp_path):
    files = corpus("abcd")
    faults = {"duplicate": {"c": "a"}, "garbage": {"b": 0.5}}
    read = texts(prepared(tmp_path, files, faults=faults))
    assert sorted(read["c"].values()) == sorted(read["a"].values())
    assert set(read["c"]) == {f"c:{name}" for name in read["a"]}
    kept = {name: text for part in read.values() for name, text in part.items() if name[0] == "b"}
    changed = {name for name, text in kept.items() if text != files[name]}
    assert len(changed) == 5
    assert all(len(kept[name]) == len(files[name]) for name in changed)
    assert read["d"] == {name: files[name] for name in read["d"]}


def test_a_fault_that_the_task_has_not_is_refused(tmp_path):
    for fault in ({"wrong_labels": {"a": 0.5}}, {"noise": {"a": 1.0}}):
        with pytest.raises(InputError, match="faults.*text has no such fault"):
            prepared(tmp_path, corpus(), faults=fault)
    digits = parse_params({"faults": {"garbage": {"form-00": 1.0}}}, "test")
    with pytest.raises(InputError, match="only text has such a fault"):
        prepare(Project(tmp_path / "digits"), digits)
    with pytest.raises(InputError, match="faults.garbage names the unknown provider 'x'"):
        prepared(tmp_path, corpus(), faults={"garbage": {"x": 1.0}})


def test_empty_documents_are_left_out_where_that_is_asked_for(tmp_path, caplog):
    lines = "\n".join(json.dumps({"text": t}) for t in (text_of(1), None, " \n", text_of(2)))
    files = {**corpus(), "a/none.txt": " \n", "b/list.jsonl": lines}
    project = prepared(tmp_path, files, incomplete="drop")
    names = {name for part in texts(project).values() for name in part}
    assert "a/none.txt" not in names
    assert {"b/list.jsonl:0", "b/list.jsonl:3"} <= names
    assert "b/list.jsonl: 2 of 4 documents are empty and left out" in caplog.text


def not_utf8() -> bytes:
    """A column of strings whose bytes are none."""
    buffers = [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(pa.table({"text": pa.Array.from_buffers(pa.string(), 1, buffers)}), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("more", "settings", "message"),
    [
        ({"a/bad.txt": b"caf\xe9"}, {}, r"a/bad.txt: not in utf-8, from byte 3 on(.|\n)*prepare.read.encoding"),
        ({"a/bad.txt": b"\x7fELF\x00\x00\xff"}, {}, "a/bad.txt: is binary"),
        ({"a/bad.txt": "no\0text"}, {}, "a/bad.txt: is binary"),
        ({"a/bad.txt": ""}, {}, r"a/bad.txt: is empty(.|\n)*incomplete: drop"),
        ({"a/bad.jsonl": '{"text": "x"}\n{"text": null}'}, {}, "a/bad.jsonl, column 'text', row 1: is empty"),
        ({"a/bad.jsonl": '{"body": "x"}'}, {}, r"a/bad.jsonl: has no column 'text'(.|\n)*one of body(.|\n)*prepare.documents.column"),
        ({"a/bad.jsonl": '{"text": 5}'}, {}, "column 'text' holds cells of type int64"),
        ({"a/bad.csv": "text\n"}, {}, "holds no rows"),
        ({}, {"provider": "site"}, "has no column 'site', being a file of text"),
        ({}, {"test": "no.txt"}, "no.txt: holds no documents"),
        ({"a/bad.parquet": tables("parquet", {"text": [b"\xff\xfe"]})["all.parquet"]}, {}, "column 'text' holds cells of type binary"),
        ({"a/bad.parquet": not_utf8()}, {}, "column 'text' is binary: 'utf-8' codec can't decode"),
        ({"a/bad.jsonl": '{"text": "a \\ud800 b"}'}, {}, "not readable as jsonl"),
        ({os.fsdecode(b"a/caf\xe9.txt"): "text"}, {}, "is no name in UTF-8"),
        ({}, {"test": ".."}, "is no file of text, table or folder"),
        ({}, {"test": "../x.txt"}, "is no file of text, table or folder"),
        ({}, {"source": "digits"}, "prepare.source is digits, which holds no text"),
        ({}, {"documents": {"context": 5000}}, r"the longest document has \d+ tokens, and a row 5000"),
        ({}, {"documents": {"vocabulary": 5000}}, r"gives \d+ tokens only(.|\n)*expected: 5000 tokens"),
        ({}, {"documents": {"tokenizer": "nowhere"}}, "nowhere: there is no such file or folder"),
    ],
)  # fmt: skip
def test_what_is_no_corpus_is_refused(tmp_path, more, settings, message):
    with pytest.raises(InputError, match=message):
        prepared(tmp_path, {**corpus(), **more}, **settings)
    assert not (tmp_path / "data/schema.json").exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no documents"),
        ({"a/x.txt": text_of(1)}, "one provider only"),
        ({"a.txt": text_of(1), "b.txt": text_of(2)}, r"no document is left for the \w+ set(.|\n)*never split"),
        ({"a.txt": text_of(1), "a/x.txt": text_of(2)}, "provider 'a' has two files"),
    ],
)  # fmt: skip
def test_too_little_is_no_corpus(tmp_path, files, message):
    (tmp_path / "data/raw").mkdir(parents=True)
    with pytest.raises(InputError, match=message):
        prepared(tmp_path, files)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label": "y"}, "label is of tables"),
        ({"columns": {"x": "category"}}, "columns is of tables"),
        ({"incomplete": "impute"}, "text is kept or left out"),
        ({"documents": {"vocabulary": 200}}, "vocabulary"),
    ],
)
def test_settings_of_tables_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        params_of(**settings)


def test_other_encodings_are_stated(tmp_path):
    files = {name: text.encode("utf-16") for name, text in corpus().items()}
    read = texts(prepared(tmp_path, files, read={"encoding": "utf-16"}))
    assert {k: v for part in read.values() for k, v in part.items()} == corpus()


def test_a_changed_document_changes_the_sources(tmp_path):
    project = prepared(tmp_path, corpus())
    before = Schema.load(project.schema).sources
    assert source_hashes(project, params_of().prepare) == before
    (project.raw / "a/part/00.txt").write_text("new")
    assert source_hashes(project, params_of().prepare) != before


def test_tables_of_numbers_leave_no_tokenizer(tmp_path):
    project = prepared(tmp_path, corpus())
    prepare(project, parse_params({}, "test"))
    assert not project.tokenizer.exists()


def test_without_its_package_one_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(InputError, match=r"pip install 'unshapley\[text\]'"):
        prepared(tmp_path, corpus())


DATA = Path(os.environ.get("UNSHAPLEY_TEST_DATA") or Path(__file__).parents[4] / "shared/data")


@pytest.mark.skipif(not (DATA / "inaugural").is_dir(), reason=f"{DATA}/inaugural is missing")
def test_addresses_by_president(tmp_path):
    with zipfile.ZipFile(DATA / "inaugural/inaugural.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".txt")]
        content = {name: archive.read(name) for name in names}
    files = {}
    for name in names[:16]:
        year, president = Path(name).stem.split("-", 1)
        for i, part in enumerate(filter(bytes.strip, content[name].split(b"\n\n"))):
            files[f"{president}/{year}-{i:03}.txt"] = part
    encoding = {"encoding": "utf-8"}
    project = prepared(tmp_path, files, documents={"vocabulary": 512, "context": 64}, read=encoding)
    schema = Schema.load(project.schema)
    assert len(schema.providers) == len({name.split("/")[0] for name in files})
    assert sum(len(part) for part in texts(project).values()) == len(files)
