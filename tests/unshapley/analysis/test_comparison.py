"""Two valuations: what changed is named, and noise is not taken for a change."""

import numpy as np
import pytest

from tests.unshapley.recorded import entry, manifest_of, recorded
from unshapley.analysis.changes import changes_between, summary
from unshapley.analysis.comparison import (
    BEYOND,
    GONE,
    NEW,
    NOT_COMPARED,
    ON_TEST,
    UNKNOWN,
    WITHIN,
    compare,
)
from unshapley.results.published import PublishedValue

ROWS = {"a": "r1", "b": "r2", "c": "r3"}
ENTRIES = [entry("a", 0.3, 0.01, 0.05), entry("b", 0.3, 0.01, 0.05), entry("c", 0.2, 0.01, 0.05)]


def items(before, after):
    return [f"{change.kind}: {change}" for change in changes_between(before, after)]


def test_each_kind_of_change_is_named():
    before = recorded("A", manifest_of(ROWS), *ENTRIES)
    assert items(before, before) == []
    assert summary(()) == "nothing"
    changed = manifest_of(
        {**ROWS, "b": "r9"},
        inputs__data="x",
        config__valuation__budget=60,
        config__valuation__rank=3,
        code__sources="s2",
        code__dirty=True,
        versions__torch="2.14.0",
        numerics__threads=2,
        quarantined={"c": "label is unknown"},
        estimator__name="msr",
        fidelity__grade="ranks",
    )
    changed["inputs"] |= {"data/test.parquet": "t2", "data/model/checkpoint.safetensors": "m2"}
    left_out = PublishedValue("c", "quarantined", rows=90)
    after = recorded("B", changed, entry("a", 0.3, 0.01, 0.05, rows=91), ENTRIES[1], left_out)
    assert items(before, after) == [
        "data: rows of a: 90 rows → 91 rows",
        "data: rows of b",
        "data: c is quarantined (label is unknown)",
        "data: test set",
        "model: weights",
        "parameters: valuation.budget: 30 → 60",
        "parameters: valuation.rank: absent → 3",
        "method: estimator: exact → msr",
        "code: sources: cccccccc → cccccccc with changes",
        "environment: torch: 2.13.0 → 2.14.0",
        "environment: threads: 1 → 2",
        "fidelity: check: trusted, values → trusted, ranks",
    ]
    assert "data: c is no longer quarantined" in items(after, before)
    assert summary(changes_between(before, after)).startswith("data (rows of a, rows of b, c is")
    assert compare(before, after).values[2].finding == NOT_COMPARED


def test_providers_that_come_go_and_are_renamed():
    before = recorded(
        "A", manifest_of({**ROWS, "Clinic-01": "r4"}), *ENTRIES, entry("Clinic-01", 0.1, 0.01, 0.01)
    )
    after = recorded(
        "B", manifest_of({"z": "r1", "b": "r2", "clinic_1": "r5"}),
        entry("b", 0.3, 0.01, 0.05), entry("clinic_1", 0.1, 0.01, 0.01), entry("z", 0.3, 0.01, 0.05),
    )  # fmt: skip
    assert items(before, after) == [
        "data: a is now called z (the same rows)",
        "data: Clinic-01 is gone (perhaps now called clinic_1)",
        "data: c is gone",
        "data: clinic_1 is new",
    ]
    values = {value.provider: value for value in compare(before, after).values}
    assert values["z"].former == "a"
    assert values["z"].difference == 0
    assert {name: value.finding for name, value in values.items()} == {
        "Clinic-01": GONE, "b": WITHIN, "c": GONE, "clinic_1": NEW, "z": WITHIN,
    }  # fmt: skip


def test_copies_that_are_renamed_are_paired_once():
    before = recorded("A", manifest_of({"a": "r1", "b": "r1"}), *ENTRIES[:2])
    after = recorded("B", manifest_of({"x": "r1"}), entry("x", 0.3, 0.01, 0.05))
    assert items(before, after) == ["data: a is now called x (the same rows)", "data: b is gone"]
    assert [value.finding for value in compare(before, after).values] == [GONE, WITHIN]


