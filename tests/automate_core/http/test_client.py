"""The guarded client against a server on loopback: limits, redirects, credentials, pooling."""

from __future__ import annotations

import asyncio
import gzip
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from automate_core.http import (
    OutboundFailed,
    OutboundRefused,
    OutboundTimeout,
    ResponseTooLarge,
    UnreadableResponse,
    arequest,
    request,
)
from tests.automate_core.http.conftest import LoopbackServer, reply


def test_request_returns_status_headers_and_body(server: LoopbackServer) -> None:
    server.handle = lambda handler: reply(
        handler, 418, b'{"a": 1}', {"X-Kind": "Tea", "Content-Type": "application/json"}
    )
    response = request("get", server.url("/pot?x=1"), params={"y": "2"}, headers={"X-Mine": "höher"})
    assert (response.status, response.headers["x-kind"], response.json()) == (418, "Tea", {"a": 1})
    assert response.url == server.url("/pot?x=1&y=2")
    assert response.elapsed_ms > 0
    seen = server.received[0]
    assert (seen.method, seen.path, seen.headers["host"]) == (
        "GET",
        "/pot?x=1&y=2",
        f"127.0.0.1:{server.port}",
    )
    assert seen.headers["x-mine"].encode("latin-1").decode() == "höher"


@pytest.mark.parametrize(
    ("options", "content_type", "body"),
    [
        ({"json": {"a": "ü"}}, "application/json", '{"a":"ü"}'.encode()),
        ({"data": {"a": "1 2"}}, "application/x-www-form-urlencoded", b"a=1+2"),
        ({"content": "plain"}, None, b"plain"),
        ({}, None, b""),
    ],
)
def test_request_sends_body(
    server: LoopbackServer, options: dict[str, Any], content_type: str | None, body: bytes
) -> None:
    request("POST", server.url(), **options)
    seen = server.received[0]
    assert (seen.headers.get("content-type"), seen.body, seen.headers["content-length"]) == (
        content_type,
        body,
        str(len(body)),
    )


def test_arequest_returns_the_same(server: LoopbackServer) -> None:
    response = asyncio.run(arequest("POST", server.url(), json=[1]))
    assert (response.status, response.text(), server.received[0].body) == (200, "ok", b"[1]")


def test_response_text_uses_declared_charset(server: LoopbackServer) -> None:
    server.handle = lambda handler: reply(
        handler, 200, "é".encode("latin-1"), {"Content-Type": "text/plain; charset=latin-1"}
    )
    assert request("GET", server.url()).text() == "é"
    server.handle = lambda handler: reply(
        handler, 200, b"\xff", {"Content-Type": "text/plain; charset=nonsense"}
    )
    assert request("GET", server.url()).text() == "\ufffd"


def test_response_json_refuses_what_is_not_json(server: LoopbackServer) -> None:
    with pytest.raises(UnreadableResponse):
        request("GET", server.url()).json()


def test_redirect_to_private_address_is_refused(server: LoopbackServer, other_server: LoopbackServer) -> None:
    for target in (
        other_server.url(),
        "http://169.254.169.254/latest/",
        "file:///etc/hostname",
        "http://[::1",
    ):
        server.handle = lambda handler, to=target: reply(handler, 302, b"", {"Location": to})
        with pytest.raises(OutboundRefused):
            request("GET", server.url())
    assert other_server.received == []


def test_redirect_is_returned_when_not_followed(server: LoopbackServer) -> None:
    server.handle = lambda handler: reply(handler, 302, b"see", {"Location": "http://10.0.0.1/"})
    response = request("GET", server.url(), follow_redirects=False)
    assert (response.status, response.headers["location"], response.content) == (
        302,
        "http://10.0.0.1/",
        b"see",
    )


def _allow(settings: Any, *servers: LoopbackServer) -> None:
    settings.AUTOMATE = {"HTTP_ALLOW": [f"127.0.0.1:{server.port}" for server in servers]}


CREDENTIALS = {"Authorization": "Bearer a", "Cookie": "s=1", "X-API-Key": "k", "X-Sign": "z", "X-Plain": "p"}


