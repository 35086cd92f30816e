"""The `http` connector: one request through the guarded client."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urljoin

import orjson

from automate_connectors.base import ActionSpec, Connector
from automate_connectors.builtin.answers import raise_for_status
from automate_core.errors import PermanentError
from automate_core.http import Response, UnreadableResponse, guard, request
from automate_core.ids import uuid7
from automate_core.steps import Effect

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
"""Methods that may be repeated without harm (RFC 9110, section 9.2.2)."""

DEFAULT_SECONDS = 30.0
LONGEST_SECONDS = 300.0

_TEXT_TYPES = ("text/", "application/xml", "application/javascript", "application/x-www-form-urlencoded")
_SCALAR = {"type": ["string", "number", "boolean"]}

INPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "method": {
            "type": "string", "default": "GET", "minLength": 1, "maxLength": 20, "title": "Method",
            "description": "Such as GET or POST.",
        },
        "url": {
            "type": "string", "minLength": 1, "maxLength": guard.URL_LIMIT, "title": "URL",
            "description": "Where to send the request; with a connection, a path below its base URL.",
        },
        "headers": {
            "type": "object", "additionalProperties": _SCALAR, "title": "Headers",
            "description": "Headers of the request; keep credentials in a connection.",
        },
        "query": {
            "type": "object", "title": "Query", "description": "Parameters after the question mark.",
            "additionalProperties": {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]},
        },
        "json": {"title": "JSON body", "description": "Sent as JSON; instead of form and body."},
        "form": {
            "type": "object", "additionalProperties": _SCALAR, "title": "Form body",
            "description": "Sent as an HTML form is; instead of json and body.",
        },
        "body": {
            "type": "string", "title": "Text body", "description": "Sent as it is; instead of json and form.",
        },
        "timeout_seconds": {
            "type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_SECONDS, "title": "Timeout",
            "description": "Longest wait for the answer, in seconds; 30 when absent.",
        },
        "idempotency_header": {
            "type": "string", "minLength": 1, "maxLength": 100, "title": "Idempotency header",
            "description": "Header the other side knows a repeated request by; the request may then be repeated.",
        },
        "accept_status": {
            "type": "array", "title": "Accepted statuses",
            "description": "Statuses of 400 and more that are no error.",
            "items": {"type": "integer", "minimum": 100, "maximum": 599},
        },
        "follow_redirects": {
            "type": "boolean", "default": True, "title": "Follow redirects",
            "description": "Go where a redirect leads.",
        },
    },
    "required": ["url"],
    "additionalProperties": False,
    "allOf": [
        {"not": {"required": ["json", "form"]}},
        {"not": {"required": ["json", "body"]}},
        {"not": {"required": ["form", "body"]}},
    ],
}  # fmt: skip
OUTPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "status": {"type": "integer"},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        "body": {},
        "encoding": {"const": "base64"},
    },
    "required": ["status", "headers", "body"],
}


def request_effect(input_data: Mapping[str, Any]) -> Effect:
    """Tell whether a request may be repeated: by its method, or because a header carries the step's key."""
    method = str(input_data.get("method") or "GET").upper()
    if input_data.get("idempotency_header") or method in IDEMPOTENT_METHODS:
        return Effect.IDEMPOTENT
    return Effect.AT_MOST_ONCE


class HttpConnector(Connector):
    """Any HTTP API. A connection adds a base URL, and credentials that are sent nowhere else."""

    key = "http"
    display_name = "HTTP"
    connection_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "base_url": {"type": "string", "minLength": 1},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "bearer_token": {"type": "string"},
            "username": {"type": "string"},
            "password": {"type": "string"},
        },
        "required": ["base_url"],
        "additionalProperties": False,
    }

    @classmethod
    def actions(cls) -> list[ActionSpec]:
        """Return the one action: send a request."""
        return [
            ActionSpec(
                name="request",
                label="HTTP request",
                description="Send a request; the parsed answer is the step's output.",
                input_schema=INPUT_SCHEMA,
                output_schema=OUTPUT_SCHEMA,
                timeout_seconds=LONGEST_SECONDS,
                effect=request_effect,
            )
        ]

    def execute_action(self, action: str, input_data: dict[str, Any]) -> dict[str, Any]:
        """Send the request described by `input_data`; a status of 400 or more is an error unless accepted."""
        if action != "request":
            raise PermanentError(f"The http connector has no action {action!r}; use 'request'")
        url = self._url(input_data["url"])
        credentials = self._credentials()
        headers = {name: _header_text(value) for name, value in input_data.get("headers", {}).items()}
        taken = {name.lower() for name in credentials}
        headers = {name: value for name, value in headers.items() if name.lower() not in taken} | credentials
        if name := input_data.get("idempotency_header"):
            headers = {key: value for key, value in headers.items() if key.lower() != name.lower()}
            headers[name] = self.ctx.idempotency_key or str(uuid7())
        content = input_data.get("body")
        if "json" in input_data:
            content = orjson.dumps(input_data["json"])
            if not any(key.lower() == "content-type" for key in headers):
                headers["Content-Type"] = "application/json"
        response = request(
            str(input_data.get("method") or "GET"),
            url,
            headers=headers,
            params=input_data.get("query"),
            data=input_data.get("form"),
            content=content,
            timeout_seconds=min(input_data.get("timeout_seconds", DEFAULT_SECONDS), self.ctx.timeout_seconds),
            follow_redirects=input_data.get("follow_redirects", True),
            secret_headers=credentials,
        )
        raise_for_status(response, accepted=input_data.get("accept_status", ()))
        return {"status": response.status, "headers": response.headers, **_body(response)}

    def _url(self, url: str) -> str:
        base = str(self.config.get("base_url") or "")
        if not base:
            return url
        joined = urljoin(base.rstrip("/") + "/", url.lstrip("/") if "://" not in url else url)
        if _origin(joined) != _origin(base):
            raise PermanentError(
                "The URL leaves the connection's base_url; use a path, or another connection"
            )
        return joined

    def _credentials(self) -> dict[str, str]:
        headers = dict(self.config.get("headers", {}))
        if token := self.config.get("bearer_token"):
            headers["Authorization"] = f"Bearer {token}"
        elif username := self.config.get("username"):
            pair = f"{username}:{self.config.get('password', '')}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode('ascii')}"
        return headers


def _origin(url: str) -> tuple[str, str, int]:
    target = guard.parse(url)
    return target.scheme, guard.host_of(target), guard.port_of(target)


def _header_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _body(response: Response) -> dict[str, Any]:
    kind = response.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind.endswith(("/json", "+json")):
        try:
            return {"body": response.json() if response.content.strip() else None}
        except UnreadableResponse:
            return {"body": response.text()}
    if kind.startswith(_TEXT_TYPES) or kind.endswith("+xml"):
        return {"body": response.text()}
    try:
        text = response.content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" not in text:
        return {"body": text}
    return {"body": base64.b64encode(response.content).decode("ascii"), "encoding": "base64"}
