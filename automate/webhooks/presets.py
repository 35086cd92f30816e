"""What a delivery means: how each sender's webhooks become an event type, a payload and a dedupe key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from automate_core.errors import AutomateError, ErrorCodes, ValidationFailed

TEXT_LIMIT = 255
"""Longest event type and delivery id, in characters."""

DEDUPE_SECONDS = 300
"""How long a delivery without an id of its own is recognised by its content."""

FORM_FIELD_LIMIT = 1000
"""Most fields read from a form-encoded body."""

_FORM = "application/x-www-form-urlencoded"
_CHALLENGE_LIMIT = 1024

Headers = Mapping[str, str]
Read = Callable[[Headers, Mapping[str, Any]], object]


class UnknownPreset(ValidationFailed):
    """There is no such webhook preset."""


class MalformedForm(AutomateError):
    """The form-encoded body cannot be read; send UTF-8 name=value pairs joined by '&'."""

    code = ErrorCodes.INVALID_REQUEST


@dataclass(frozen=True, slots=True)
class Incoming:
    """One delivery, understood.

    Attributes:
        type: event type, 1 to 255 printable characters.
        payload: the event's payload, always an object.
        dedupe_key: the sender's delivery id; without one, a digest of the body with the number of the
            five-minute bucket it came in. Unique within the source.
        prior_dedupe_key: only without a delivery id: the same digest in the bucket before. An event stored
            under it less than DEDUPE_SECONDS ago is the same delivery.
        challenge: the text a Slack `url_verification` wants back, as `{"challenge": ...}` with status 200;
            such a delivery asks whether the address is ours and is no event.
    """

    type: str
    payload: dict[str, Any]
    dedupe_key: str
    prior_dedupe_key: str | None
    challenge: str | None


@dataclass(frozen=True, slots=True)
class Preset:
    """How one sender says what happened and which delivery this is."""

    name: str
    event_type: Read
    delivery_id: Read
    challenge: Read = lambda headers, body: None


def interpret(
    preset: str,
    *,
    source: str,
    headers: Headers,
    body_json: object,
    raw: bytes,
    now: float,
    type_header: str | None = None,
    type_field: str | None = None,
) -> Incoming:
    """Read a delivery whose signature was accepted; raise UnknownPreset for a preset not in PRESETS.

    A body `{"event_type": ..., "data": ...}` names its own type and its payload is `data`, whatever the
    preset. Any other body is the payload as a whole, and the type is the first usable of: the source's own
    header, its own field, what the preset reads, `webhook.<source>`. A payload that is not an object
    becomes `{"data": <payload>}`.

    The delivery id is not part of what `generic` and `github` sign: it recognises honest repeats, it does
    not stop a replay by someone who captured a request.

    Args:
        preset: name in PRESETS.
        source: the webhook source's slug.
        headers: the request's headers by lower-case name.
        body_json: the body as `decode_body` returned it.
        raw: the body as received.
        now: seconds since the epoch.
        type_header: header the source is configured to take the type from, in any case.
        type_field: field the source is configured to take the type from, dotted for nested objects.
    """
    reader = PRESETS.get(preset)
    if reader is None:
        raise UnknownPreset(f"Unknown webhook preset {preset!r}; known: {', '.join(PRESETS)}")
    body: dict[str, Any] = body_json if isinstance(body_json, dict) else {"data": body_json}
    own_type = _text(body.get("event_type")) if "data" in body else None
    if own_type:
        event_type, payload = own_type, _as_object(body["data"])
    else:
        event_type, payload = _event_type(reader, source, headers, body, type_header, type_field), body
    dedupe_key, prior = _dedupe_keys(_text(reader.delivery_id(headers, body)), raw, now)
    challenge = _text(reader.challenge(headers, body), _CHALLENGE_LIMIT)
    return Incoming(event_type, payload, dedupe_key, prior, challenge)


def decode_body(*, content_type: str, raw: bytes, parse_json: Callable[[bytes], object]) -> object:
    """Return the body's value: JSON, or for a form the JSON in its field `payload`, or the form's fields.

    Slack's interactions and GitHub's form-encoded deliveries send `payload=<JSON>`; Slack's slash commands
    send plain fields, which become an object of strings, a repeated field a list of strings. A body that
    starts with `{` is JSON even when labelled a form, as `curl -d` labels it: a form would have it escaped.

    Args:
        content_type: value of the header, with or without parameters; anything but a form is read as JSON.
        raw: the body as received.
        parse_json: the strict JSON parser; what it raises passes through.

    Raises:
        MalformedForm: a form that is not UTF-8, holds NUL or has more than FORM_FIELD_LIMIT fields.
    """
    if content_type.partition(";")[0].strip().lower() != _FORM or raw.lstrip()[:1] == b"{":
        return parse_json(raw)
    fields = _form_fields(raw)
    packed = fields.get("payload")
    if len(fields) == 1 and isinstance(packed, str):
        return parse_json(packed.encode())
    return fields


def _generic_id(headers: Headers, body: Mapping[str, Any]) -> object:
    return headers.get("x-webhook-id") or headers.get("idempotency-key") or headers.get("x-request-id")


def _slack_type(headers: Headers, body: Mapping[str, Any]) -> object:
    if body.get("type") == "event_callback":
        return _dig(body, ("event", "type"))
    return body.get("type") or ("slash_command" if "command" in body else None)


def _slack_challenge(headers: Headers, body: Mapping[str, Any]) -> object:
    return body.get("challenge") if body.get("type") == "url_verification" else None


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("generic", lambda headers, body: body.get("event_type"), _generic_id),
        Preset(
            "github",
            lambda headers, body: headers.get("x-github-event"),
            lambda headers, body: headers.get("x-github-delivery"),
        ),
        Preset("stripe", lambda headers, body: body.get("type"), lambda headers, body: body.get("id")),
        Preset("slack", _slack_type, lambda headers, body: body.get("event_id"), _slack_challenge),
        Preset(
            "standard-webhooks",
            lambda headers, body: body.get("type"),
            lambda headers, body: headers.get("webhook-id"),
        ),
    )
}
"""The senders we know, by name.