def test_redirect_to_another_origin_drops_credentials(
    server: LoopbackServer, other_server: LoopbackServer, settings: Any
) -> None:
    _allow(settings, server, other_server)
    server.handle = lambda handler: reply(handler, 307, b"", {"Location": other_server.url("/there")})
    request("POST", server.url(), headers=CREDENTIALS, content="body", secret_headers=["x-sign"])
    seen = other_server.received[0]
    assert (seen.method, seen.path, seen.body, seen.headers["x-plain"]) == ("POST", "/there", b"body", "p")
    assert not {"authorization", "cookie", "x-api-key", "x-sign"} & set(seen.headers)
    assert seen.headers["host"] == f"127.0.0.1:{other_server.port}"


def test_redirect_within_an_origin_keeps_credentials(server: LoopbackServer) -> None:
    server.handle = lambda handler: (
        reply(handler, 302, b"", {"Location": "/next#part"}) if handler.path == "/" else reply(handler)
    )
    response = request("POST", server.url(), headers=CREDENTIALS, json={"a": 1}, secret_headers=["X-Sign"])
    seen = server.received[1]
    assert (seen.method, seen.path, seen.body) == ("GET", "/next", b"")
    assert {name: seen.headers.get(name.lower()) for name in CREDENTIALS} == CREDENTIALS
    assert "content-type" not in seen.headers
    assert response.url == server.url("/next")


def test_credentials_do_not_come_back_after_a_detour(
    server: LoopbackServer, other_server: LoopbackServer, settings: Any
) -> None:
    _allow(settings, server, other_server)
    other_server.handle = lambda handler: reply(handler, 302, b"", {"Location": server.url("/back")})
    server.handle = lambda handler: (
        reply(handler)
        if handler.path == "/back"
        else reply(handler, 302, b"", {"Location": other_server.url()})
    )
    request("GET", server.url(), headers={"Authorization": "Bearer a"})
    assert ["authorization" in seen.headers for seen in server.received] == [True, False]


def test_redirect_loop_is_refused(server: LoopbackServer) -> None:
    server.handle = lambda handler: reply(handler, 302, b"", {"Location": "/"})
    with pytest.raises(OutboundRefused):
        request("GET", server.url())
    assert len(server.received) == 11


def test_responses_leave_no_cookies_behind(server: LoopbackServer) -> None:
    server.handle = lambda handler: reply(handler, 200, b"", {"Set-Cookie": "s=1"})
    request("GET", server.url())
    request("GET", server.url())
    assert "cookie" not in server.received[1].headers


def test_announced_oversize_body_is_refused(server: LoopbackServer) -> None:
    server.handle = lambda handler: reply(handler, 200, b"x" * 1001)
    with pytest.raises(ResponseTooLarge):
        request("GET", server.url(), max_bytes=1000)
    server.handle = lambda handler: reply(handler, 200, b"x" * 1000)
    assert len(request("GET", server.url(), max_bytes=1000).content) == 1000


def test_response_limit_setting_applies(server: LoopbackServer, settings: Any) -> None:
    settings.AUTOMATE = {**settings.AUTOMATE, "HTTP_RESPONSE_LIMIT_BYTES": 10}
    server.handle = lambda handler: reply(handler, 200, b"x" * 11)
    with pytest.raises(ResponseTooLarge):
        request("GET", server.url())


def test_endless_chunked_body_is_cut_off(server: LoopbackServer) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while True:
            handler.wfile.write(b"400\r\n" + b"x" * 1024 + b"\r\n")

    server.handle = endless
    with pytest.raises(ResponseTooLarge):
        request("GET", server.url(), max_bytes=100_000)


def test_gzip_bomb_is_cut_off_at_its_decompressed_size(server: LoopbackServer) -> None:
    bomb = gzip.compress(b"\0" * 20_000_000)
    assert len(bomb) < 100_000
    server.handle = lambda handler: reply(handler, 200, bomb, {"Content-Encoding": "gzip"})
    with pytest.raises(ResponseTooLarge):
        request("GET", server.url(), max_bytes=100_000)


