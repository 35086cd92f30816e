from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import orjson
import pytest
from django.test import RequestFactory
from django.utils.functional import lazystr

from automate_api import errors
from automate_api.rendering import ORJSONRenderer, to_json
from automate_core.errors import NotFound


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"at": datetime(2024, 1, 15, 10, 30, tzinfo=UTC)}, b'{"at":"2024-01-15T10:30:00Z"}'),
        ({1: Decimal("1.10")}, b'{"1":"1.10"}'),
        ({"id": UUID(int=1)}, b'{"id":"00000000-0000-0000-0000-000000000001"}'),
        ([99.99, 2.0, True, None, "é"], '[99.99,2.0,true,null,"é"]'.encode()),
        ((lazystr("a"), {"b"}), b'["a",["b"]]'),
        ({"big": 2**70}, b'{"big":1180591620717411303424}'),
        ([float("nan"), float("inf")], b"[null,null]"),
        ([2**70, float("nan"), {"deep": -float("inf")}], b'[1180591620717411303424,null,{"deep":null}]'),
        ({"lone \ud800": ["\udfff", "\U0001f600"]}, '{"lone \ufffd":["\ufffd","\U0001f600"]}'.encode()),
        ({UUID(int=2): "\ud800"}, '{"00000000-0000-0000-0000-000000000002":"\ufffd"}'.encode()),
    ],
)
def test_value_is_written(value: object, text: bytes) -> None:
    assert to_json(value) == text


def test_value_nested_deeper_than_orjson_goes_is_written() -> None:
    value: list[object] = []
    for _ in range(400):
        value = [value]
    assert to_json(value) == b"[" * 401 + b"]" * 401


def test_renderer_writes_nothing_for_no_content() -> None:
    assert ORJSONRenderer().render(None) == b""
    assert ORJSONRenderer().render({"a": 1}) == b'{"a":1}'


def test_error_outside_views_is_written_whatever_its_message_holds() -> None:
    answer = errors.response_for(NotFound("no \ud800"), RequestFactory().get("/api/x/"))
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/json")
    assert orjson.loads(answer.content)["error"]["message"] == "no \ufffd"
