"""Tables of text against their suites: what is wrong with which document, and whose copy it is."""

import json
import shutil
from dataclasses import asdict
from functools import cache, partial

import numpy as np
import pandas as pd
import pytest

from tasks.expectations.checking import check_tables
from tasks.expectations.suites import KINDS, check_suites, load_suite, save_suites
from unshapley.config import ValidationSettings
from unshapley.data.tables import Schema
from unshapley.errors import InputError

SCHEMA = Schema(("text",), "", (), task="language-model", context=8, vocabulary=100, unknown=99)
CONFIG = ValidationSettings(min_rows=5, document_length=(10, 5000))
WORDS = [f"word{i}" for i in range(400)]


@pytest.fixture(scope="module")
def suites(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suites")
    save_suites(folder, SCHEMA, CONFIG)
    return {kind: load_suite(folder, kind) for kind in KINDS}


def text_of(seed: int, words: int = 60) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, words))


@cache
def table(name: str, seed: int, count: int = 10) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "document": [f"{name}/{i:02}.txt" for i in range(count)],
            "text": [text_of(100 * seed + i) for i in range(count)],
            "tokens": [rng.integers(1, 99, 50).astype(np.int32) for _ in range(count)],
        }
    )


def altered(row: int, column: str, value: object):
    """What makes a table another one, by its provider's seed."""

    def alter(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.copy().astype(object)
        given = value(frame) if callable(value) else value
        frame.at[row, column] = given
        return frame

    return alter


def checked(suites, **tables: pd.DataFrame):
    every = {"q": table("q", 2), "test": table("t", 3), "reference": table("r", 4), **tables}
    names = [*sorted(every.keys() - {"test", "reference"}), "test", "reference"]
    return {f.table: f for f in check_tables(names, every.__getitem__, suites, SCHEMA)}


@pytest.fixture(scope="module")
def findings(suites):
    return partial(checked, suites)


@pytest.fixture(scope="module")
def cases(suites):
    """Findings of all altered tables, which one run of Great Expectations checks."""
    alterations = [alter for alter, _ in (*WRONG, *DOUBTFUL)]
    tables = {f"x{i}": alter(table("p", 10 + i)) for i, alter in enumerate(alterations)}
    found = checked(suites, **tables)
    return {alter: found[f"x{i}"] for i, alter in enumerate(alterations)}


WRONG = [
    (lambda f: f.rename(columns={"text": "body"}), "columns are not those of the schema: missing text"),
    (lambda f: f.iloc[:3], "too few documents: 3, expected at least 5"),
    (altered(3, "document", "p/04.txt"), "name of a document is missing, or stands there twice: 2 of 10 ('p/04.txt', 'p/04.txt')"),
    (altered(3, "text", "  \n        "), "document is empty: 1 of 10 ('p/03.txt')"),
    (altered(3, "text", None), "document is empty: 1 of 10 ('p/03.txt')"),
    (altered(3, "text", text_of(9) + "\0"), "document holds NUL characters: 1 of 10 ('p/03.txt')"),
    (altered(3, "tokens", np.array([5, 100])), "tokens are not those of the model's vocabulary: 1 of 10 ('p/03.txt')"),
    (altered(3, "tokens", np.array([5, 0])), "tokens are not those of the model's vocabulary: 1 of 10 ('p/03.txt')"),
    (altered(3, "tokens", None), "tokens are not those of the model's vocabulary: 1 of 10 ('p/03.txt')"),
    (altered(3, "text", "short"), "shorter than 10 characters: 5, expected at least 10"),
    (altered(3, "text", text_of(9, 5000)), "longer than 5000 characters"),
    (altered(3, "text", text_of(300)), "training document also stands in the test set: 1 of 10 ('p/03.txt' = 't/00.txt' of test)"),
    (altered(3, "text", text_of(402)), "document also stands in the reference set: 1 of 10 ('p/03.txt' = 'r/02.txt' of reference)"),
]  # fmt: skip
DOUBTFUL = [
    (altered(3, "text", text_of(9) + "caf\ufffd"), "characters are lost (U+FFFD): the encoding may be another: 1 of 10 ('p/03.txt')"),
    (altered(3, "tokens", np.full(20, 99)), "tokens are unknown to the tokenizer: 0.0426, expected at most 0.01"),
    (altered(3, "text", lambda f: f["text"][2]), "document stands there twice: 2 of 10 ('p/02.txt', 'p/03.txt')"),
    (altered(3, "text", lambda f: f["text"][2] + " more"), "near-copies stand there (80% alike or more): 2 of 10 ('p/02.txt' 98% 'p/03.txt'"),
    (altered(3, "text", "new " + text_of(301)), "near-copies of training documents stand in the test set (80% alike or more): 1 of 10 ('p/03.txt' 98% 't/01.txt' of test)"),
    (altered(3, "text", text_of(403).upper()), "near-copies stand in the reference set (80% alike or more): 1 of 10 ('p/03.txt' = 'r/03.txt' of reference)"),
]  # fmt: skip


def test_good_documents_meet_all_expectations(findings):
    for found in findings(p=table("p", 1)).values():
        assert (found.critical, found.warnings, found.examples, found.rows) == ((), (), (), 10)


@pytest.mark.parametrize(("alter", "message"), WRONG)
def test_what_is_wrong_with_which_document_is_said(cases, alter, message):
    assert cases[alter].critical[0].startswith(message)


@pytest.mark.parametrize(("alter", "message"), DOUBTFUL)
def test_what_may_be_on_purpose_is_a_warning(cases, alter, message):
    assert cases[alter].critical == ()
    assert cases[alter].warnings[0].startswith(message)


def test_copies_of_other_providers_name_both_owners_and_show_a_passage(findings):
    copy = table("q", 2).assign(document=[f"z/{i:02}.txt" for i in range(10)])
    text = copy["text"].copy()
    text[4] = text[4] + " <script>alert(1)</script>"
    found = findings(p=table("p", 1), z=copy.assign(text=text))
    assert (found["q"].critical, found["q"].warnings, found["z"].critical) == ((), (), ())
    exact, near = found["z"].warnings
    assert exact.startswith(
        "documents also stand in another provider's partition: 9 of 10 "
        "('z/00.txt' = 'q/00.txt' of q, 'z/01.txt' = 'q/01.txt' of q"
    )
    assert near == (
        "near-copies stand in another provider's partition (80% alike or more): 1 of 10 "
        "('z/04.txt' 93% 'q/04.txt' of q)"
    )
    example = found["z"].examples[-1]
    assert example["document"] == "z/04.txt"
    assert (example["other"], example["other_table"]) == ("q/04.txt", "q")
    assert example["passage"].removesuffix(" …") in text[4]
    assert len(example["passage"]) > 100
    json.dumps(asdict(found["z"]))


def test_a_language_unlike_the_others_is_a_warning(findings):
    rng = np.random.default_rng(0)
    other = [rng.integers(90, 95, 200) for _ in range(10)]
    found = findings(p=table("p", 1), o=table("o", 5).assign(tokens=other))
    assert found["o"].warnings[0].startswith("language is unlike that of the others: 0.")
    assert not found["p"].warnings


def test_suites_remember_what_they_were_written_for(tmp_path, suites):
    assert suites["test"]["meta"] == {
        "min_rows": 5, "near_copies": 0.8, "document_length": [10, 5000]}  # fmt: skip
    save_suites(tmp_path, SCHEMA, CONFIG)
    check_suites(tmp_path, CONFIG, SCHEMA)
    with pytest.raises(InputError, match="near_copies = 0.8"):
        check_suites(tmp_path, ValidationSettings(min_rows=5, near_copies=0.9), SCHEMA)
    with pytest.raises(InputError, match=r"the suite is of text(.|\n)*unshapley suites"):
        check_suites(tmp_path, CONFIG, Schema(("a",), "y", ("0", "1")))
    shutil.rmtree(tmp_path)
    save_suites(tmp_path, Schema(("a",), "y", ("0", "1")), CONFIG)
    with pytest.raises(InputError, match="the suite is of numbers"):
        check_suites(tmp_path, CONFIG, SCHEMA)


def test_near_copies_need_not_be_looked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasketch", None)
    save_suites(tmp_path, SCHEMA, ValidationSettings(min_rows=5, near_copies=None))
    plain = {kind: load_suite(tmp_path, kind) for kind in KINDS}
    every = {"p": table("p", 1), "test": table("t", 3), "reference": table("r", 4)}
    found = check_tables(list(every), every.__getitem__, plain, SCHEMA)
    assert all(not f.critical and not f.warnings for f in found)
    save_suites(tmp_path, SCHEMA, CONFIG)
    wanting = {kind: load_suite(tmp_path, kind) for kind in KINDS}
    with pytest.raises(InputError, match=r"datasketch is not installed(.|\n)*unshapley\[text\]"):
        check_tables(list(every), every.__getitem__, wanting, SCHEMA)


@pytest.mark.parametrize("length", [(5, 5), (-1, 9), (9, 5)])
def test_lengths_out_of_order_are_refused(length):
    with pytest.raises(ValueError, match="ascending order"):
        ValidationSettings(document_length=length)
