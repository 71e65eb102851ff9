"""The jobs that workers of Docker and Kubernetes make of our templates, without either engine.

pip install prefect-docker prefect-kubernetes
"""

import asyncio
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import Flow, FlowRun
from prefect.workers.base import BaseJobConfiguration

from flows.runtime.projects import Registered
from flows.serving.pools import template_of

CLINICS = Registered("clinics", Path("/srv/clinics"), Path("/srv/drop"))


def job_of(configuration: type[BaseJobConfiguration], kind: str) -> Any:
    """What a worker prepares for a run of a deployment."""
    template = template_of(kind, "unshapley:0.2", [CLINICS])
    run = FlowRun(flow_id=uuid.uuid4(), deployment_id=uuid.uuid4(), name="valuation of clinics")
    job = asyncio.run(configuration.from_template_and_values(template, {}))
    job.prepare_for_flow_run(run, None, Flow(name="valuation"))
    return job


def test_a_container_runs_the_flow_whatever_its_image_starts():
    pytest.importorskip("prefect_docker", reason="needs prefect-docker")
    from docker.models.containers import _create_container_args
    from prefect_docker.worker import DockerWorker, DockerWorkerJobConfiguration

    job = job_of(DockerWorkerJobConfiguration, "docker")
    settings = DockerWorker("pool")._build_container_settings(Engine(), job)
    sent = _create_container_args({"version": "1.44", **settings})  # refuses what it does not know
    assert [*sent["entrypoint"], *sent["command"].split()] == ["prefect", "flow-run", "execute"]
    assert sent["image"] == "unshapley:0.2"
    assert sent["environment"]["PREFECT__FLOW_RUN_ID"]
    host = sent["host_config"]
    assert host["Binds"] == ["/srv/clinics:/srv/clinics", "/srv/drop:/srv/drop"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Memory"] == 8 * 2**30
    assert not host.get("Privileged")


class Engine:
    """A Docker that is only asked for its version."""

    def version(self) -> dict[str, str]:
        return {"Version": "28.0.0"}


def test_a_job_of_kubernetes_runs_the_flow_and_has_known_fields_only():
    pytest.importorskip("prefect_kubernetes", reason="needs prefect-kubernetes")
    from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

    job = job_of(KubernetesWorkerJobConfiguration, "kubernetes").job_manifest
    assert list(unknown(job, "V1Job")) == []
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert [*container["command"], *container["args"]] == ["prefect", "flow-run", "execute"]
    assert container["image"] == "unshapley:0.2"
    assert "PREFECT__FLOW_RUN_ID" in {entry["name"] for entry in container["env"]}
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    # the network policy of deployments/kubernetes/runs.yaml finds its pods by this label
    assert "prefect.io/flow-run-id" in job["spec"]["template"]["metadata"]["labels"]


def unknown(content: Any, kind: str) -> Any:
    """Paths of fields that Kubernetes' API of this kind does not have."""
    from kubernetes_asyncio.client import models

    if (inner := re.fullmatch(r"(list|dict)\[(?:str, )?(\w+)\]", kind)) and inner[2][0] == "V":
        parts = content if inner[1] == "list" else content.values()
        for part in parts:
            yield from unknown(part, inner[2])
    elif model := getattr(models, kind, None):
        names = {theirs: ours for ours, theirs in model.attribute_map.items()}
        for field, value in content.items():
            if field not in names:
                yield f"{kind}.{field}"
            else:
                yield from unknown(value, model.openapi_types[names[field]])