def test_a_provider_that_is_no_target_is_not_gone():
    before = recorded("A", manifest_of(ROWS), *ENTRIES)
    targets = manifest_of({**ROWS, "c": "r9"}, config__valuation__targets=["a", "b"])
    after = recorded("B", targets, *ENTRIES[:2])
    assert items(before, after)[:2] == ["data: c is no longer valued", "data: rows of c"]
    assert items(after, before)[0] == "data: c is valued now"
    assert compare(before, after).values[2].finding == NOT_COMPARED
    assert compare(after, before).values[2].finding == NOT_COMPARED


def findings(before, after):
    return [value.finding for value in compare(before, after).values]


def test_the_test_set_counts_by_what_both_share():
    """A shared test set is told apart, another one counts as independent, one game cancels it."""
    before = recorded("A", manifest_of(ROWS), *ENTRIES)
    moved = [
        entry("a", 0.35, 0.01, 0.05),
        entry("b", 0.8, 0.01, 0.05),
        entry("c", 0.21, 0.01, 0.05),
    ]
    shared = recorded("B", manifest_of(ROWS, game="g2"), *moved)
    assert findings(before, shared) == [ON_TEST, BEYOND, WITHIN]
    value = compare(before, shared).values[0]
    np.testing.assert_allclose(
        value.ci_high - value.difference, 1.96 * np.sqrt(2 * (0.01**2 + 0.05**2)), rtol=1e-4
    )
    np.testing.assert_allclose(
        value.on_test_high - value.difference, 1.96 * np.sqrt(2) * 0.01, rtol=1e-4
    )
    other = manifest_of(ROWS, game="g2")
    other["inputs"]["data/test.parquet"] = "t2"
    assert findings(before, recorded("B", other, *moved)) == [WITHIN, BEYOND, WITHIN]
    same_game = compare(before, recorded("B", manifest_of(ROWS), *moved))
    assert [v.finding for v in same_game.values] == [BEYOND, BEYOND, WITHIN]
    assert "the true values are equal" in " ".join(same_game.notes)


def test_what_cannot_be_compared_says_so():
    before = recorded("A", manifest_of(ROWS), *ENTRIES)
    loss = compare(before, recorded("B", manifest_of(ROWS), *ENTRIES, utility="neg_log_loss"))
    assert {v.finding for v in loss.values} == {NOT_COMPARED}
    assert "of accuracy before and of neg_log_loss after" in loss.notes[0]
    no_errors = [PublishedValue(e.provider, "valued", e.value) for e in ENTRIES]
    unknown = compare(before, recorded("B", manifest_of(ROWS), *no_errors))
    assert {v.finding for v in unknown.values} == {UNKNOWN}
    exact = [entry("a", 0.3, 0, 0), entry("b", 0.3, 0, 0)]
    rounded = [entry("a", 0.300001, 0, 0), entry("b", 0.301, 0, 0)]
    of_two = manifest_of({"a": "r1", "b": "r2"})
    assert findings(recorded("A", of_two, *exact), recorded("B", of_two, *rounded)) == [
        WITHIN,
        BEYOND,
    ]


@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_noise_is_called_a_change_in_five_percent_of_comparisons_at_most(shared):
    """shared: correlation of the errors that the two make by one test set."""
    rng = np.random.default_rng(0)
    names = [f"p{i:02}" for i in range(10)]
    manifests = [manifest_of(dict.fromkeys(names, "r"), game=game) for game in ("g1", "g2")]
    false = 0
    for _ in range(400):
        common = rng.normal(0, 0.05 * np.sqrt(shared), 10)
        sides = [
            0.3 + common + rng.normal(0, 0.05 * np.sqrt(1 - shared), 10) + rng.normal(0, 0.01, 10)
            for _ in manifests
        ]
        pair = [
            recorded(
                str(i), m, *(entry(n, v, 0.01, 0.05) for n, v in zip(names, side, strict=True))
            )
            for i, (m, side) in enumerate(zip(manifests, sides, strict=True))
        ]
        false += BEYOND in findings(*pair)
    assert false / 400 <= 0.08, "three standard errors above 5 %"
    assert shared or false, "independent errors make the interval exact, not wider"
