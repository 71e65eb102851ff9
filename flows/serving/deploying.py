"""Put pool and deployments on a server; what somebody switched there stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import (
    DeploymentScheduleCreate,
    WorkPoolCreate,
    WorkPoolUpdate,
)
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

from flows.runtime.projects import Registered
from flows.runtime.stored import of_today
from flows.serving.deployments import ONE_AT_A_TIME, POOL, Deployment, Schedule, Trigger
from unshapley.errors import InputError

TAG = "unshapley"
SLUG = "unshapley"
"""Of the schedule that is ours; others of a deployment are the users'."""


def make_pool(client: SyncPrefectClient, kind: str, template: Mapping[str, Any]) -> None:
    """The work pool, of this kind, with this template of its jobs."""
    try:
        pool = client.read_work_pool(POOL)
    except ObjectNotFound:
        made = WorkPoolCreate(name=POOL, type=kind, base_job_template=dict(template))
        client.create_work_pool(made)
        return
    if pool.type != kind:
        raise InputError(
            f"the work pool {POOL} is of the kind {pool.type}",
            where="--pool",
            expected=kind,
            do=f"delete it (`prefect work-pool delete {POOL}`), or say --pool {pool.type}",
        )
    client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=dict(template)))


def deploy(
    client: SyncPrefectClient, deployment: Deployment, *, switch_on: bool = False
) -> tuple[Schedule | None, list[str]]:
    """Put it on the server; returns its schedule as it stands there, and what is to be told.

    switch_on: turn its schedule on, though somebody may have turned it off.
    """
    before = _stored(client, deployment.full_name)
    schedule, others = _schedules(before, deployment.schedule, switch_on=switch_on)
    parameters, problem = _parameters(before, deployment, others)
    made = client.create_deployment(
        flow_id=client.create_flow_from_name(deployment.flow),
        name=deployment.name,
        description=deployment.description,
        entrypoint=deployment.entrypoint,
        path=None,
        pull_steps=[],
        parameters=parameters,
        parameter_openapi_schema=deployment.form,
        enforce_parameter_schema=not problem,  # its runs say it in our words
        schedules=[*others, *([_as_created(schedule)] if schedule else [])],
        concurrency_limit=ONE_AT_A_TIME["limit"],
        concurrency_options=ConcurrencyOptions(
            collision_strategy=ConcurrencyLimitStrategy(ONE_AT_A_TIME["collision_strategy"])
        ),
        work_pool_name=POOL,
        tags=[TAG, deployment.name],
    )
    if deployment.trigger:
        _automate(client, deployment.trigger, made)
    problems = [
        f"{deployment.full_name}: its flow no longer has the parameter {name}, which is dropped"
        for name in (before.parameters if before else {})
        if name not in deployment.form["properties"]
    ]
    if problem:
        problems.append(
            f"{deployment.full_name}: stored parameters of another version: {problem}\n"
            "  do: correct them in the UI, or delete the deployment, which is then made anew"
        )
    return schedule, problems


def withdraw(client: SyncPrefectClient, projects: Sequence[Registered]) -> list[str]:
    """Delete our deployments of projects that are not among these; returns their names."""
    names, removed = {project.name for project in projects}, []
    for found in client.read_deployments():
        if TAG in found.tags and found.name not in names:
            client.delete_resource_owned_automations(f"prefect.deployment.{found.id}")
            client.delete_deployment(found.id)
            removed.append(found.name)
    return sorted(set(removed))


def _stored(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None


def _schedules(
    before: DeploymentResponse | None, ours: Schedule | None, *, switch_on: bool
) -> tuple[Schedule | None, list[DeploymentScheduleCreate]]:
    """Our schedule as it is to stand, and those that users have added."""
    others = []
    for stored in before.schedules if before else []:
        if stored.slug != SLUG or not isinstance(stored.schedule, CronSchedule):
            others.append(
                DeploymentScheduleCreate.model_validate(
                    stored.model_dump(include={"schedule", "active", "parameters", "slug"})
                )
            )
        elif ours and not switch_on and (stored.schedule.cron == ours.cron or not ours.active):
            zone = stored.schedule.timezone or ours.timezone
            ours = Schedule(stored.schedule.cron, stored.active, zone)
    return ours, others


def _as_created(schedule: Schedule) -> DeploymentScheduleCreate:
    cron = CronSchedule(cron=schedule.cron, timezone=schedule.timezone)
    return DeploymentScheduleCreate(schedule=cron, active=schedule.active, slug=SLUG)


def _parameters(
    before: DeploymentResponse | None,
    deployment: Deployment,
    others: Sequence[DeploymentScheduleCreate],
) -> tuple[dict[str, Any], str]:
    """What users set at the server is kept, and why it no longer fits, if it does not; others:
    schedules of users, with parameters of their own.
    """
    stored = dict(before.parameters) if before else {}
    fixed = {k: v for k, v in deployment.parameters.items() if k in ("project", "drop")}
    kept = {k: v for k, v in stored.items() if k in deployment.form["properties"]}
    parameters = {**deployment.parameters, **kept, **fixed}
    problem = _problem(parameters, deployment.form)
    for schedule in others:
        problem = problem or _problem({**parameters, **schedule.parameters}, deployment.form)
    return parameters, problem


def _problem(parameters: Mapping[str, Any], form: Mapping[str, Any]) -> str:
    """Why parameters are not those of a flow as it is today; empty where they are."""
    for name in parameters:
        if name not in form["properties"]:
            return f"{name}: there is no such parameter; there are {', '.join(form['properties'])}"
    try:
        of_today(parameters.get("params"))
        jsonschema.validate(parameters, form)
    except InputError as error:
        return error.what
    except jsonschema.ValidationError as error:
        return f"{error.json_path.removeprefix('$.')}: {error.message}"
    return ""


def _automate(client: SyncPrefectClient, trigger: Trigger, deployment: Any) -> None:
    """The automation, off; one that is there stays as it is."""
    if client.read_automations_by_name(trigger.name):
        return
    client.create_automation(
        AutomationCore(
            name=trigger.name,
            description="off until you turn it on",
            enabled=False,
            trigger=EventTrigger(
                expect={trigger.event},
                match={"prefect.resource.id": trigger.resource},
                posture=Posture.Reactive,
                threshold=1,
            ),
            actions=[
                RunDeployment(
                    source="selected", deployment_id=deployment, parameters=trigger.parameters
                )
            ],
            owner_resource=f"prefect.deployment.{deployment}",
        )
    )
