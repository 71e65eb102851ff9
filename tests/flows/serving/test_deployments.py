"""Every deployment as it stands on the server, so that none changes unnoticed."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from flows.runtime.guard import GUARD, check_allowed
from flows.runtime.projects import Registered
from flows.runtime.stored import of_today
from flows.serving.deployments import ONE_AT_A_TIME, POOL, deployments_of
from flows.serving.pools import KINDS, template_of
from unshapley.config import Params
from unshapley.errors import InputError

HOME = Path(__file__).resolve().parents[3]
SNAPSHOT = Path(__file__).with_name("deployments.json")


@pytest.fixture
def registered(tmp_path):
    shutil.copy(HOME / "params.yaml", tmp_path)
    return Registered("clinics", tmp_path, Path("/srv/drop"))


def shown(registered):
    """All but the models behind a form, whose keys docs/parameters.md lists."""
    found = {}
    for deployment in deployments_of(registered):
        content = asdict(deployment)
        form = content.pop("form")["properties"]
        content["form"] = {
            n: {k: v for k, v in p.items() if k != "default" or n != "params"}
            for n, p in form.items()
        }
        found[deployment.full_name] = content
    templates = {kind: template_of(kind, "IMAGE", [registered]) for kind in KINDS}
    text = json.dumps(
        {"limit": ONE_AT_A_TIME, "pool": POOL, "templates": templates, "deployments": found}
    )
    return json.loads(text.replace(str(registered.folder), "FOLDER"))


def test_deployments_are_those_of_the_snapshot(registered):
    """If they are to change: run this file, and say so in CHANGELOG.md."""
    assert shown(registered) == json.loads(SNAPSHOT.read_text())


def test_a_schedule_of_the_project_is_on(registered):
    scheduled = Registered("clinics", registered.folder, schedule="5 * * * *")
    made = {d.flow: d for d in deployments_of(scheduled)}
    assert (made["refresh"].schedule.cron, made["refresh"].schedule.active) == ("5 * * * *", True)
    assert not made["audit"].schedule.active
    assert made["refresh"].form["properties"]["drop"]["enum"] == [None]


def test_the_form_holds_descriptions_choices_and_the_defaults_of_this_project(registered):
    path = registered.folder / "params.yaml"
    path.write_text(path.read_text().replace("budget: 1000", "budget: 77"))
    form = next(iter(deployments_of(registered))).form
    assert form["properties"]["params"]["default"]["valuation"]["budget"] == 77
    definitions = form["definitions"]
    assert definitions["ValuationSettings"]["properties"]["budget"]["default"] == 77
    assert definitions["PretrainSettings"]["properties"]["kwargs"]["default"] == {"hidden": [32]}
    assert definitions["ValidationSettings"]["properties"]["policy"]["enum"] == [
        "stop",
        "quarantine",
    ]
    assert "description" in definitions["ValuationSettings"]["properties"]["budget"]
    Params.model_validate(form["properties"]["params"]["default"])


def test_stored_parameters_of_an_older_schema_give_one_error():
    assert of_today({"valuation": {"budget": 9}}).valuation.budget == 9
    with pytest.raises(InputError) as caught:
        of_today({"fidelity": {"retrain": 4}})
    assert "which is now called 'correction.coalitions'" in str(caught.value)
    assert "start a new run from the form" in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_who_starts_a_run_cannot_give_it_another_command_image_or_folder(kind):
    template = template_of(kind, "unshapley:0.2")
    assert template["variables"]["properties"] == {}
    assert "{{" not in json.dumps(template["job_configuration"])


@pytest.mark.parametrize("kind", KINDS)
def test_runs_in_containers_of_a_team_know_what_is_registered(registered, kind, monkeypatch):
    """A worker of processes has the variable itself, and hands it on."""
    environment = template_of(kind, "x:1", [registered], guarded=True)["job_configuration"]["env"]
    assert (GUARD in environment) == (kind != "process")
    assert GUARD not in template_of(kind, "x:1", [registered])["job_configuration"]["env"]
    if GUARD in environment:
        monkeypatch.setenv(GUARD, environment[GUARD])
        check_allowed(registered.folder, drop=registered.drop)
        with pytest.raises(InputError, match="is not a registered project"):
            check_allowed(registered.folder.parent)


def test_a_template_of_ones_own_is_filled_in_too(registered, tmp_path):
    own = tmp_path / "own.json"
    own.write_text(
        '{"job_configuration": {"image": "$IMAGE", "volumes": ["$VOLUMES"]}, "variables": {}}'
    )
    job = template_of("docker", "x:1", [registered], own)["job_configuration"]
    assert job == {"image": "x:1", "volumes": [f"{tmp_path}:{tmp_path}", "/srv/drop:/srv/drop"]}
    own.write_text('{"job_configuration": {"env": "{{ env }}"}, "variables": {}}')
    with pytest.raises(InputError, match="leaves the environment of runs to who starts them"):
        template_of("docker", own=own, guarded=True)
    own.write_text("[]")
    with pytest.raises(InputError, match="is no template"):
        template_of("docker", own=own)


if (
    __name__ == "__main__"
):  # writes the snapshot anew: python -m tests.flows.serving.test_deployments
    import tempfile

    folder = Path(tempfile.mkdtemp())
    shutil.copy(HOME / "params.yaml", folder)
    made = shown(Registered("clinics", folder, Path("/srv/drop")))
    SNAPSHOT.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
