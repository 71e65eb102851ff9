from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache

import numpy as np
import pandas as pd
import pytest

from tasks.expectations.checking import SuiteRunner, check_tables
from tasks.expectations.suites import KINDS, build_suite, load_suite
from tasks.expectations.validation import validate_project, verdict
from unshapley.config import ValidationSettings
from unshapley.data.tables import Schema
from unshapley.errors import InputError, ValidationError

SCHEMA = Schema(("a", "b"), "label", ("no", "yes"))
CONFIG = ValidationSettings(min_rows=5, feature_range=(0, 10))


@cache
def suites():
    """By kind of table: made when a test needs them, as Great Expectations is slow to import."""
    return {kind: build_suite(kind, SCHEMA, CONFIG).to_json_dict() for kind in KINDS}


def rows(seed: int = 0, count: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.uniform(1, 9, (count, 2)), columns=["a", "b"])
    return table.assign(label=rng.integers(0, 2, count))


def check(table: pd.DataFrame, **others: pd.DataFrame):
    return findings({"p": table, **others})["p"]


def findings(partitions: dict[str, pd.DataFrame], added=()):
    """Findings of all tables by name; `added` are expectations of the user's own."""
    every = {**partitions, "test": rows(8), "reference": rows(9)}
    own = {"expectations": [*suites()["partition"]["expectations"], *added]}
    found = check_tables(list(every), every.__getitem__, {**suites(), "partition": own}, SCHEMA)
    return {f.table: f for f in found}


def altered(row: int, column: str, value: object) -> pd.DataFrame:
    table = rows().astype({column: object})
    table.loc[row, column] = value
    return table


def test_good_rows_meet_all_expectations():
    found = check(rows())
    assert (found.critical, found.warnings, found.rows) == ((), (), 40)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (rows().rename(columns={"b": "c"}), "columns are not those of the schema: missing b; unexpected c"),
        (rows().iloc[:0], "too few rows: 0, expected at least 5"),
        (altered(7, "a", "seven"), "not a number: 1 of 80, first 'a' row 7: seven"),
        (altered(7, "b", np.nan), "missing or infinite: 1 of 80, first 'b' row 7: empty"),
        (altered(7, "b", np.inf), "missing or infinite: 1 of 80, first 'b' row 7: inf"),
        (altered(7, "a", 10.5), "outside the range 0 to 10: 1 of 80, first 'a' row 7: 10.5"),
        (altered(7, "label", 2), "label is unknown to the model: 1 of 40 (2), first in row 7"),
        (altered(7, "label", None), "label is missing: 1 of 40"),
        (pd.concat([rows(), rows(8).iloc[:2]], ignore_index=True), "training row also stands in the test set: 2 of 42 (test), first in row 40"),
    ],
)  # fmt: skip
def test_what_is_wrong_and_where_is_said(table, message):
    found = check(table).critical
    assert found[0].lower().startswith(message.lower()), found


def test_a_row_that_stands_twice_is_a_warning():
    found = check(pd.concat([rows(), rows().iloc[:1]], ignore_index=True))
    assert found.critical == ()
    assert found.warnings == ("row stands there twice: 2 of 41",)


def test_of_two_equal_partitions_the_later_is_the_copy():
    assert "another provider's partition: 40 of 40 (a)" in check(rows(), a=rows()).critical[0]
    assert check(rows(), z=rows()).critical == ()


