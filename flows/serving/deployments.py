"""Which deployments a project has: the one place that defines them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from flows.alerts.events import TAGGED, project_resource
from flows.audit import audit
from flows.pretraining import pretrain
from flows.refresh import refresh
from flows.runtime.projects import Registered
from flows.serving.forms import form_of
from flows.serving.schedules import NIGHTLY, WEEKLY
from flows.valuation import valuation
from unshapley.config import load_params

POOL = "valuations"
ONE_AT_A_TIME: dict[str, Any] = {"limit": 1, "collision_strategy": "CANCEL_NEW"}
"""A second run of a deployment is cancelled; a project's locks keep its runs apart."""


@dataclass(frozen=True)
class Schedule:
    """When runs begin by themselves, UTC; off until somebody turns it on."""

    cron: str
    active: bool = False
    timezone: str = "UTC"


@dataclass(frozen=True)
class Trigger:
    """An event upon which a run begins, with parameters that are taken from the event; it too is
    off until somebody turns it on.
    """

    name: str
    event: str
    resource: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Deployment:
    """A flow for one project. flow: its name; name: the project's."""

    flow: str
    name: str
    entrypoint: str
    description: str
    parameters: dict[str, Any]
    form: dict[str, Any]
    schedule: Schedule | None = None
    trigger: Trigger | None = None

    @property
    def full_name(self) -> str:
        return f"{self.flow}/{self.name}"


def deployments_of(project: Registered) -> Iterator[Deployment]:
    """The deployments of a project; `InputError` if its params.yaml is wrong."""
    where = str(project.folder)
    make = partial(Deployment, name=project.name)
    drop = str(project.drop) if project.drop else None
    yield make(
        flow=valuation.name,
        entrypoint="flows.valuation.valuation",
        description="Value every provider of this project, with params.yaml or what the form says.",
        parameters={"project": where},
        form=form_of(valuation, {"project": [where]}, load_params(project.folder / "params.yaml")),
    )
    yield make(
        flow=refresh.name,
        entrypoint="flows.refresh.refresh",
        description="Update the inputs; if they changed, value them, commit, tag and push.",
        parameters={"project": where, "drop": drop, "push": True},
        form=form_of(refresh, {"project": [where], "drop": [drop, None] if drop else [None]}),
        schedule=Schedule(project.schedule or NIGHTLY, active=project.schedule is not None),
    )
    yield make(
        flow=audit.name,
        entrypoint="flows.audit.audit",
        description="Repeat a recorded valuation, and say whether it was reproduced.",
        parameters={"project": where, "revision": None},
        form=form_of(audit, {"project": [where]}),
        schedule=Schedule(WEEKLY),
        trigger=Trigger(
            name=f"audit {project.name} after each valuation",
            event=TAGGED,
            resource=project_resource(project.folder),
            parameters={"project": where, "revision": FROM_THE_EVENT},
        ),
    )
    yield make(
        flow=pretrain.name,
        entrypoint="flows.pretraining.pretrain",
        description="Train the model of this project anew.",
        parameters={"project": where, "replace": False},
        form=form_of(pretrain, {"project": [where]}),
    )


FROM_THE_EVENT = {"__prefect_kind": "jinja", "template": "{{ event.payload['tag'] }}"}
"""The tag that a refresh has made."""
