"""The webhook route: the hot path, so an async view without DRF; signature before JSON, one commit for many callers."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import orjson
from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import MethodNotAllowed, Throttled

from automate.events import new_event
from automate.webhooks import ingest, presets, signatures, sources
from automate_api import errors, throttling
from automate_api.conf import setting
from automate_api.parsing import strict_json
from automate_core import metrics
from automate_core.context import current_trace_id


@csrf_exempt
async def webhook(request: HttpRequest, source: str) -> HttpResponse:
    """Accept an event from a configured source: 202 once it is durable, the same for a repeat."""
    try:
        return await _receive(request, source)
    except Exception as error:  # noqa: BLE001 - the edge: every error becomes its documented response
        return await sync_to_async(errors.response_for)(error, request)


async def _receive(request: HttpRequest, slug: str) -> HttpResponse:
    started = time.perf_counter()
    if request.method != "POST":
        raise MethodNotAllowed(str(request.method))
    state = await throttling.ahit(scope="WEBHOOK", identity=f"source:{slug}", rate=setting("RATE_WEBHOOK"))
    request.rate_state = state  # type: ignore[attr-defined]
    if not state.allowed:
        raise Throttled(state.wait_seconds)
    source = sources.cached(slug) or await sync_to_async(sources.look_up)(slug)
    raw, now, headers = request.body, time.time(), _headers(request)
    signatures.verify(source.preset, secrets=source.keys, headers=headers, body=raw, now=now)
    incoming = presets.interpret(
        source.preset,
        source=slug,
        headers=headers,
        body_json=presets.decode_body(
            content_type=request.META.get("CONTENT_TYPE", ""), raw=raw, parse_json=_strict
        ),
        raw=raw,
        now=now,
        type_header=source.type_header,
        type_field=source.type_field,
    )
    if incoming.challenge is not None:
        return _json(200, {"challenge": incoming.challenge})
    event = new_event(
        incoming.type,
        incoming.payload,
        incoming.dedupe_key,
        source=slug,
        tenant_id=UUID(source.tenant_id),
        prior_key=incoming.prior_dedupe_key,
    )
    emitted = await ingest.current().put(event)
    metrics.ingest_seconds.observe(time.perf_counter() - started)
    return _json(
        202,
        {
            "event_id": emitted.event_id,
            "trace_id": current_trace_id(),
            "message": "Event accepted for processing",
        },
    )


def _headers(request: HttpRequest) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _strict(raw: bytes) -> Any:
    return strict_json(raw, unique_keys=True)


def _json(status: int, body: Any) -> HttpResponse:
    return HttpResponse(orjson.dumps(body), content_type="application/json", status=status)