def binary(seed: int, count: int = 100) -> pd.DataFrame:
    """Rows of two binary columns: four different ones."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.integers(0, 2, (count, 2)), columns=["a", "b"]).assign(label=0)


def test_rows_that_repeat_by_nature_are_a_warning_with_their_share():
    every = {"p": binary(0), "q": binary(1), "test": binary(2, 40), "reference": binary(3, 20)}
    found = {f.table: f for f in check_tables(list(every), every.__getitem__, suites(), SCHEMA)}
    assert [f.critical for f in found.values()] == [()] * 4
    assert "training row also stands in the test set, no more than by chance: 100 of 100 (test)" in (
        "; ".join(found["q"].warnings)
    )  # fmt: skip
    assert "reference set, no more than by chance: 40 of 40" in "; ".join(found["test"].warnings)


def test_a_provider_that_holds_its_rows_twice_excuses_no_leak():
    twice = pd.concat([rows(), rows()], ignore_index=True)
    leaked = pd.concat([rows(3), rows(8).iloc[:3]], ignore_index=True)
    found = findings({"a": twice, "b": rows(2), "c": leaked})
    assert found["a"].critical == ()
    assert found["c"].critical == (
        "training row also stands in the test set: 3 of 43 (test), first in row 40; "
        "3 different ones, where chance explains 0",
    )


def test_every_table_has_the_findings_of_its_own():
    bad = {"b": altered(7, "a", "seven"), "c": rows(3).iloc[:2], "d": altered(3, "b", 11)}
    found = findings({"a": rows(4), **bad})
    assert {name: f.critical for name, f in found.items() if f.critical} == {
        "b": ("not a number: 1 of 80, first 'a' row 7: seven",),
        "c": ("too few rows: 2, expected at least 5",),
        # `b` without the cell, and `d`, are the same rows but one each
        "d": (
            "outside the range 0 to 10: 1 of 80, first 'b' row 3: 11",
            "rows also stand in another provider's partition: 38 of 40 (b), first in row 0; "
            "38 different ones, where chance explains 0",
        ),
    }


def test_contexts_in_threads_do_not_mix_up_tables():
    own = {"expectations": [{"type": "expect_table_row_count_to_be_between", "kwargs": {}}]}
    tables = [rows(seed, 20 + seed) for seed in range(16)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda t: SuiteRunner().results(t, "rows", own), tables))
    assert [f[0]["observed"]["observed_value"] for f in found] == [len(t) for t in tables]


def test_results_are_the_same_every_time():
    assert asdict(check(rows())) == asdict(check(rows()))


def test_the_policy_decides(project):
    reports = validate_project(project)
    assert verdict(reports, "stop") == {}
    reports[0]["critical"] = ("too few rows: 1",)
    with pytest.raises(ValidationError, match="form-00: too few rows: 1"):
        verdict(reports, "stop")
    assert verdict(reports, "quarantine") == {"form-00": "too few rows: 1"}


def test_a_bad_test_set_stops_whatever_the_policy(project):
    reports = validate_project(project)
    next(r for r in reports if r["table"] == "test")["critical"] = ("label is missing",)
    with pytest.raises(ValidationError, match="test: label is missing"):
        verdict(reports, "quarantine")


def test_a_missing_suite_says_how_to_write_it(project):
    (project.expectations / "test.json").unlink()
    with pytest.raises(InputError, match=r"test\.json: file is missing\n.*unshapley suites"):
        load_suite(project.expectations, "test")


def test_an_index_of_its_own_hides_no_row():
    """Where a row stands elsewhere is told by position, whatever index the table carries."""
    leaked = pd.concat([rows(), rows(8).iloc[:2]])
    leaked.index = range(1000, 1042)
    assert "test set: 2 of 42" in check(leaked.reset_index(drop=True)).critical[0]


@pytest.mark.parametrize(
    ("added", "outcome"),
    [
        ({"type": "expect_table_row_count_to_be_between", "kwargs": {"max_value": 9}}, "at most 9"),
        ({"type": "expect_column_values_to_be_unique", "kwargs": {"column": "label"}}, "40 of 40"),
        (
            {"type": "expect_column_values_to_be_between",
             "kwargs": {"column": "mean", "max_value": 2}, "meta": {"view": "columns"}}, "'a' 5.2",
        ),
        (
            {"type": "expect_column_max_to_be_between",
             "kwargs": {"column": "rows", "max_value": 9}, "meta": {"view": "tables"}}, "at most 9",
        ),
        ({"type": "expect_column_to_be_happy", "kwargs": {"column": "a"}}, InputError),
        ({"type": "expect_column_values_to_be_unique", "kwargs": {"clumn": "a"}}, InputError),
        ({"type": "expect_column_values_to_be_unique", "meta": {"view": "cells"}}, InputError),
    ],
)  # fmt: skip
def test_an_expectation_of_the_users_own_is_run_or_refused(added, outcome):
    if isinstance(outcome, str):
        found = findings({"p": rows()}, [added])["p"]
        assert found.expectations == len(suites()["partition"]["expectations"]) + 1
        assert outcome in found.critical[0]
    else:
        with pytest.raises(outcome, match=added["type"]):
            findings({"p": rows()}, [added])
