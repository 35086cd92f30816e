"""The webhook route, the hot path: signature before JSON, no DRF, one commit for many callers.

`receive` is all of it, free of any framework; a Django view and an ASGI application put it on the wire.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import orjson
from asgiref.sync import sync_to_async
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import MethodNotAllowed, Throttled

from automate.emission import Emitted, NewEvent, new_event
from automate.webhooks import answers, ingest, ingest_threaded, presets, signatures, sources
from automate.webhooks.signatures import SignatureRefused
from automate_api import errors, throttling
from automate_api.conf import setting
from automate_api.parsing import strict_json
from automate_core import conf, metrics
from automate_core.context import accepted_trace_id, current_trace_id, trace_scope

logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
App = Callable[[Any, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

ANSWER_HEADER = "Automate-Answer"
"""Says of a delivery that may wait: `respond` for what a workflow said, else why it is answered without."""

_FIXED_HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
# What a workflow says may repeat what a stranger sent; no browser shall run it in the name of this site.
_ANSWER_HEADERS = {"Content-Security-Policy": "sandbox"}
_CHALLENGE = 'Signature realm="webhooks"'
_WITHOUT_LENGTH = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request to the route; header names are lower case."""

    source: str
    path: str
    method: str
    headers: Mapping[str, str]
    body: bytes
    peer: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a delivery."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def receive(delivery: Delivery, *, in_thread: bool = False) -> Reply:
    """Store the event of a delivery and answer 202 once it is durable, the same for a repeat; never raises.

    Where the source says so, wait until its time is over for what a workflow responds, and answer with that. A server
    whose event loops end with their request says `in_thread`: nothing is then kept with the loop.
    """
    headers = dict(_FIXED_HEADERS)
    try:
        source = await _verified(delivery, headers)
        await _count(f"source:{delivery.source}", headers)
        status, content = await _store(
            delivery, source, sync_to_async(ingest_threaded.put) if in_thread else _put
        )
        if source.answer_seconds is not None and status == 202:
            accepted = Reply(status, headers, orjson.dumps(content))
            return await _answered(accepted, content["event_id"], source.tenant_id, source.answer_seconds)
    except Exception as error:  # noqa: BLE001 - the edge: every error becomes its documented response
        failure = errors.answer_to(error, delivery.path)
        headers.update(failure.headers)
        status, content = failure.status, failure.body(delivery.path)
    return Reply(status, headers, orjson.dumps(content))


@csrf_exempt
async def webhook(request: HttpRequest, source: str) -> HttpResponse:
    """Accept an event from a configured source."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    peer = str(request.META.get("REMOTE_ADDR", ""))
    delivery = Delivery(source, request.path_info, str(request.method), headers, request.body, peer)
    reply = await receive(delivery, in_thread=isinstance(request, WSGIRequest))
    return HttpResponse(reply.body, status=reply.status, headers=dict(reply.headers))


def serve_webhooks(app: App, *, prefix: str = "/api/automate/webhooks/") -> App:
    """Wrap an ASGI application: answer the webhook route here and leave everything else to `app`.

    Django's handler costs several thread hops a request; this route needs none of what they are for. A host
    that does not wrap its application gets the same answers from the Django view, more slowly.
    """
    route = re.compile(re.escape(prefix) + r"([^/]+)/")

    async def served(scope: Any, receive_message: Any, send: Any) -> None:
        match = route.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if match is None:
            await app(scope, receive_message, send)
            return
        headers = _joined(scope["headers"])
        trace_id = accepted_trace_id(headers.get("x-trace-id"), headers.get("traceparent"))
        with trace_scope(trace_id):
            body = await _read(receive_message, conf.get().BODY_LIMIT_BYTES)
            if body is None:
                return
            peer = (scope.get("client") or ("",))[0]
            reply = await receive(Delivery(match[1], scope["path"], scope["method"], headers, body, peer))
        out = [(name.lower().encode(), value.encode("latin-1")) for name, value in reply.headers.items()]
        out.append((b"x-trace-id", trace_id.encode()))
        if reply.status not in _WITHOUT_LENGTH:
            out.append((b"content-length", b"%d" % len(reply.body)))
        await send({"type": "http.response.start", "status": reply.status, "headers": out})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})

    return served


def _joined(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by name, one sent twice joined by a comma as Django does (RFC 9110, section 5.3)."""
    found: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


