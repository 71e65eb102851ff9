"""Where spans and metrics go: an OpenTelemetry collector, an endpoint for Prometheus, or nowhere.

Set by environment, as OpenTelemetry's own are, so that a worker's runs have it too:
`OTEL_EXPORTER_OTLP_ENDPOINT`, and `UNSHAPLEY_METRICS_PORT` with `UNSHAPLEY_METRICS_HOST` and
`UNSHAPLEY_METRICS_TOKEN`.
"""

from __future__ import annotations

import hmac
import logging
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from unshapley.errors import InputError

log = logging.getLogger("unshapley.run")

ENDPOINT, PROTOCOL = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL"
PORT, HOST, TOKEN = "UNSHAPLEY_METRICS_PORT", "UNSHAPLEY_METRICS_HOST", "UNSHAPLEY_METRICS_TOKEN"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
FLUSH_MS = 5000
"""A run waits so long at most for a collector to take its last spans."""
HTTP = "http/protobuf"

_started = threading.Event()


def start_exporting() -> None:
    """Once a process: export where the environment says so.

    Raises `InputError` where it cannot: the package is missing, the port is none, or metrics would
    be shown to the network without a token.
    """
    endpoint, port = os.environ.get(ENDPOINT), os.environ.get(PORT)
    if not (endpoint or port) or _started.is_set():
        return
    _check_library()
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "unshapley")})
    readers: list[Any] = []
    if endpoint:
        _check_protocol()
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        tracing = TracerProvider(resource=resource)
        tracing.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(tracing)
        readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
    if port:
        from opentelemetry.exporter.prometheus import PrometheusMetricReader

        readers.append(PrometheusMetricReader())
        _serve_metrics(port)
    metrics.set_meter_provider(MeterProvider(readers, resource=resource))
    _started.set()


def flush() -> None:
    """Hand over what was not exported yet, before a process may end without asking."""
    if not _started.is_set():
        return
    from opentelemetry import metrics, trace

    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
        forced: Callable[[int], bool] | None = getattr(provider, "force_flush", None)
        if forced is not None and os.environ.get(ENDPOINT):
            try:
                forced(FLUSH_MS)
            except Exception as error:  # noqa: BLE001 (no run fails because nobody watches it)
                log.warning("%s takes no telemetry: %s", os.environ[ENDPOINT], error)


def _check_library() -> None:
    try:
        import opentelemetry.exporter.otlp.proto.http
        import opentelemetry.exporter.prometheus
        import opentelemetry.sdk  # noqa: F401
    except ImportError:
        raise InputError(
            "the packages that export telemetry are not installed",
            where=ENDPOINT if os.environ.get(ENDPOINT) else PORT,
            do="pip install 'unshapley[telemetry]', or unset it",
        ) from None


def _check_protocol() -> None:
    protocol = os.environ.get(PROTOCOL, HTTP)
    if protocol != HTTP:
        raise InputError(
            f"is {protocol!r}", where=PROTOCOL, expected=f"{HTTP}: OTLP by HTTP, usually port 4318"
        )


def _serve_metrics(text: str) -> None:
    """Serve /metrics in the background; another run may hold the port, which is no error."""
    host, token = os.environ.get(HOST, LOOPBACK[0]), os.environ.get(TOKEN, "")
    if not text.isdigit() or not 0 < int(text) < 2**16:
        raise InputError(f"is {text!r}", where=PORT, expected="a port, 1 to 65535")
    if host not in LOOPBACK and not token:
        raise InputError(
            f"is {host}, and anybody there could read the metrics",
            where=HOST,
            expected=f"127.0.0.1, or a secret in {TOKEN}",
            do=f"set {TOKEN}; Prometheus sends it as authorization: credentials",
        )
    try:
        server = make_server(host, int(text), _guarded(token), WSGIServer, _Silent)
    except OSError as error:
        log.warning("no metrics at %s:%s, where another run may serve them: %s", host, text, error)
        return
    threading.Thread(target=server.serve_forever, daemon=True).start()


def _guarded(token: str) -> Any:
    """Prometheus's own page, for those who know the token."""
    from prometheus_client import make_wsgi_app

    page = make_wsgi_app()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        given = environ.get("HTTP_AUTHORIZATION", "")
        if token and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            start_response("401 Unauthorized", [("WWW-Authenticate", "Bearer")])
            return [b"unauthorized\n"]
        return page(environ, start_response)  # type: ignore[no-any-return]

    return app


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """A scrape every few seconds is no news."""