github: type is X-GitHub-Event (`issues`; the action stays in the payload), id X-GitHub-Delivery.
https://docs.github.com/en/webhooks/webhook-events-and-payloads
stripe: fields `type` and `id`. https://docs.stripe.com/api/events/object
slack: `event.type` of an event_callback, else `type`, or `slash_command` for a slash command; id `event_id`.
https://docs.slack.dev/apis/events-api
standard-webhooks: field `type`, header `webhook-id`. https://www.standardwebhooks.com
generic: field `event_type`; header X-Webhook-Id, Idempotency-Key or X-Request-ID.
"""


def _event_type(
    preset: Preset,
    source: str,
    headers: Headers,
    body: Mapping[str, Any],
    type_header: str | None,
    type_field: str | None,
) -> str:
    if type_header and (named := _text(headers.get(type_header.lower()))):
        return named
    if type_field and (named := _text(_dig(body, _path(type_field)))):
        return named
    return _text(preset.event_type(headers, body)) or f"webhook.{source}"


def _dedupe_keys(delivery_id: str | None, raw: bytes, now: float) -> tuple[str, str | None]:
    # The body's digest stands for the signature: a signature is a function of the body, and unlike the header
    # the digest has one spelling and survives a secret rotation.
    if delivery_id:
        return delivery_id, None
    digest = hashlib.sha256(raw).hexdigest()
    bucket = int(now // DEDUPE_SECONDS)
    return f"sha256:{digest}:{bucket}", f"sha256:{digest}:{bucket - 1}"


def _text(value: object, limit: int = TEXT_LIMIT) -> str | None:
    if not isinstance(value, str):
        return None
    text = value.strip()
    return text if 0 < len(text) <= limit and text.isprintable() else None


def _as_object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"data": value}


@lru_cache(maxsize=1024)
def _path(field: str) -> tuple[str, ...]:
    return tuple(field.split("."))


def _dig(value: object, path: tuple[str, ...]) -> object:
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _form_fields(raw: bytes) -> dict[str, str | list[str]]:
    try:
        pairs = parse_qsl(
            raw.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELD_LIMIT
        )
    except ValueError as error:
        raise MalformedForm from error
    fields: dict[str, str | list[str]] = {}
    for name, value in pairs:
        if "\0" in name or "\0" in value:
            raise MalformedForm
        earlier = fields.get(name)
        if earlier is None:
            fields[name] = value
        elif isinstance(earlier, list):
            earlier.append(value)
        else:
            fields[name] = [earlier, value]
    return fields
