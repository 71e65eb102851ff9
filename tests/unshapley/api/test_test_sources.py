"""Whose test rows reward whom: values on the test rows of each provider."""

import numpy as np
import pytest

import unshapley as us
from tests.unshapley.api.test_value import RECIPE, rows


def shuffled(seed: int):
    table = rows(seed, 120)
    return table.assign(ill=np.random.default_rng(seed).permutation(table["ill"]))


@pytest.fixture(scope="module")
def result():
    data = {"north": rows(0, 120), "south": rows(1, 120), "west": rows(2, 120), "xnoise": shuffled(3)}  # fmt: skip
    params = {**RECIPE, "valuation": {"unlearner": "retrain"}}
    with pytest.warns(us.ValuationWarning, match="drawn from the providers that are valued"):
        return us.value(None, data, label="ill", utility=["neg_log_loss", "accuracy"], params=params)  # fmt: skip


def test_values_on_the_sources_make_up_the_value(result):
    table = result.test_sources()
    assert table.groupby("source")["rows"].first().to_dict() == dict.fromkeys(result.frame["provider"], 24)  # fmt: skip
    mean = table.groupby("provider").apply(
        lambda part: np.average(part["value"], weights=part["rows"]), include_groups=False
    )
    np.testing.assert_allclose(mean, result.frame["value"], atol=1e-9)


def test_a_provider_of_noise_is_worth_something_on_its_own_rows_only(result):
    value = result.test_sources().pivot(index="provider", columns="source", values="value")
    assert value.loc["xnoise"].idxmax() == "xnoise"
    assert (value.loc["xnoise"].drop("xnoise") < 0).all()
    assert "On the test rows of the others xnoise makes the model worse" in result.conclusion


def test_rows_of_ones_own_have_no_sources():
    data = {name: rows(seed) for seed, name in enumerate(("north", "south"))}
    params = {**RECIPE, "valuation": {"unlearner": "retrain"}}
    result = us.value(None, data, test=rows(8), reference=rows(9), label="ill", params=params)
    assert result.test_sources().empty
