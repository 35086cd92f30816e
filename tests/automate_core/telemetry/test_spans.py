"""Spans are sent to an OTLP receiver on the loopback, by OpenTelemetry's own exporter."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from automate_core.context import trace_scope
from automate_core.ids import uuid7
from automate_core.revealed import collect_secrets, note_revealed
from automate_core.telemetry import configure, shutdown, span
from automate_core.telemetry.spans import ENDPOINTS

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(autouse=True)
def _spans_off(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*ENDPOINTS, "OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)
    yield
    shutdown()


class Receiver:
    """Keeps the spans it is sent, with the resource they belong to."""

    def __init__(self) -> None:
        self.spans: dict[str, Any] = {}
        self.resource: dict[str, str] = {}

    def take(self, body: bytes) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resource = {pair.key: pair.value.string_value for pair in group.resource.attributes}
            for scope in group.scope_spans:
                self.spans.update({found.name: found for found in scope.spans})


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    received = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield received
    shutdown()
    server.shutdown()
    thread.join()
    server.server_close()


def attributes(found: Any) -> dict[str, object]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in found.attributes}


def test_span_without_an_endpoint_is_one_shared_nothing() -> None:
    assert configure("web") is False
    assert span("outbox.claim", kind="event") is span("other")
    with span("outbox.claim", kind="event") as current:
        current.set_attribute("count", 3)


def test_span_without_an_endpoint_lets_exceptions_through() -> None:
    with pytest.raises(ValueError, match="bad"), span("outbox.claim"):
        raise ValueError("bad")


def test_spans_are_sent_with_their_attributes(receiver: Receiver) -> None:
    execution = uuid7()
    assert (configure("worker"), configure("worker")) == (True, True)
    with trace_scope(TRACE), span("execution.run", execution=execution, depth=None, fast=True) as current:
        current.set_attribute("count", 3)
        with span("step.run", path="loop[3]/send"):
            pass
    shutdown()
    outer, inner = receiver.spans["execution.run"], receiver.spans["step.run"]
    assert receiver.resource["service.name"] == "worker"
    assert attributes(outer) == {
        "execution": str(execution),
        "fast": True,
        "count": 3,
        "automate.trace_id": TRACE,
    }
    assert (outer.trace_id.hex(), inner.trace_id.hex()) == (TRACE, TRACE)
    assert inner.parent_span_id == outer.span_id


def test_span_with_a_foreign_trace_id_names_it(receiver: Receiver) -> None:
    configure("worker")
    with trace_scope("order-7"), span("execution.run"):
        pass
    shutdown()
    assert attributes(receiver.spans["execution.run"]) == {"automate.trace_id": "order-7"}


def test_failed_span_hides_secrets(receiver: Receiver) -> None:
    secret = "canary-55aa-secret"
    configure("worker")
    with collect_secrets():
        note_revealed(secret)
        with (
            pytest.raises(ValueError, match=secret),
            span("step.run", url=f"http://x/{secret}", password="pw-x"),
        ):
            raise ValueError(f"refused {secret}")
    shutdown()
    found = receiver.spans["step.run"]
    assert found.status.message == "ValueError: refused ***REDACTED***"
    assert attributes(found) == {"url": "http://x/***REDACTED***", "password": "***REDACTED***"}
    assert secret not in str(found)


def test_service_name_of_the_environment_wins(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "billing")
    configure("worker")
    with span("step.run"):
        pass
    shutdown()
    assert receiver.resource["service.name"] == "billing"


def test_spans_stay_off_when_the_sdk_is_disabled(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert configure("worker") is False


def test_spans_without_the_library_say_what_to_install(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with caplog.at_level(logging.WARNING):
        assert configure("worker") is False
    assert [(r.getMessage(), r.hint) for r in caplog.records] == [
        ("spans.unavailable", "install django-automate[otel]")
    ]
    with span("step.run") as current:
        current.set_attribute("count", 1)
