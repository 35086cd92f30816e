from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.handlers.asgi import ASGIHandler
from django.test import AsyncClient, Client

from automate_api.asgi import limit_body

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.automate_api.urls")]

MakeClient = Callable[..., Client]
MEGABYTE = 1_048_576


def test_well_formed_trace_id_is_kept(key_client: MakeClient) -> None:
    answer = key_client().get("/api/ping/", headers={"X-Trace-ID": "order:7_a.b-c"})
    assert (answer["X-Trace-ID"], answer.json()["trace_id"]) == ("order:7_a.b-c", "order:7_a.b-c")


def test_traceparent_is_understood(key_client: MakeClient) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = key_client().get("/api/ping/", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert answer["X-Trace-ID"] == trace


@pytest.mark.parametrize(
    "given",
    [
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01,00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "",
    ],
)
def test_malformed_traceparent_is_replaced(key_client: MakeClient, given: str) -> None:
    answer = key_client().get("/api/ping/", headers={"traceparent": given})
    assert len(answer["X-Trace-ID"]) == 32
    assert "4bf92f" not in answer["X-Trace-ID"].lower()


@pytest.mark.parametrize("given", ["", "a" * 65, "a b", "<script>", "\x00"])
def test_malformed_trace_id_is_replaced(key_client: MakeClient, given: str) -> None:
    answer = key_client().get("/api/ping/", headers={"X-Trace-ID": given})
    assert len(answer["X-Trace-ID"]) == 32
    assert answer.json()["trace_id"] == answer["X-Trace-ID"]


def test_trace_id_reaches_an_async_view() -> None:
    async def get() -> Any:
        return await AsyncClient().get("/api/trace/", headers={"X-Trace-ID": "t-1"})

    answer = async_to_sync(get)()
    assert (answer["X-Trace-ID"], answer.json()) == ("t-1", {"trace_id": "t-1"})
    assert answer["Cache-Control"] == "no-store"


def test_responses_are_not_stored(key_client: MakeClient) -> None:
    assert key_client().get("/api/ping/")["Cache-Control"] == "no-store"
    assert Client().get("/api/absent/")["Cache-Control"] == "no-store"


def test_body_over_the_limit_is_413(key_client: MakeClient) -> None:
    client = key_client()
    body = b'{"a": "' + b"x" * (MEGABYTE - 9) + b'"}'
    assert len(body) == MEGABYTE
    assert client.post("/api/ping/", body, content_type="application/json").status_code == 200
    answer = client.post("/api/ping/", body + b" ", content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert answer["X-RateLimit-Limit"] == "1000000"


@pytest.mark.parametrize("url", ["/api/ping/?a=%00", "/api/raise/a%00b/"])
def test_nul_in_the_url_is_400(key_client: MakeClient, url: str) -> None:
    answer = key_client().get(url)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "deflate", "identity, gzip", "x"])
def test_encoded_body_is_415_before_it_is_read(key_client: MakeClient, encoding: str) -> None:
    answer = key_client().post(
        "/api/ping/", b"{}", content_type="application/json", headers={"Content-Encoding": encoding}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert answer.json()["error"]["message"].startswith("Content-Encoding is not supported")
    assert answer["Accept-Encoding"] == "identity"
    assert answer["X-RateLimit-Limit"] == "1000000"


@pytest.mark.parametrize("encoding", ["", "identity", "Identity"])
def test_body_that_is_not_encoded_may_say_so(key_client: MakeClient, encoding: str) -> None:
    answer = key_client().post(
        "/api/ping/", b"{}", content_type="application/json", headers={"Content-Encoding": encoding}
    )
    assert answer.status_code == 200


def test_chunked_body_under_wsgi_is_refused_not_lost(key_client: MakeClient) -> None:
    answer = key_client().generic("POST", "/api/ping/", headers={"Transfer-Encoding": "chunked"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert answer.json()["error"]["message"].endswith("send Content-Length")


def test_missing_slash_is_no_reason_to_lose_a_body(key_client: MakeClient) -> None:
    client = key_client()
    moved = {method: client.generic(method, "/api/ping") for method in ("GET", "HEAD", "POST", "DELETE")}
    assert {method: answer.status_code for method, answer in moved.items()} == {
        "GET": 301,
        "HEAD": 301,
        "POST": 308,
        "DELETE": 308,
    }
    assert {answer["Location"] for answer in moved.values()} == {"/api/ping/"}
    assert {answer["X-RateLimit-Limit"] for answer in moved.values()} == {"1000000"}


def test_request_nobody_counted_tells_where_its_address_stands() -> None:
    answers = [
        Client().get("/api/ping/", headers={"Host": "elsewhere.example"}),
        Client(raise_request_exception=False).get("/api/plain/"),
        Client().options(
            "/api/cors/", headers={"Origin": "https://example.com", "Access-Control-Request-Method": "GET"}
        ),
    ]
    assert [answer.status_code for answer in answers] == [400, 500, 204]
    for answer in answers:
        assert (answer["X-RateLimit-Limit"], answer["X-RateLimit-Remaining"]) == ("1000000", "1000000")
        assert "Retry-After" not in answer
        assert len(answer["X-Trace-ID"]) == 32


def chunked(path: str, chunks: list[bytes]) -> tuple[list[Any], int]:
    """Send a body without Content-Length straight to the ASGI application; return what it sent and read."""
    sent: list[Any] = []
    read = 0

    async def receive() -> Any:
        nonlocal read
        if read == len(chunks):
            await asyncio.Event().wait()
        read += 1
        return {"type": "http.request", "body": chunks[read - 1], "more_body": read < len(chunks)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [
            (b"content-type", b"application/json"),
            (b"x-trace-id", b"t-1"),
            (b"host", b"testserver"),
        ],
    }
    async_to_sync(limit_body(ASGIHandler()))(scope, receive, send)
    return sent, read


def test_chunked_body_is_stopped_at_the_limit() -> None:
    sent, read = chunked("/api/ping/", [b"x" * 300_000] * 100)
    assert (sent[0]["status"], read) == (413, 100)
    headers = dict(sent[0]["headers"])
    assert (headers[b"x-trace-id"], headers[b"x-ratelimit-limit"]) == (b"t-1", b"1000000")
    assert [message.get("more_body", False) for message in sent[1:]] == [True, False]
    error = json.loads(sent[1]["body"])["error"]
    assert (error["code"], error["trace_id"]) == ("PAYLOAD_TOO_LARGE", "t-1")


@pytest.mark.django_db(transaction=True)
def test_chunked_body_under_the_limit_reaches_the_view() -> None:
    sent, read = chunked("/api/ping/", [b"x" * 300_000] * 3)
    assert (sent[0]["status"], read) == (401, 3)


def test_answers_of_the_api_are_not_guessed_at(key_client: MakeClient) -> None:
    answers = (key_client().get("/api/ping/"), Client().get("/api/ping/?a=%00"), Client().get("/api/nope/"))
    assert [answer["X-Content-Type-Options"] for answer in answers] == ["nosniff"] * 3
