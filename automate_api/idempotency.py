"""Idempotency keys: a mutation repeated with its key is answered from the first time, byte for byte."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework.response import Response

from automate_api.models import IdempotencyRecord
from automate_api.principal import Principal
from automate_core.errors import Conflict, Problem, ValidationFailed
from automate_core.secrets.cipher import NONCE_BYTES, Place, Sealed, seal, unseal

KEPT = timedelta(hours=24)
HEADERS = ("Idempotency-Key", "X-Request-ID")
REPLAYED_HEADER = "Idempotent-Replayed"
_MUTATIONS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_RETRY_AFTER_SECONDS = 1
_MARK = "automate_is_mutation"
_SEALED = b"\x00sealed:"


class InFlight(Conflict):
    """A request with this idempotency key is still being worked on; try again shortly."""


class ConfidentialResponse(Response):
    """A response that shows a secret: what is kept of it for a repeat is encrypted."""


def mark_as_mutation(request: HttpRequest) -> None:
    """Say of a request with a safe method that it changes something all the same, so that its key counts."""
    setattr(request, _MARK, True)


def key_of(request: HttpRequest) -> str | None:
    """Return the request's idempotency key, None when it has none or changes nothing (see `mark_as_mutation`).

    Raises:
        ValidationFailed: the key is malformed, or the two headers name different ones.
    """
    if request.method not in _MUTATIONS and not hasattr(request, _MARK):
        return None
    given = {request.headers[name] for name in HEADERS if name in request.headers}
    if not given:
        return None
    if len(given) > 1:
        raise _refused(request, "Idempotency-Key and X-Request-ID differ; send one")
    (key,) = given
    if not _KEY.fullmatch(key):
        raise _refused(request, "An idempotency key is 1 to 255 visible ASCII characters")
    return key


def run(
    request: HttpRequest,
    principal: Principal | None,
    respond: Callable[[], HttpResponseBase],
    *,
    held_seconds: float | None = None,
) -> HttpResponseBase:
    """Answer a request: from the record of its key if there is one, else by `respond`, recording a success.

    The record commits in the transaction of the mutation, so either both exist or neither does. Two requests
    at once are told apart by a lock on the key that ends with the transaction.

    Args:
        request: the raw request; its body is read here.
        principal: the caller; without one nothing is recorded.
        respond: makes the change and returns the rendered response.
        held_seconds: how long, at most, until `amend` replaces the response recorded here, which is what a repeat
            gets if this process is lost before.

    Raises:
        InFlight: another request with the key has not committed yet, or is held.
        ValidationFailed: the key was used with another body.
    """
    key = key_of(request) if principal is not None else None
    if key is None or principal is None:
        return respond()
    digest = _digest_of(request, principal, key)
    query = request.META.get("QUERY_STRING", "").encode()
    fingerprint = hashlib.sha256(query + b"\n" + request.body).hexdigest()
    with transaction.atomic():
        if not _locked(digest):
            raise InFlight(retry_after_seconds=_RETRY_AFTER_SECONDS)
        found = IdempotencyRecord.objects.filter(digest=digest).first()
        if found is not None and found.created_at > timezone.now() - KEPT:
            if found.fingerprint != fingerprint:
                raise _refused(
                    request,
                    "This idempotency key was used with another body; use a new key for a new request",
                )
            return _replayed(found, _place(principal, digest))
        if found is not None:
            found.delete()
        response = respond()
        if response.status_code >= 400:
            transaction.set_rollback(True)
        elif isinstance(response, HttpResponse):
            until = None if held_seconds is None else timezone.now() + timedelta(seconds=held_seconds)
            _record(request, response, digest, fingerprint, _place(principal, digest), until)
    return response


def amend(request: HttpRequest, principal: Principal, response: HttpResponse) -> None:
    """Keep `response` in place of the provisional one that `run` recorded for the request's key, if it has one."""
    key = key_of(request)
    if key is not None:
        IdempotencyRecord.objects.filter(digest=_digest_of(request, principal, key)).update(
            status=response.status_code,
            content_type=response.headers.get("Content-Type", ""),
            body=response.content,
            held_until=None,
        )


def forget(request: HttpRequest, principal: Principal) -> None:
    """Drop the provisional response that `run` recorded for the request's key: nothing was done after all."""
    key = key_of(request)
    if key is not None:
        IdempotencyRecord.objects.filter(digest=_digest_of(request, principal, key)).delete()


def prune(*, now: datetime) -> int:
    """Delete the records older than 24 hours in every tenant; return how many."""
    count, _ = IdempotencyRecord.all_tenants.filter(created_at__lt=now - KEPT).delete()
    return count


def _record(
    request: HttpRequest,
    response: HttpResponse,
    digest: str,
    fingerprint: str,
    place: Place,
    held_until: datetime | None,
) -> None:
    body = response.content
    if isinstance(response, ConfidentialResponse):
        sealed = seal(body.decode(), place)
        body = _SEALED + sealed.key_id.encode() + b":" + sealed.nonce + sealed.ciphertext
    IdempotencyRecord.objects.create(
        digest=digest,
        fingerprint=fingerprint,
        method=request.method or "",
        route=request.path,
        status=response.status_code,
        content_type=response.headers.get("Content-Type", ""),
        body=body,
        held_until=held_until,
    )


def _replayed(found: IdempotencyRecord, place: Place) -> HttpResponse:
    if found.held_until is not None and found.held_until > timezone.now():
        raise InFlight(retry_after_seconds=_RETRY_AFTER_SECONDS)
    body = bytes(found.body)
    if body.startswith(_SEALED):
        key_id, _, rest = body.removeprefix(_SEALED).partition(b":")
        body = unseal(Sealed(key_id.decode(), rest[:NONCE_BYTES], rest[NONCE_BYTES:]), place).encode()
    response = HttpResponse(body, status=found.status, content_type=found.content_type or None)
    if not found.content_type:
        del response.headers["Content-Type"]
    response.headers[REPLAYED_HEADER] = "true"
    return response


def _place(principal: Principal, digest: str) -> Place:
    return Place(principal.tenant_id, f"idempotency:{digest}", 1)


def _locked(digest: str) -> bool:
    number = int.from_bytes(bytes.fromhex(digest[:16]), signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
        return bool(cursor.fetchone()[0])


def _digest_of(request: HttpRequest, principal: Principal, key: str) -> str:
    return _digest(str(principal.tenant_id), principal.id, request.method or "", request.path, key)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()


def _refused(request: HttpRequest, message: str) -> ValidationFailed:
    sent = next(name for name in HEADERS if name in request.headers)
    return ValidationFailed(message, details=[Problem(sent, message)])
