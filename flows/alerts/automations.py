"""Prefect automations that pass on what needs a person, to a webhook or a mailbox."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import (
    Automation,
    AutomationCore,
    EventTrigger,
    Posture,
)
from prefect.events.schemas.events import ResourceSpecification

from flows.alerts import events

FLOWS = ("valuation", "refresh", "audit", "pretrain")
PREFIX, PAGE = "unshapley: ", 200
_RUN = "{{ flow_run.name if flow_run is defined else event.resource.name }}"
_URL = "{{ flow_run|ui_url if flow_run is defined else automation|ui_url }}"
_OF_RUNS = {"prefect.resource.role": "flow", "prefect.resource.name": list(FLOWS)}


@dataclass(frozen=True)
class Alert:
    """What is watched for: events of runs of ours, or of projects."""

    name: str
    expect: frozenset[str]
    of_runs: bool
    subject: str
    body: str

    def trigger(self) -> EventTrigger:
        resource = "prefect.flow-run.*" if self.of_runs else "unshapley.project.*"
        return EventTrigger(
            expect=set(self.expect),
            match=ResourceSpecification.model_validate({"prefect.resource.id": resource}),
            match_related=ResourceSpecification.model_validate(_OF_RUNS if self.of_runs else {}),
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
        )


def _of_run(name: str, states: tuple[str, ...], what: str) -> Alert:
    expect = frozenset(f"prefect.flow-run.{state}" for state in states)
    body = f"{_RUN} {what}: {{{{ flow_run.state.message }}}}\n{_URL}"
    return Alert(name, expect, of_runs=True, subject=f"{_RUN} {what}", body=body)


def _of_project(name: str, event: str, what: str) -> Alert:
    subject = f"{{{{ event.resource.name }}}}: {what}"
    body = f"{subject}\n{{{{ event.payload.summary }}}}"
    return Alert(name, frozenset({event}), of_runs=False, subject=subject, body=body)


ALERTS = {
    alert.name: alert
    for alert in (
        _of_run("failed", ("Failed", "Crashed", "TimedOut"), "failed"),
        _of_run("late", ("Late",), "is late: no worker has taken it"),
        _of_project("untrusted", events.UNTRUSTED, "the values are untrusted, and not published"),
        _of_project("quarantined", events.QUARANTINED, "providers are in quarantine"),
        _of_project("moved", events.MOVED, "values moved beyond their interval"),
    )
}


def add_alerts(names: Iterable[str], receiver: str, block: UUID) -> list[str]:
    """Create an automation for each name; one of the same name and receiver is replaced."""
    made = []
    with get_client(sync_client=True) as client:
        standing = {automation.name: automation.id for automation in _ours(client)}
        for name in names:
            alert, title = ALERTS[name], f"{PREFIX}{name} to {receiver}"
            if title in standing:
                client.delete_automation(standing[title])
            action = SendNotification(
                block_document_id=block, subject=f"unshapley: {alert.subject}", body=alert.body
            )
            client.create_automation(
                AutomationCore(
                    name=title,
                    description="made by `unshapley alerts`",
                    trigger=alert.trigger(),
                    actions=[action],
                )
            )
            made.append(title.removeprefix(PREFIX))
    return made


def list_alerts() -> dict[str, bool]:
    """Name of each automation of ours, and whether it is on."""
    with get_client(sync_client=True) as client:
        ours = sorted(_ours(client), key=lambda automation: automation.name)
    return {automation.name.removeprefix(PREFIX): automation.enabled for automation in ours}


def remove_alerts(receiver: str) -> list[str]:
    """Delete those of a receiver; return their names."""
    removed = []
    with get_client(sync_client=True) as client:
        for automation in _ours(client):
            if automation.name.endswith(f" to {receiver}"):
                client.delete_automation(automation.id)
                removed.append(automation.name.removeprefix(PREFIX))
    return removed


def _ours(client: SyncPrefectClient) -> list[Automation]:
    found: list[Automation] = []
    while True:
        part = client.read_automations(limit=PAGE, offset=len(found))
        found += part
        if len(part) < PAGE:
            return [automation for automation in found if automation.name.startswith(PREFIX)]
