"""JSON in: strict, bounded, and fast (orjson)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import IO, Any

import orjson
from django.http.request import RawPostDataException
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.utils.mediatypes import _MediaType

from automate_api.errors import MalformedBody, PayloadTooLarge
from automate_core import conf

_KEY_TOKEN = re.compile(rb'"[ \t\r\n]*:')


def strict_json(data: bytes, *, unique_keys: bool) -> Any:
    """Parse a JSON document (RFC 8259) and refuse what programs read differently.

    Refused: NaN and infinities, numbers that overflow a double, lone surrogates, NUL, a byte order mark, and
    nesting deeper than `AUTOMATE["JSON_DEPTH_LIMIT"]`.

    Args:
        data: the raw body.
        unique_keys: also refuse an object that names a key twice.

    Raises:
        MalformedBody: the document is not acceptable; the message says where or why.
    """
    limit = conf.get().JSON_DEPTH_LIMIT
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if error.msg.startswith("depth limit"):
            raise MalformedBody(f"The body is nested deeper than {limit} levels") from error
        raise MalformedBody(f"The body is not valid JSON: {error}") from error
    if data.count(b"{") + data.count(b"[") > limit:
        _refuse_deeper_than(limit, value)
    if b"\\u0000" in data and _has_nul(value):
        raise MalformedBody("The body contains a NUL character (\\u0000), which cannot be stored")
    if unique_keys:
        _refuse_duplicate_keys(data, value)
    return value


class StrictJSONParser(BaseParser):
    """Reads a JSON object; a view with `unique_keys = True` refuses duplicate keys."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the parsed body; an empty one is an empty object.

        Raises:
            MalformedBody: not acceptable JSON, or not an object.
            PayloadTooLarge: more than `AUTOMATE["BODY_LIMIT_BYTES"]`.
            UnsupportedMediaType: a charset other than UTF-8.
        """
        charset = _MediaType(media_type or "").params.get("charset", "utf-8")
        if str(charset).strip('"').lower() not in ("utf-8", "utf8", "us-ascii"):
            raise UnsupportedMediaType(media_type or "", "JSON bodies are UTF-8; send no other charset")
        limit = conf.get().BODY_LIMIT_BYTES
        try:
            data = stream.read(limit + 1)
        except (OSError, RawPostDataException) as error:
            raise MalformedBody("The body could not be read to its end") from error
        if len(data) > limit:
            raise PayloadTooLarge(f"The body is larger than {limit} bytes")
        if not data.strip():
            return {}
        view = (parser_context or {}).get("view")
        value = strict_json(data, unique_keys=getattr(view, "unique_keys", False))
        if not isinstance(value, dict):
            raise MalformedBody("The body must be a JSON object")
        return value


class NoBodyParser(BaseParser):
    """Reads a form without fields, which some clients send where they mean no body."""

    media_type = "multipart/form-data"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return an empty object; raises UnsupportedMediaType when the form has fields."""
        boundary = str(_MediaType(media_type or "").params.get("boundary", "")).encode()
        try:
            data = stream.read(len(boundary) + 10)
        except (OSError, RawPostDataException) as error:
            raise MalformedBody("The body could not be read to its end") from error
        if data.strip() != b"--" + boundary + b"--":
            raise UnsupportedMediaType(media_type or "", "Send a JSON body, or none")
        return {}


class JSONNegotiation(BaseContentNegotiation):
    """The API speaks JSON whatever Accept says: a refusal could not be read either."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """Return the parser of the body's media type, None when there is none."""
        sent = _MediaType(request.content_type or "")
        name = f"{sent.main_type}/{sent.sub_type}".lower()
        return next((parser for parser in parsers if parser.media_type == name), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """Return the first renderer."""
        return renderers[0], renderers[0].media_type


def _refuse_deeper_than(limit: int, value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    depth = 0
    while level:
        depth += 1
        if depth > limit:
            raise MalformedBody(f"The body is nested deeper than {limit} levels")
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]


def _has_nul(value: Any) -> bool:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str) and "\x00" in item:
            return True
        if isinstance(item, dict):
            pending.extend(item.keys())
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
    return False


def _refuse_duplicate_keys(data: bytes, value: Any) -> None:
    """Compare the keys parsed with the key tokens in the text; only a difference needs the slow parser.

    A `":` inside a string makes the text's count too high, never too low, so equal counts prove uniqueness.
    """
    if _key_count(value) != len(_KEY_TOKEN.findall(data)):
        json.loads(data, object_pairs_hook=_unique)


def _key_count(value: Any) -> int:
    count = 0
    pending = [value]
    while pending:
        item = pending.pop()
        if type(item) is dict:
            count += len(item)
            pending.extend(item.values())
        elif type(item) is list:
            pending.extend(item)
    return count


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedBody(f"The body names the key {twice!r} twice in one object")
    return found