async def _answered(accepted: Reply, event_id: str, tenant_id: str, seconds: float) -> Reply:
    """Return what a workflow responds; the reply of an accepted delivery when none does in time."""
    answer = await answers.current().wait(event_id, tenant_id=tenant_id, seconds=seconds)
    if isinstance(answer, answers.Silence):
        return replace(accepted, headers={**accepted.headers, ANSWER_HEADER: answer.value})
    ours = {**accepted.headers, **_ANSWER_HEADERS, ANSWER_HEADER: "respond"}
    kept = {name: value for name, value in ours.items() if name.lower() not in answer.headers}
    return Reply(answer.status, {**kept, **answer.headers}, answer.body)


async def _read(receive_message: Any, limit: int) -> bytes | None:
    """Read the body; None when the client left, or the body is past a limit that others answer for."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive_message()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            return None
        if not message.get("more_body"):
            return b"".join(chunks)


async def _count(identity: str, headers: dict[str, str]) -> None:
    state = await throttling.ahit(scope="WEBHOOK", identity=identity, rate=setting("RATE_WEBHOOK"))
    headers.update(state.headers())
    if not state.allowed:
        raise Throttled(state.wait_seconds)


async def _verified(delivery: Delivery, headers: dict[str, str]) -> sources.Source:
    """Return the source of a signed delivery; what is not signed counts against its address, not the source."""
    address = throttling.address_behind(delivery.peer, delivery.headers.get("x-forwarded-for", ""))
    try:
        errors.refuse_encoding(delivery.headers.get("content-encoding", ""))
    except errors.EncodedBody:
        await _count(f"ip:{address}", headers)
        raise
    if "\x00" in delivery.source:
        await _count(f"ip:{address}", headers)
        raise errors.MalformedBody("The URL contains a NUL character")
    if delivery.method != "POST":
        await _count(f"ip:{address}", headers)
        headers["Allow"] = "POST"
        raise MethodNotAllowed(delivery.method, f"{delivery.method} is not answered here; use POST")
    source = sources.cached(delivery.source) or await sync_to_async(sources.look_up)(delivery.source)
    try:
        signatures.verify(
            source.preset,
            secrets=source.keys,
            headers=delivery.headers,
            body=delivery.body,
            now=time.time(),
        )
    except SignatureRefused as refused:
        logger.warning("webhook.refused", extra={"source": delivery.source, "cause": refused.cause})
        headers["WWW-Authenticate"] = _CHALLENGE
        await _count(f"ip:{address}", headers)
        raise
    return source


async def _put(event: NewEvent) -> Emitted:
    return await ingest.current().put(event)


async def _store(
    delivery: Delivery, source: sources.Source, put: Callable[[NewEvent], Awaitable[Emitted]]
) -> tuple[int, dict[str, Any]]:
    started, now = time.perf_counter(), time.time()
    document = presets.decode_body(
        content_type=delivery.headers.get("content-type", ""), raw=delivery.body, parse_json=_strict
    )
    incoming = presets.interpret(
        source.preset,
        source=source.slug,
        headers=delivery.headers,
        body_json=document,
        raw=delivery.body,
        now=now,
        type_header=source.type_header,
        type_field=source.type_field,
    )
    if incoming.challenge is not None:
        return 200, {"challenge": incoming.challenge}
    event = new_event(
        incoming.type,
        incoming.payload,
        incoming.dedupe_key,
        source=source.slug,
        tenant_id=UUID(source.tenant_id),
        prior_key=incoming.prior_dedupe_key,
    )
    emitted = await put(event)
    if emitted.created:
        metrics.events_ingested.labels(source_kind="webhook").inc()
    metrics.ingest_seconds.observe(time.perf_counter() - started)
    return 202, {
        "event_id": emitted.event_id,
        "trace_id": current_trace_id(),
        "message": "Event accepted for processing",
    }


def _strict(raw: bytes) -> Any:
    return strict_json(raw, unique_keys=True)
