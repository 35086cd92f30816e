from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest
from django.test import Client

from automate_api.errors import MalformedBody
from automate_api.parsing import strict_json

MakeClient = Callable[..., Client]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"NaN",
        b'{"a": Infinity}',
        b"1e999",
        b'"\\ud800"',
        b'{"\\u0000": 1}',
        b'["a\\u0000b"]',
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        b"[" * 65 + b"]" * 65,
        b'{"a":' * 65 + b"1" + b"}" * 65,
        b"[" * 2000 + b"]" * 2000,
        b"{} {}",
    ],
)
def test_strict_json_refuses(text: bytes) -> None:
    with pytest.raises(MalformedBody):
        strict_json(text, unique_keys=False)


@pytest.mark.parametrize("depth", [65, 2_000])
def test_too_deep_is_said_whichever_limit_it_passes(depth: int) -> None:
    with pytest.raises(MalformedBody, match="nested deeper than 64 levels"):
        strict_json(b"[" * depth + b"]" * depth, unique_keys=False)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"[" * 64 + b"]" * 64, orjson.loads(b"[" * 64 + b"]" * 64)),
        (b'"\\\\u0000"', "\\u0000"),
        (b'{"a": [{}, {}, {}]}', {"a": [{}, {}, {}]}),
        (b"[" + b",".join([b"{}"] * 100) + b"]", [{}] * 100),
        (b'{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_strict_json_accepts(text: bytes, value: object) -> None:
    assert strict_json(text, unique_keys=False) == value


@pytest.mark.parametrize(
    "text", [b'{"a": 1, "a": 2}', b'[{"x": {"a" : 1, "b": 2, "a"\t: 3}}]', b'{"a": 1, "\\u0061": 2}']
)
def test_duplicate_keys_are_refused_where_asked(text: bytes) -> None:
    with pytest.raises(MalformedBody, match="twice"):
        strict_json(text, unique_keys=True)


def test_text_that_looks_like_keys_is_no_duplicate() -> None:
    text = b'{"a": "\\"a\\": 1, \\"a\\":", "b": {"a": 1}}'
    assert strict_json(text, unique_keys=True) == {"a": '"a": 1, "a":', "b": {"a": 1}}


@pytest.mark.django_db
@pytest.mark.urls("tests.automate_api.urls")
@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"a": 1}', "application/json", 200),
        (b'{"a": 1}', "application/json; charset=utf-8", 200),
        (b"", "application/json", 200),
        (b'{"a": 1}', "application/json; charset=latin-1", 415),
        (b"a=1", "application/x-www-form-urlencoded", 415),
        (b"<a/>", "application/xml", 415),
        (b'{"a": 1}', "", 415),
        (b'{"a": 1}', "application/json; ;;=", 200),
        (b"[1]", "application/json", 400),
        (b'"a"', "application/json", 400),
        (b"null", "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"a": "\\u0000"}', "application/json", 400),
        (b"[" * 2000 + b"]" * 2000, "application/json", 400),
        (b'{"a": 1, "a": 2}', "application/json", 200),
    ],
)
def test_body_is_read_or_refused(key_client: MakeClient, body: bytes, content_type: str, status: int) -> None:
    answer = key_client().generic("POST", "/api/ping/", body, content_type=content_type)
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/json"


@pytest.mark.django_db
@pytest.mark.urls("tests.automate_api.urls")
def test_view_with_unique_keys_refuses_duplicates(key_client: MakeClient) -> None:
    answer = key_client().post("/api/strict/", b'{"a": 1, "a": 2}', content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


@pytest.mark.django_db
@pytest.mark.urls("tests.automate_api.urls")
def test_answer_is_json_whatever_accept_says(key_client: MakeClient) -> None:
    answer = key_client().get("/api/ping/?format=xml", headers={"Accept": "text/html"})
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
