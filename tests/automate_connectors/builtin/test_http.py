"""The http connector against a loopback server."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from automate_connectors.base import ConnectorContext
from automate_connectors.builtin import HttpConnector
from automate_connectors.builtin.answers import retry_after_seconds
from automate_core.errors import PermanentError, TransientError
from automate_core.http import OutboundRefused
from automate_core.revealed import note_revealed
from automate_core.secrets import collect_secrets
from tests.automate_core.http.conftest import LoopbackServer, reply


def call(input_data: dict[str, Any], config: dict[str, Any] | None = None, key: str = "k1") -> dict[str, Any]:
    return HttpConnector(config or {}, ConnectorContext(idempotency_key=key)).execute_action(
        "request", input_data
    )


def test_request_sends_what_the_input_says(server: LoopbackServer) -> None:
    call(
        {
            "method": "put",
            "url": server.url("/a"),
            "headers": {"X-N": 5, "X-T": "t"},
            "query": {"q": "ü", "l": [1, 2]},
            "json": None,
        }
    )
    seen = server.received[0]
    assert (seen.method, seen.path, seen.body) == ("PUT", "/a?q=%C3%BC&l=1&l=2", b"null")
    assert (seen.headers["x-n"], seen.headers["x-t"]) == ("5", "t")
    assert seen.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("extra", "content_type", "body"),
    [
        (
            {"json": {"a": 1}, "headers": {"content-type": "application/vnd.api+json"}},
            "application/vnd.api+json",
            b'{"a":1}',
        ),
        ({"form": {"a": "1 2", "b": 3}}, "application/x-www-form-urlencoded", b"a=1+2&b=3"),
        ({"body": "<x/>", "headers": {"Content-Type": "text/xml"}}, "text/xml", b"<x/>"),
    ],
)
def test_request_sends_bodies(
    server: LoopbackServer, extra: dict[str, Any], content_type: str, body: bytes
) -> None:
    call({"method": "POST", "url": server.url(), **extra})
    assert (server.received[0].headers["content-type"], server.received[0].body) == (content_type, body)


@pytest.mark.parametrize(
    ("content_type", "content", "expected"),
    [
        ("application/json", b'{"a": [1]}', {"body": {"a": [1]}}),
        ("application/problem+json; charset=utf-8", b"[]", {"body": []}),
        ("application/json", b"", {"body": None}),
        ("application/json", b"{oops", {"body": "{oops"}),
        ("text/html", "é".encode(), {"body": "é"}),
        (
            "application/octet-stream",
            b"\x00\xff",
            {"body": base64.b64encode(b"\x00\xff").decode(), "encoding": "base64"},
        ),
        ("application/octet-stream", b"plain", {"body": "plain"}),
    ],
)
def test_answer_is_parsed_by_its_type(
    server: LoopbackServer, content_type: str, content: bytes, expected: dict[str, Any]
) -> None:
    server.handle = lambda handler: reply(handler, 201, content, {"Content-Type": content_type, "X-A": "b"})
    output = call({"url": server.url()})
    assert {key: output[key] for key in output if key not in ("status", "headers")} == expected
    assert (output["status"], output["headers"]["x-a"]) == (201, "b")


def test_idempotency_header_carries_the_step_key(server: LoopbackServer) -> None:
    for _ in range(2):
        call(
            {
                "method": "POST",
                "url": server.url(),
                "idempotency_header": "Idempotency-Key",
                "headers": {"idempotency-key": "mine"},
            },
            key="sha",
        )
    assert [seen.headers["idempotency-key"] for seen in server.received] == ["sha", "sha"]


@pytest.mark.parametrize(
    ("status", "kind", "performed"),
    [
        (400, PermanentError, None), (401, PermanentError, None), (404, PermanentError, None),
        (408, TransientError, False), (425, TransientError, False), (429, TransientError, False),
        (500, TransientError, True), (503, TransientError, True), (502, TransientError, None),
        (504, TransientError, None),
    ],
)  # fmt: skip
def test_error_status_is_an_error(
    server: LoopbackServer, status: int, kind: type[Exception], performed: bool | None
) -> None:
    server.handle = lambda handler: reply(handler, status, b"reason" * 1000, {"Retry-After": "7"})
    with pytest.raises(kind) as failed:
        call({"url": server.url()})
    error: Any = failed.value
    assert error.extra["status"] == status
    assert error.extra["body"] == ("reason" * 1000)[:500]
    assert error.details[0].message == error.extra["body"]
    if kind is TransientError:
        assert (error.retry_after_seconds, error.extra["performed"]) == (7.0, performed)


def test_accepted_status_is_output(server: LoopbackServer) -> None:
    server.handle = lambda handler: reply(handler, 404, b"gone")
    assert call({"url": server.url(), "accept_status": [404]})["body"] == "gone"
    with pytest.raises(PermanentError):
        call({"url": server.url(), "accept_status": [410]})


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("Mon, 01 Jan 2024 00:01:30 GMT", 90.0),
        ("Sun, 31 Dec 2023 00:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after_seconds(value, now=datetime(2024, 1, 1, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("config", "header"),
    [
        ({"bearer_token": "tok"}, "Bearer tok"),
        ({"username": "u", "password": "p"}, "Basic dTpw"),
        ({"headers": {"Authorization": "Custom x"}}, "Custom x"),
    ],
)
def test_connection_adds_base_url_and_credentials(
    server: LoopbackServer, config: dict[str, Any], header: str
) -> None:
    config = {"base_url": server.url("/api/v1"), **config}
    call({"url": "/orders/1"}, config)
    call({"url": server.url("/api/v1/orders/2")}, config)
    assert [seen.path for seen in server.received] == ["/api/v1/orders/1", "/api/v1/orders/2"]
    assert [seen.headers["authorization"] for seen in server.received] == [header, header]


@pytest.mark.parametrize("url", ["https://other.example/", "http://127.0.0.1/", "https://127.0.0.1:1/"])
def test_credentials_never_leave_the_connections_origin(server: LoopbackServer, url: str) -> None:
    with pytest.raises(PermanentError):
        call({"url": url}, {"base_url": server.url(), "bearer_token": "tok"})
    assert all(seen.headers["host"] == f"127.0.0.1:{server.port}" for seen in server.received)


def test_connection_headers_do_not_follow_a_redirect_elsewhere(
    server: LoopbackServer, other_server: LoopbackServer, settings: Any
) -> None:
    settings.AUTOMATE = {"HTTP_ALLOW": [f"127.0.0.1:{server.port}", f"127.0.0.1:{other_server.port}"]}
    server.handle = lambda handler: reply(handler, 302, b"", {"Location": other_server.url()})
    call({"url": "/"}, {"base_url": server.url(), "headers": {"X-Shop": "s"}})
    assert (server.received[0].headers["x-shop"], "x-shop" in other_server.received[0].headers) == (
        "s",
        False,
    )


def test_private_address_is_refused(server: LoopbackServer, other_server: LoopbackServer) -> None:
    with pytest.raises(OutboundRefused):
        call({"url": other_server.url()})
    assert other_server.received == []


def test_error_excerpt_is_cut_only_after_the_secrets_are_out(server: LoopbackServer) -> None:
    secret = "cut-off-in-the-middle"
    server.handle = lambda handler: reply(handler, 400, b"." * 490 + secret.encode())
    with collect_secrets():
        note_revealed(secret)
        with pytest.raises(PermanentError) as caught:
            call({"url": server.url()})
    assert caught.value.extra["body"] == "." * 490 + "***REDACTED***"[:10]
