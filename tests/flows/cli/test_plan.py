"""`unshapley plan`: what it prints, and that it publishes nothing."""

import json

from tests.cli import unshapley
from tests.conftest import set_params


def test_budgets_are_compared_and_nothing_is_published(project):
    set_params(project, valuation__unlearner="newton", valuation__options={})
    done = unshapley("plan", "--project", project.root, "--json")
    assert done.returncode == 0, done.stderr
    (only,) = json.loads(done.stdout)["budgets"]  # of five providers there are 30 coalitions
    assert only["coalitions"] == 30
    assert only["seconds"]["total"] > 0
    assert set(only["half_widths"]) == set(project.providers())
    assert not project.valuation.exists()

    table = unshapley("plan", "--project", project.root, "--budget", 20)
    assert "20" in table.stdout
    assert "pilot of 30 coalitions" in table.stdout


def test_a_budget_too_small_is_said_of_the_option(project):
    done = unshapley("plan", "--project", project.root, "--budget", 4)
    assert done.returncode == 2
    assert "--budget" in done.stderr
