"""OpenTelemetry spans: real ones once `configure` found an endpoint, free ones otherwise."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Protocol

from automate_core.context import trace_in_context
from automate_core.redaction import redact, redact_text
from automate_core.revealed import revealed_secrets

logger = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_W3C = re.compile(r"(?!0{32})[0-9a-f]{32}")


class Span(Protocol):
    """What a `with span(...) as current` block may do with its span."""

    def set_attribute(self, key: str, value: Any) -> None:
        """Add one fact to the span: a text, number, boolean or a list of one of these."""


class _NoSpan:
    """Stands in when spans are off; one instance serves every call."""

    __slots__ = ()

    def __enter__(self) -> Span:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def set_attribute(self, key: str, value: Any) -> None:
        """Do nothing."""


_NO_SPAN = _NoSpan()
_lock = threading.Lock()
_tracer: Any = None
_provider: Any = None


def span(name: str, **attributes: Any) -> AbstractContextManager[Span]:
    """Measure the block as a span; without `configure` and an endpoint this does nothing.

    An exception that leaves the block marks the span as failed, with its type and redacted message.

    Args:
        name: dotted, like a log event (`outbox.claim`).
        attributes: facts about the block; redacted; None is left out.
    """
    if _tracer is None:
        return _NO_SPAN
    return _recorded(name, attributes)


def configure(service_name: str) -> bool:
    """Turn spans on for this process if the environment names an OTLP endpoint; tell whether they are on.

    Standard variables apply (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`,
    `OTEL_SDK_DISABLED`, ...). Further calls change nothing. Call it in each process, after it was forked.

    Args:
        service_name: `service.name` of the spans unless `OTEL_SERVICE_NAME` says otherwise.
    """
    global _tracer, _provider
    with _lock:
        if _tracer is not None:
            return True
        if not any(os.environ.get(name) for name in ENDPOINTS):
            return False
        if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
            return False
        try:
            _provider = _new_provider(service_name)
        except ImportError:
            logger.warning("spans.unavailable", extra={"hint": "install django-automate[otel]"})
            return False
        _tracer = _provider.get_tracer("automate")
        return True


def shutdown() -> None:
    """Send what is buffered and turn spans off; `configure` may turn them on again."""
    global _tracer, _provider
    with _lock:
        provider, _tracer, _provider = _provider, None, None
    if provider is not None:
        provider.shutdown()


@contextmanager
def _recorded(name: str, attributes: dict[str, Any]) -> Iterator[Span]:
    tracer = _tracer
    if tracer is None:
        yield _NO_SPAN
        return
    from opentelemetry.trace import StatusCode

    with tracer.start_as_current_span(
        name, attributes=_plain(attributes), record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except BaseException as error:
            message = redact_text(f"{type(error).__name__}: {error}", revealed_secrets())
            current.set_status(StatusCode.ERROR, message)
            raise


def _plain(attributes: dict[str, Any]) -> dict[str, Any]:
    plain = {
        key: value if isinstance(value, bool | int | float | str) else str(value)
        for key, value in attributes.items()
        if value is not None
    }
    trace_id = trace_in_context()
    if trace_id:
        plain["automate.trace_id"] = trace_id
    return dict(redact(plain, revealed_secrets()))


def _new_provider(service_name: str) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class TraceIds(RandomIdGenerator):
        """Gives a root span the trace id in context, so that logs and spans are found by one id."""

        def generate_trace_id(self) -> int:
            trace_id = trace_in_context() or ""
            return int(trace_id, 16) if _W3C.fullmatch(trace_id) else super().generate_trace_id()

    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": service_name}
    provider = TracerProvider(resource=Resource.create(named), id_generator=TraceIds())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
