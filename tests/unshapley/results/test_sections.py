"""What the report's tables say of a valuation."""

import numpy as np
import pandas as pd
import pytest

from tests.unshapley.results.made import report_of, valuation_of
from unshapley.results.report.sections import (
    PAIRS,
    clearest_pairs,
    digits,
    extreme_pairs,
    findings_rows,
    value_rows,
)


def table(**columns):
    status = ["valued", "valued", "valued", "quarantined"]
    whole = {
        "provider": ["a", "b", "c", "d"],
        "value": [0.1, -0.2, 0.3, np.nan],
        "ci_low": [-0.1, -0.3, 0.2, np.nan],
        "ci_high": [0.3, -0.1, 0.4, np.nan],
        "rank": [2, 3, 1, None],
        "status": status,
    }
    return pd.DataFrame({**whole, **columns})


def test_intervals_say_who_helps_and_shares_are_of_positive_values():
    rows = value_rows(table(), {"d": "no rows"})
    assert [row["provider"] for row in rows] == ["c", "a", "b", "d"]
    found = [row["finding"] for row in rows]
    assert found == ["helps", "unclear", "harms", "quarantined"]
    assert [row["share"] for row in rows] == pytest.approx([0.75, 0.25, 0, 0])
    assert rows[3]["reason"] == "no rows"
    at = rows[0]["at"]  # from -0.3 to 0.4 in 100 units
    assert (at["zero"], at["value"]) == pytest.approx((300 / 7, 600 / 7))
    assert (at["low"], at["width"]) == pytest.approx((500 / 7, 200 / 7))


def test_values_without_errors_are_said_to_have_none():
    nothing = [np.nan] * 4
    rows = value_rows(table(ci_low=nothing, ci_high=nothing), {})
    assert {row["finding"] for row in rows[:3]} == {"unknown"}
    assert rows[0]["at"]["width"] == 0


@pytest.mark.parametrize(
    ("largest", "shown"), [(0.0, 4), (0.1792, 4), (12.0, 4), (0.0082, 5), (3e-9, 11), (3e9, 0)]
)
def test_small_values_are_shown_with_three_digits(largest, shown):
    assert digits(pd.Series([largest / 2, -largest])) == shown


def test_of_many_pairs_the_most_redundant_and_most_complementary_are_listed():
    pairs = pd.DataFrame({"interaction": range(3 * PAIRS)})
    shown = list(extreme_pairs(pairs)["interaction"])
    assert shown[: PAIRS // 2] == list(range(PAIRS // 2))
    assert shown[-1] == 3 * PAIRS - 1
    assert len(shown) == PAIRS


def test_pairs_are_listed_from_the_most_clearly_apart():
    pairs = pd.DataFrame(
        [
            ("a", "b", 0.1, 0.1, -0.1, 0.3),
            ("a", "c", -0.2, 0.05, -0.3, -0.1),
            ("b", "c", 0, 0, 0, 0),
        ],
        columns=["provider", "other", "difference", "std_error", "ci_low", "ci_high"],
    )
    rows = clearest_pairs(pairs)
    assert [(row["provider"], row["other"]) for row in rows] == [("a", "c"), ("a", "b"), ("b", "c")]
    assert [row["better"] for row in rows] == ["second", "", ""]
    assert len(clearest_pairs(pd.concat([pairs] * PAIRS, ignore_index=True))) == PAIRS


def test_tables_with_findings_come_first():
    def of(name, critical=(), warnings=()):
        results = [{"success": not critical}, {"success": True}]
        return {"table": name, "critical": critical, "warnings": warnings, "results": results}

    rows = findings_rows([of("a"), of("b", warnings=["few"]), of("c", critical=["text"])])
    assert [row["table"] for row in rows] == ["c", "b", "a"]
    assert [row["met"] for row in rows] == [1, 2, 2]


def test_passages_in_common_name_their_owners_and_are_escaped():
    copy = {"document": "a/<b>.txt", "other": "c/d.txt", "other_table": "north", "similarity": 0.934, "passage": "<script>alert(1)</script>"}  # fmt: skip
    found = {"table": "a", "expectations": 1, "results": [], "critical": [], "warnings": ["near"]}
    page = report_of(valuation_of({"a": 0.1, "b": 0.2}), [{**found, "examples": [copy]}])
    assert "a/&lt;b&gt;.txt of a, c/d.txt of north, 93 % alike" in page
    assert "<q>&lt;script&gt;alert(1)&lt;/script&gt;</q>" in page
    assert "passages in common" not in report_of(valuation_of({"a": 0.1, "b": 0.2}), [found])
