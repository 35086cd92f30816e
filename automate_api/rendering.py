"""JSON out: every answer under /api/ is written here, with orjson, and never fails for what a value holds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson
from django.utils.functional import Promise
from rest_framework.renderers import BaseRenderer
from rest_framework.utils.encoders import JSONEncoder

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z


def to_json(value: Any) -> bytes:
    """Return the JSON text of `value` in UTF-8; times in UTC end in Z, NaN and infinities are null.

    What orjson does not write is written all the same: integers beyond 64 bits in full, a lone surrogate as
    U+FFFD, nesting deeper than 254 levels.
    """
    try:
        return orjson.dumps(value, default=_plain, option=_OPTIONS)
    except TypeError:
        text = json.dumps(_finite(value), cls=JSONEncoder, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


class ORJSONRenderer(BaseRenderer):
    """Writes the answers of REST framework's views."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return the JSON text of `data`; nothing for no content."""
        return b"" if data is None else to_json(data)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal | Promise):
        return str(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else _key(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_finite(inner) for inner in value]
    return value


def _key(key: Any) -> Any:
    return orjson.loads(orjson.dumps({key: None}, option=_OPTIONS)).popitem()[0]
