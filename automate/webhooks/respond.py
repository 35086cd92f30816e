"""The `respond` step: what the sender of a webhook is answered, checked before it is recorded and as it is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from automate_core.errors import PermanentError, Problem
from automate_core.steps import Effect, StepContext, StepHandler, StepResult, step_registry

ANSWER_LIMIT_BYTES = 1_048_576
"""Largest body of an answer."""
MAX_HEADERS = 20
MAX_VALUE_LENGTH = 1_000

HEADERS = frozenset(
    {
        "cache-control", "content-disposition", "content-language", "etag", "expires", "last-modified", "link",
        "location", "retry-after", "vary", "www-authenticate",
    }
)  # fmt: skip
"""Headers an answer may carry besides those that begin with `x-`."""

RESERVED = (
    "x-accel-", "x-sendfile", "x-lighttpd-", "x-litespeed-", "x-reproxy-", "x-trace-id", "x-ratelimit-",
    "x-content-type-options", "x-frame-options", "x-forwarded-", "x-real-ip", "x-http-method-override",
)  # fmt: skip
"""Beginnings of names that a proxy in front acts on, or that are this site's own."""

_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,100}")
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_WORD = r"[A-Za-z0-9!#$&^_.+-]{1,80}"
_MEDIA_TYPE = re.compile(rf'{_WORD}/{_WORD}(?: ?; ?{_WORD}=(?:{_WORD}|"{_WORD}"))*')
_WITHOUT_BODY = frozenset({204, 205, 304})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it goes on the wire; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, recorded: str) -> Answer:
        """Read the output of a `respond` step, as JSON text."""
        output = orjson.loads(recorded)
        return cls(output["status"], output["headers"], _encoded(output["body"]))


class RespondStep(StepHandler):
    """Answers the webhook that started the execution; of several, the first one does."""

    type = "respond"
    aliases = ("http_response",)
    label = "Answer the webhook"
    effect = Effect.PURE
    config_schema = {
        "type": "object",
        "properties": {
            "status": {
                "type": ["integer", "string"], "minimum": 200, "maximum": 599, "default": 200, "title": "Status",
                "description": "HTTP status of the answer.",
            },
            "headers": {
                "type": "object", "title": "Headers", "description": "Headers of the answer, such as Location.",
            },
            "body": {"title": "Body", "description": "A text is sent as it is, anything else as JSON."},
            "content_type": {
                "type": "string", "title": "Content type", "description": "Media type of the body, such as text/html.",
            },
        },
    }  # fmt: skip

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Check what is no template."""
        found = []
        status = config.get("status", 200)
        if not isinstance(status, str) and not _is_status(status):
            found.append(Problem("status", f"must be a whole number from 200 to 599, not {status!r:.100}"))
        elif status in _WITHOUT_BODY and config.get("body", "") != "":
            found.append(Problem("body", f"must be left out with status {status}"))
        content_type = config.get("content_type")
        if content_type is not None and not (_is_template(content_type) or _is_media_type(content_type)):
            found.append(Problem("content_type", "must be a media type such as text/html"))
        headers = config.get("headers", {})
        if isinstance(headers, str):
            return [*found, Problem("headers", "must be an object; its values may be templates")]
        return [*found, *_header_problems(headers, is_rendered=False)]

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Return the answer, which is sent once it is recorded."""
        body = config.get("body", "")
        status = _status(config.get("status", 200))
        headers = config.get("headers", {})
        for problem in _header_problems(headers, is_rendered=True):
            raise PermanentError(f"{problem.field} {problem.message}")
        if status in _WITHOUT_BODY and body != "":
            raise PermanentError(f"An answer with status {status} has no body; leave it out")
        if len(_encoded(body)) > ANSWER_LIMIT_BYTES:
            raise PermanentError(f"The body of an answer has at most {ANSWER_LIMIT_BYTES} bytes")
        sent = {str(name).lower(): str(value) for name, value in headers.items()}
        sent["content-type"] = _content_type(config.get("content_type"), body)
        return StepResult({"status": status, "headers": sent, "body": body})


def register_respond_step() -> None:
    """Register the step of this module."""
    if RespondStep.type not in step_registry:
        step_registry.register(RespondStep.type, RespondStep())


def _status(given: Any) -> int:
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) == 3:
        given = int(given)
    if not _is_status(given):
        raise PermanentError(f"status must be a whole number from 200 to 599, not {given!r:.100}")
    return int(given)


def _content_type(given: Any, body: Any) -> str:
    if given is None:
        return "text/plain; charset=utf-8" if isinstance(body, str) else "application/json"
    if not _is_media_type(given):
        raise PermanentError(f"content_type must be a media type such as text/html, not {given!r:.200}")
    is_text = given.lower().startswith("text/") and "charset" not in given.lower()
    return f"{given}; charset=utf-8" if is_text else str(given)


def _header_problems(headers: Any, *, is_rendered: bool) -> Iterator[Problem]:
    if not isinstance(headers, Mapping) or len(headers) > MAX_HEADERS:
        yield Problem("headers", f"must be an object of at most {MAX_HEADERS} headers")
        return
    for name, value in headers.items():
        field = f"headers.{str(name)[:100]!r}"
        if not _may_be_sent(str(name).lower()):
            yield Problem(field, f"may not be set; allowed: x-... and {', '.join(sorted(HEADERS))}")
        elif isinstance(value, bool) or not isinstance(value, str | int | float):
            yield Problem(field, "must be a text or a number")
        elif _is_template(value) and not is_rendered:
            continue
        elif len(str(value)) > MAX_VALUE_LENGTH or not _PRINTABLE.fullmatch(str(value)):
            yield Problem(field, f"must be at most {MAX_VALUE_LENGTH} printable ASCII characters on one line")


def _may_be_sent(name: str) -> bool:
    if not _NAME.fullmatch(name) or name.startswith(RESERVED):
        return False
    return name in HEADERS or name.startswith("x-")


def _is_status(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 200 <= value <= 599


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and "{{" in value


def _is_media_type(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_VALUE_LENGTH and bool(_MEDIA_TYPE.fullmatch(value))


def _encoded(body: Any) -> bytes:
    """Return a text as it is, in UTF-8, and anything else as JSON."""
    if isinstance(body, str):
        return body.encode(errors="replace")
    try:
        return orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise PermanentError(f"The body of an answer must be a text or JSON: {error}") from error
