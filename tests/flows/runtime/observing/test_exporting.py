"""What is shown of a run, to whom, and what is refused."""

import io
import json
import re
from pathlib import Path

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from flows.runtime.observing import exporting, instruments
from unshapley.errors import InputError

DASHBOARD = Path(__file__).parents[4] / "deployments/grafana/unshapley.json"


@pytest.fixture(scope="module")
def reader():
    """What instruments tell; the process has one provider, as a run has."""
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    return reader


def told(reader):
    """Value by name and labels."""
    (resource,) = reader.get_metrics_data().resource_metrics
    points = {}
    for scope in resource.scope_metrics:
        for metric in scope.metrics:
            for point in metric.data.data_points:
                value = point.sum if hasattr(point, "sum") else point.value
                points[metric.name, *sorted((point.attributes or {}).items())] = value
    return points


def test_chunks_are_counted_by_outcome_and_coalitions_once(reader):
    labels = {"project": "p", "unlearner": "newton"}
    result = {"seconds": {"unlearn": 1.5, "evaluate": 0.5}, "recalled": {"another plan": 3}}
    instruments.PENDING.add(3, {"project": "p"})
    instruments.chunk_done(result, 10, resumed=False, labels=labels)
    instruments.chunk_done({**result, "attempts": 2}, 10, resumed=False, labels=labels)
    instruments.chunk_done(result, 10, resumed=True, labels=labels)
    found = told(reader)
    of = tuple(sorted(labels.items()))
    assert found["unshapley.coalitions", *of] == 14  # neither resumed nor recalled ones
    assert found["unshapley.chunk.duration", *of] == 4.0
    assert found["unshapley.chunks.pending", ("project", "p")] == 0
    outcomes = {dict(key[1:])["outcome"]: n for key, n in found.items() if key[0] == "unshapley.chunks"}  # fmt: skip
    assert outcomes == {"computed": 1, "retried": 1, "resumed": 1}
    assert found["unshapley.memory",] > 2**20


def test_the_dashboard_asks_for_metrics_that_there_are():
    asked = set(re.findall(r"\bunshapley_[a-z_]+", DASHBOARD.read_text()))
    source = Path(instruments.__file__).read_text()
    names = {name.replace(".", "_") for name in re.findall(r'"(unshapley\.[a-z.]+)"', source)}
    units = ("_total", "_bytes", "_seconds_bucket", "_seconds_sum", "_seconds_count")
    plain = {re.sub(f"({'|'.join(units)})$", "", name) for name in asked}
    assert plain == names
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert all(target["expr"] for panel in panels for target in panel["targets"])


def ask(app, **headers):
    seen = []
    body = app({"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", "QUERY_STRING": "", "wsgi.input": io.BytesIO(), **headers}, lambda status, _: seen.append(status))  # fmt: skip
    return seen[0][:3], b"".join(body)


def test_metrics_are_for_those_who_know_the_token():
    app = exporting._guarded("geheim")
    assert ask(app)[0] == "401"
    assert ask(app, HTTP_AUTHORIZATION="Bearer falsch")[0] == "401"
    status, page = ask(app, HTTP_AUTHORIZATION="Bearer geheim")
    assert status == "200"
    assert b"python_info" in page
    assert ask(exporting._guarded(""))[0] == "200"


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({exporting.PORT: "web"}, "UNSHAPLEY_METRICS_PORT: is 'web'"),
        ({exporting.PORT: "9464", exporting.HOST: "0.0.0.0"}, "anybody there could read"),
        ({exporting.ENDPOINT: "http://127.0.0.1:1", exporting.PROTOCOL: "grpc"}, "is 'grpc'"),
    ],
)
def test_what_cannot_be_exported_is_an_error_beforehand(environment, says, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=re.escape(says)):
        exporting.start_exporting()
