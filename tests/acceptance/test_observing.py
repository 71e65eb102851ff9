"""Who is told of a run, by real receivers on loopback."""

import json
import os
import subprocess
import sys

import pytest

from tests.acceptance.receivers import mail_server, subjects, web
from tests.acceptance.serving import Server, wait_for
from tests.clusters import free_port
from tests.conftest import USER, set_params


@pytest.mark.drill
def test_alerts_reach_a_webhook_and_a_mailbox(project, tmp_path):
    server, port = Server(tmp_path / "server"), free_port()
    with web() as (address, posts), mail_server(port) as mails, server.serving(project.root):
        server.environment |= {"PREFECT_API_URL": server.api, "UNSHAPLEY_WEBHOOK_TOKEN": "geheim"}
        told = server.command("alerts", "--webhook", f"{address}/hook", "--test")
        assert told.count("told: ") == 5
        to = ("--mail", "data@example.org", "--smtp", f"127.0.0.1:{port}", "--no-tls")
        server.command("alerts", *to, "--on", "failed", "--on", "quarantined")
        assert posts[0][:2] == ("/hook", "Bearer geheim")
        assert "geheim" not in json.dumps(server.ask("block_documents/filter", {}))

        assert server.run("valuation/project")["state_type"] == "COMPLETED"
        set_params(project, pretrain__steps=30, validation__policy="quarantine", faults__noise={"form-04": 5.0}, faults__wrong_labels={"form-03": 1.0})  # fmt: skip
        for command in ("prepare", "suites", "pretrain"):
            server.command(command, "-p", project.root)
        server.run("valuation/project")
        wait_for(lambda: any("moved beyond" in subject for subject in subjects(posts)), 60)

        project.test.unlink()
        assert server.run("valuation/project")["state_type"] == "FAILED"
        wait_for(lambda: any(subject.endswith("failed") for subject in subjects(posts)), 60)
        wait_for(lambda: any("failed" in m.content.decode() for m in mails), 60)

        removed = server.command("alerts", *to, "--remove")
        assert removed.count("removed: ") == 2
        assert "mail" not in server.command("alerts")


@pytest.mark.drill
def test_a_late_run_is_told(project, tmp_path):
    server = Server(tmp_path / "server")
    with web() as (address, posts), server.serving(project.root):
        server.environment |= {"PREFECT_API_URL": server.api}
        server.command("alerts", "--webhook", f"{address}/hook", "--on", "late")
        server.ask("work_pools/valuations", {"is_paused": True}, "PATCH")
        server.begin("valuation/project")
        wait_for(lambda: any("is late" in subject for subject in subjects(posts)), 120)


@pytest.mark.drill
def test_spans_and_metrics_reach_a_collector(project):
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    with web() as (address, posts):
        environment = {**USER, **os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": address, "UNSHAPLEY_LOG_FORMAT": "json"}  # fmt: skip
        code = "from flows.cli import main; main()"
        done = subprocess.run([sys.executable, "-c", code, "run", "-p", project.root, "-q"], env=environment, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert any(line.get("flow") == "valuation" for line in lines)
    spans, metrics = [], set()
    for path, _, body in posts:
        if path == "/v1/traces":
            for part in ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans:
                spans += part.spans if part.scope.name == "unshapley" else []
        else:
            for part in ExportMetricsServiceRequest.FromString(body).resource_metrics[0].scope_metrics:  # fmt: skip
                metrics |= {metric.name for metric in part.metrics}
    by_id = {span.span_id: span for span in spans}
    (flow,) = (span for span in spans if span.name == "valuation")
    steps = [span for span in spans if span.parent_span_id == flow.span_id]
    assert {"validate", "load", "measure", "publish"} <= {span.name for span in steps}
    chunks = [span for span in spans if span.name == "chunk"]
    assert chunks
    assert all(by_id[chunk.parent_span_id].name in ("measure", "retrain", "calibrate", "tolerate") for chunk in chunks)  # fmt: skip
    assert {"unshapley.runs", "unshapley.coalitions", "unshapley.memory"} <= metrics
