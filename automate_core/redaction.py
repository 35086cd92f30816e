"""The one redaction path: what is stored or logged goes through here first, and comes out fit for `jsonb`.

Three things are hidden: values under sensitive keys, known secret values in every encoding they may have,
and secrets that show themselves (Authorization values, URLs with a password, keys in queries, JSON text).
"""

from __future__ import annotations

import base64
import html
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

from automate_core.sensitive import REDACTED, is_reference, names_secret, without_evident

CYCLE = "***CYCLE***"
TOO_DEEP = "***TOO DEEP***"
MAX_DEPTH = 200
"""Nesting below which values are cut off: PostgreSQL and JSON encoders recurse."""
SHORTEST_SECRET = 6
"""Known secret values with fewer characters are not searched for: they would match ordinary text."""

_SURROGATE = re.compile(r"[\ud800-\udfff]")

_PLAIN, _SENSITIVE, _UNFIT = 0, 1, 2
_DECISIONS_LIMIT = 20_000
_LONGEST_KEY = 200
_decisions: dict[str, int] = {}


def redact(value: Any, secrets: Iterable[str] = ()) -> Any:
    """Return `value` without secrets and storable as `jsonb`; the same object when nothing had to change.

    Args:
        value: any JSON-like value. Sets and tuples become lists, NaN and infinities null, dates ISO strings,
            bytes text, anything else its `str`.
        secrets: known secret values to find inside strings in every encoding.
    """
    return redactor(tuple(secrets)).redact(value)


def redact_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Return one text without secrets, for log lines and error messages."""
    return redactor(tuple(secrets)).text(text)


def is_sensitive_key(key: str) -> bool:
    """Tell whether values under this key are hidden: its words say password, token, API key and the like."""
    return bool(_decision(key) & _SENSITIVE)


@lru_cache(maxsize=256)
def redactor(secrets: tuple[str, ...]) -> Redactor:
    """Return the redactor for a set of known secret values; the last 256 sets stay compiled."""
    return Redactor(secrets)


class Redactor:
    """Redaction with one set of known secret values, compiled once."""

    __slots__ = ("_known",)

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Compile the search for `secrets`."""
        forms = {form for secret in secrets for form in _forms(secret)}
        alternatives = "|".join(
            re.escape(form) for form in sorted(forms, key=lambda form: (-len(form), form))
        )
        self._known = re.compile(alternatives) if alternatives else None

    def redact(self, value: Any) -> Any:
        """Return `value` redacted and storable, or `value` itself when nothing had to change."""
        return self._walk(value, 0, frozenset())

    def text(self, text: str) -> str:
        """Return `text` redacted and storable, or `text` itself when nothing had to change."""
        if self._known is not None:
            text = self._known.sub(REDACTED, text)
        if len(text) > SHORTEST_SECRET:
            text = without_evident(text)
        if "\x00" in text or not text.isascii():
            text = _storable(text)
        return text

    def _walk(self, value: Any, depth: int, above: frozenset[int]) -> Any:
        kind = type(value)
        if kind is str:
            return self.text(value)
        if kind is int:
            return value if -(2**63) <= value < 2**64 else str(value)
        if value is None or kind is bool:
            return value
        if kind is float:
            return value if math.isfinite(value) else None
        if kind is dict or kind is list:
            if depth > 8:
                if id(value) in above:
                    return CYCLE
                if depth > MAX_DEPTH:
                    return TOO_DEEP
                above = above | {id(value)}
            return (
                self._dict(value, depth + 1, above) if kind is dict else self._list(value, depth + 1, above)
            )
        if id(value) in above:
            return CYCLE
        return self._walk(_as_json(value), depth, above | {id(value)})

    def _dict(self, value: dict[Any, Any], depth: int, above: frozenset[int]) -> dict[Any, Any]:
        changed: dict[Any, Any] | None = None
        known, check_keys = self._known, False
        for key, item in value.items():
            decision = _decisions.get(key) if type(key) is str else _decision(_key_text(key)) | _UNFIT
            if decision is None:
                decision = _decision(key)
            if decision & _UNFIT or (known is not None and known.search(key)):
                check_keys = True
            if decision & _SENSITIVE:
                new = _hidden(item)
            else:
                new = self.text(item) if type(item) is str else self._walk(item, depth, above)
            if new is not item:
                if changed is None:
                    changed = dict(value)
                changed[key] = new
        result = value if changed is None else changed
        return self._with_clean_keys(result) if check_keys else result

    def _with_clean_keys(self, value: dict[Any, Any]) -> dict[Any, Any]:
        cleaned = {key: self.text(_key_text(key)) for key in value}
        if all(new is key for key, new in cleaned.items()):
            return value
        return {cleaned[key]: item for key, item in value.items()}

    def _list(self, value: list[Any], depth: int, above: frozenset[int]) -> list[Any]:
        changed: list[Any] | None = None
        for index, item in enumerate(value):
            new = self._walk(item, depth, above)
            if new is not item:
                if changed is None:
                    changed = list(value)
                changed[index] = new
        return value if changed is None else changed


def _hidden(value: Any) -> Any:
    if value is None or type(value) is bool:
        return value
    if type(value) is str and (value == "" or value == REDACTED or is_reference(value)):
        return value
    return REDACTED


def _decision(key: str) -> int:
    decision = _SENSITIVE if names_secret(key[-_LONGEST_KEY:]) else _PLAIN
    if _storable(key) is not key:
        decision |= _UNFIT
    if len(key) <= _LONGEST_KEY:
        if len(_decisions) >= _DECISIONS_LIMIT:
            _decisions.clear()
        _decisions[key] = decision
    return decision


def _storable(text: str) -> str:
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        text = _SURROGATE.sub("\ufffd", text)
    return text


def _as_json(value: Any) -> Any:
    """Return the nearest JSON value, one level deep."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", errors="replace")
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence | AbstractSet):
        return list(value)
    return str(value)


def _key_text(key: Any) -> str:
    if type(key) is str:
        return key
    if key is None or isinstance(key, bool):
        return json.dumps(key)
    text = _as_json(key)
    return text if isinstance(text, str) else str(text)


def _forms(secret: str) -> set[str]:
    """Return the texts a secret value may appear as."""
    values = {form for form in (secret, secret.strip()) if len(form) >= SHORTEST_SECRET}
    forms = set(values)
    for value in values:
        escaped = _json_forms({value})
        escaped |= {form.replace("/", "\\/") for form in escaped}
        # An error quotes an answer that quotes a log line: JSON in JSON in JSON.
        for _ in range(2):
            escaped |= _json_forms(escaped)
        raw = value.encode("utf-8", errors="replace")
        encoded = {quote(raw, safe=safe) for safe in ("", "/", "~", "!*'()")} | {quote_plus(raw)}
        encoded |= {re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), form) for form in encoded}
        packed = {form for offset in range(3) for form in _base64_forms(raw, offset)}
        forms |= escaped | encoded | packed | {quote(form, safe="") for form in packed | encoded}
        forms.add(html.escape(value))
    return forms


def _json_forms(texts: Iterable[str]) -> set[str]:
    return {json.dumps(text, ensure_ascii=ascii_only)[1:-1] for text in texts for ascii_only in (True, False)}


def _base64_forms(raw: bytes, offset: int) -> Iterable[str]:
    """Return the base64 characters that depend on `raw` alone when it starts `offset` bytes into a group.

    See RFC 4648: each character carries 6 bits, so those shared with a neighbour are left out.
    """
    padded = bytes(offset) + raw
    first = -(-offset * 8 // 6)
    last = len(padded) * 8 // 6
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(padded).decode("ascii")[first:last]
