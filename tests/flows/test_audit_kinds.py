"""Every kind of valuation is reproduced by an audit."""

from __future__ import annotations

import subprocess

import pytest

from flows.audit import audit
from flows.valuation import valuation
from tests.conftest import set_params
from unshapley.audit.settings import AuditSettings

AUTO = {"unlearner": "auto", "options": {"retrain_up_to": 0, "cost": 0.05}}
KINDS = {
    "auto": AUTO,
    "corrected": {"correction": 6},
    "auto, corrected by more": {**AUTO, "budget": 26, "correction": 4},
    "targets": {**AUTO, "targets": 4},
    "stopped": {"estimator": "permutations", "budget": 29, "stop": {"half_width": 9.0}},
    "targets whose rows alone are here": {
        "targets": 3,
        "absent": True,
        "unlearner": "newton",
        "options": {},
    },
}


@pytest.mark.drill
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_reproduced(project, kind):
    settings = dict(KINDS[kind])
    correction, targets = settings.pop("correction", 0), settings.pop("targets", 0)
    absent = settings.pop("absent", False)
    set_params(project, **{f"valuation__{name}": value for name, value in settings.items()})
    set_params(project, correction__coalitions=correction, fidelity__coalitions=4)
    if targets:
        set_params(project, valuation__targets=project.providers()[:targets])
    if absent:
        set_params(project, fidelity__publish_unchecked=True)
        for provider in project.providers()[targets:]:
            project.partition(provider).unlink()
    valuation(project=project.root)
    for command in (
        ["init", "-q"],
        ["add", "params.yaml", "data"],
        ["-c", "user.name=a", "-c", "user.email=a@localhost", "commit", "-qm", "valued"],
    ):
        subprocess.run(["git", *command], cwd=project.root, check=True)
    for everything in (False, True):
        chosen = AuditSettings(sample=8, retrain=2, everything=everything, seed=1)
        found = audit(project=project.root, settings=chosen)
        assert found["verdict"].startswith("reproduced")
    left = {check["what"] for check in found["checks"] if check["outcome"] == "not examined"}
    assert left <= {
        "signature",
        "fidelity check",
        "what the fidelity check implies for the values",
    }