_RAW = zlib.compressobj(wbits=-15)
_TEXT = b"hello " * 50_000


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(_TEXT)),
        ("deflate", zlib.compress(_TEXT)),
        ("deflate", _RAW.compress(_TEXT) + _RAW.flush()),
        ("identity", _TEXT),
    ],
)
def test_compressed_body_is_decoded(server: LoopbackServer, encoding: str, body: bytes) -> None:
    server.handle = lambda handler: reply(handler, 200, body, {"Content-Encoding": encoding})
    assert request("GET", server.url()).content == _TEXT
    assert server.received[0].headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("br", b"x"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"x", mtime=0), mtime=0)),
        ("gzip", b"damaged"),
        ("gzip", gzip.compress(_TEXT, mtime=0)[:-20]),
    ],
)
def test_undecodable_body_is_refused(server: LoopbackServer, encoding: str, body: bytes) -> None:
    server.handle = lambda handler: reply(handler, 200, body, {"Content-Encoding": encoding})
    with pytest.raises(UnreadableResponse):
        request("GET", server.url())


@pytest.mark.parametrize("part", ["headers", "body"])
def test_dripping_answer_ends_at_the_total_deadline(server: LoopbackServer, part: str) -> None:
    stop = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(
            b"HTTP/1.1 200 OK\r\n" + (b"" if part == "headers" else b"Content-Length: 100000\r\n\r\n")
        )
        while not stop.wait(0.05):
            handler.wfile.write(b"X-A: b\r\n" if part == "headers" else b"x")
            handler.wfile.flush()

    server.handle = drip
    try:
        with pytest.raises(OutboundTimeout) as timeout:
            request("POST", server.url(), timeout_seconds=2)
    finally:
        stop.set()
    assert timeout.value.performed is None


def test_slow_name_lookup_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **options: stop.wait(30))
    try:
        with pytest.raises(OutboundTimeout) as timeout:
            request("GET", "http://slow.example/", timeout_seconds=0.2)
    finally:
        stop.set()
    assert timeout.value.performed is False


def test_refused_connection_is_known_not_sent(server: LoopbackServer, settings: Any) -> None:
    settings.AUTOMATE = {"HTTP_ALLOW": ["127.0.0.1:1"]}
    with pytest.raises(OutboundFailed) as failed:
        request("POST", "http://127.0.0.1:1/")
    assert failed.value.performed is False


def test_connection_closed_without_answer_may_have_been_sent(server: LoopbackServer) -> None:
    def hang_up(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True

    server.handle = hang_up
    with pytest.raises(OutboundFailed) as failed:
        request("POST", server.url())
    assert failed.value.performed is None


def test_connections_are_kept_alive_and_shared_between_threads(server: LoopbackServer) -> None:
    for _ in range(3):
        request("GET", server.url())
    assert len({seen.peer_port for seen in server.received}) == 1
    server.received.clear()
    with ThreadPoolExecutor(16) as threads:
        statuses = list(threads.map(lambda n: request("GET", server.url(f"/{n}")).status, range(200)))
    assert statuses == [200] * 200
    assert {seen.path for seen in server.received} == {f"/{n}" for n in range(200)}
    assert len({seen.peer_port for seen in server.received}) <= 16


@pytest.mark.parametrize(
    "headers",
    [
        {"X": "a\r\nHost: b"},
        {"X": "a\0"},
        {"X: y": "a"},
        {"": "a"},
        {"Host": "a"},
        {"content-length": "5"},
        {"Transfer-Encoding": "chunked"},
    ],
)
def test_request_refuses_headers_that_could_forge_a_request(
    server: LoopbackServer, headers: dict[str, str]
) -> None:
    with pytest.raises(OutboundRefused):
        request("GET", server.url(), headers=headers)
    assert server.received == []


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "GET /x HTTP/1.1\r\n", ""])
def test_request_refuses_method(server: LoopbackServer, method: str) -> None:
    with pytest.raises(OutboundRefused):
        request(method, server.url())
    assert server.received == []


def test_host_header_is_the_name_while_the_connection_goes_to_the_checked_address(
    server: LoopbackServer, settings: Any, answers: dict[str, list[list[str]]]
) -> None:
    settings.AUTOMATE = {"HTTP_ALLOW": [f"api.example:{server.port}"]}
    answers["api.example"] = [["127.0.0.1"]]
    assert request("GET", server.url(host="api.example")).status == 200
    assert server.received[0].headers["host"] == f"api.example:{server.port}"


def test_head_returns_headers_without_reading_a_body(server: LoopbackServer) -> None:
    def head(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "999999999")
        handler.end_headers()

    server.handle = head
    response = request("HEAD", server.url())
    assert (response.headers["content-length"], response.content) == ("999999999", b"")
