"""What only a socket can send: headers twice, bodies without a length, labels no client library allows."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import socket
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from automate.models import Automation, Event
from automate.webhooks import sources
from tests.automate_api.conftest import key_client, make_key, make_user, other_tenant, tenant

__all__ = ["key_client", "make_key", "make_user", "other_tenant", "tenant"]

WORKFLOWS = "/api/automate/workflows/"
WEBHOOK = "/api/automate/webhooks/shop/"
RATE_HEADERS = {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}
SECRET = "webhook-secret"


@dataclass(frozen=True)
class Answer:
    """A response as it came off the wire; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        return dict(json.loads(self.body)["error"])


class Wire:
    """Sends bytes, one request a connection."""

    def __init__(self, url: str, key: str) -> None:
        self.address = (urlsplit(url).hostname, urlsplit(url).port)
        self.key = key

    def send(
        self, method: str, path: str, *headers: str, body: bytes = b"", length: bool = True, auth: bool = True
    ) -> Answer:
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers]
        lines += [f"X-API-Key: {self.key}"] if auth else []
        lines += [f"Content-Length: {len(body)}"] if length else []
        return self.exchange("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def exchange(self, request: bytes) -> Answer:
        with socket.create_connection(self.address, timeout=60) as connection:
            # A body that is refused may be answered before it is read.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(request)
            response = HTTPResponse(connection, method=request.partition(b" ")[0].decode())
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            assert len(headers) == len(response.getheaders())
            return Answer(response.status, headers, response.read())

    def deliver(self, body: bytes, *headers: str) -> Answer:
        return self.send(
            "POST", WEBHOOK, *headers, f"X-Webhook-Signature: {sign(body)}", body=body, auth=False
        )


def sign(body: bytes) -> str:
    return "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def in_chunks(body: bytes, size: int = 60_000) -> bytes:
    """Return a body in chunks, whose length no header tells (RFC 9112, section 7.1)."""
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])


JSON = "Content-Type: application/json"


@pytest.fixture
def wire(server_url: str, tenant: Any, make_key: Any) -> Wire:
    sources.create_source(slug="shop", preset="generic", secret=SECRET, by="test")
    return Wire(server_url, make_key()[1])


def check_refusal(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.error["code"]) == (status, code)
    assert sorted(answer.error) == ["code", "details", "message", "trace_id"]
    assert answer.headers["x-trace-id"] == answer.error["trace_id"]
    assert answer.headers.keys() >= {*RATE_HEADERS, "cache-control"}


def test_credential_sent_twice_is_401(wire: Wire, make_key: Any) -> None:
    _, other = make_key()
    for headers in (
        [f"X-API-Key: {other}"],
        [f"Authorization: Bearer {other}"],
        [f"Authorization: Bearer {wire.key}", f"Authorization: Bearer {other}"],
        [f"X-API-Key: {wire.key}"],
    ):
        check_refusal(wire.send("GET", WORKFLOWS, *headers), 401, "UNAUTHORIZED")


def test_header_sent_twice_selects_nothing(wire: Wire, other_tenant: Any) -> None:
    both = wire.send("GET", WORKFLOWS, "X-Tenant-ID: default", "X-Tenant-ID: other")
    check_refusal(both, 404, "NOT_FOUND")
    traced = wire.send("GET", WORKFLOWS, "X-Trace-ID: one", "X-Trace-ID: two")
    assert (traced.status, len(traced.headers["x-trace-id"])) == (200, 32)


def test_body_without_a_length_is_read_and_stopped_at_the_limit(wire: Wire) -> None:
    chunked = [JSON, "Transfer-Encoding: chunked"]
    small = wire.send("POST", WORKFLOWS, *chunked, body=in_chunks(b'{"name": "A"}', 3), length=False)
    assert small.status == 201
    huge = in_chunks(b'{"name": "' + b"a" * 10_000_000 + b'"}')
    for path in (WORKFLOWS, WEBHOOK, "/api/auth/token/", "/api/nowhere/"):
        check_refusal(wire.send("POST", path, *chunked, body=huge, length=False), 413, "PAYLOAD_TOO_LARGE")
    assert Automation.all_tenants.count() == 1


def test_announced_length_over_the_limit_is_413_everywhere(wire: Wire) -> None:
    for method, path in (
        ("POST", WORKFLOWS),
        ("GET", WORKFLOWS),
        ("POST", WEBHOOK),
        ("PUT", "/api/nowhere/"),
    ):
        answer = wire.send(method, path, JSON, body=b"a" * 1_048_577)
        check_refusal(answer, 413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("length", ["Content-Length: -1", "Content-Length: x", "Content-Length: 1e3"])
def test_length_that_is_no_number_is_400(wire: Wire, length: str) -> None:
    answer = wire.send("POST", WORKFLOWS, JSON, length, length=False)
    assert answer.status == 400


def test_bare_line_breaks_in_headers_reach_no_response(wire: Wire) -> None:
    for name in ("X-Trace-ID", "traceparent", "X-Tenant-ID", "X-Request-ID", "Origin"):
        for planted in (
            "a\rSet-Cookie: planted=1",
            "a\nSet-Cookie: planted=1",
            "a\r\n Set-Cookie: planted=1",
        ):
            answer = wire.send("GET", WORKFLOWS, f"{name}: {planted}")
            assert "set-cookie" not in answer.headers
            assert [value for value in answer.headers.values() if "planted" in value] == []


@pytest.mark.parametrize(
    ("label", "status"),
    [
        ("Content-Type: application/json", 201),
        ("Content-Type: application/json; charset=UTF-8", 201),
        ('Content-Type: Application/JSON;charset="utf-8"', 201),
        ("Content-Type: application/json; charset=utf-16", 415),
        ("Content-Type: application/json; charset=latin-1", 415),
        ("Content-Type: text/plain", 415),
        ("Content-Type: text/json", 415),
        ("Content-Type: application/vnd.api+json", 415),
        ("Content-Type: application/x-www-form-urlencoded", 415),
        ("Content-Type: multipart/form-data; boundary=x", 415),
        ("Content-Type: */*", 415),
        ("Content-Type:", 415),
        ("X-Nothing: 1", 415),
    ],
)
def test_rest_reads_json_labelled_as_json(wire: Wire, label: str, status: int) -> None:
    answer = wire.send("POST", WORKFLOWS, label, body=b'{"name": "A"}')
    assert answer.status == status
    assert Automation.all_tenants.count() == (1 if status == 201 else 0)
    if status == 415:
        check_refusal(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_request_without_a_body_needs_no_label(wire: Wire, make_key: Any) -> None:
    check_refusal(wire.send("POST", WORKFLOWS), 400, "VALIDATION_ERROR")
    assert wire.send("POST", WORKFLOWS).error["details"] == [
        {"field": "name", "message": "This field is required"}
    ]


@pytest.mark.parametrize(
    "label",
    [
        "Content-Type: text/plain",
        "Content-Type: application/json; charset=utf-16",
        "Content-Type:",
        "X-Nothing: 1",
    ],
)
def test_webhooks_read_json_whatever_its_label(wire: Wire, label: str) -> None:
    answer = wire.deliver(b'{"event_type": "paid", "data": {"n": 1}}', label)
    assert answer.status == 202
    assert list(Event.all_tenants.values_list("type", "payload")) == [("paid", {"n": 1})]


def test_webhook_form_is_signed_as_it_was_sent(wire: Wire) -> None:
    answer = wire.deliver(b"command=%2Fpay&text=5", "Content-Type: application/x-www-form-urlencoded")
    assert answer.status == 202
    assert Event.all_tenants.get().payload == {"command": "/pay", "text": "5"}


def test_encoded_body_is_415_on_every_kind_of_route(wire: Wire) -> None:
    for path in (WORKFLOWS, "/api/auth/token/", "/api/nowhere/", "/api/schema/"):
        answer = wire.send("POST", path, JSON, "Content-Encoding: gzip", body=b"\x1f\x8b")
        check_refusal(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    check_refusal(wire.deliver(b"{}", JSON, "Content-Encoding: gzip"), 415, "UNSUPPORTED_MEDIA_TYPE")
    assert wire.deliver(b"{}", JSON, "Content-Encoding: identity").status == 202


def test_signature_sent_twice_is_401(wire: Wire) -> None:
    body = b'{"n": 1}'
    check_refusal(wire.deliver(body, JSON, "X-Webhook-Signature: sha256=00"), 401, "UNAUTHORIZED")
    check_refusal(wire.deliver(body, JSON, f"X-Webhook-Signature: {sign(body)}"), 401, "UNAUTHORIZED")
    assert Event.all_tenants.count() == 0


def test_webhook_answers_carry_their_headers_whatever_their_status(wire: Wire) -> None:
    accepted = wire.deliver(
        b"{}", JSON, "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    )
    assert (accepted.status, accepted.headers["x-trace-id"]) == (202, "4bf92f3577b34da6a3ce929d0e0e4736")
    assert json.loads(accepted.body)["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert accepted.headers.keys() >= RATE_HEADERS
    refusals = {
        401: wire.send("POST", WEBHOOK, JSON, body=b"{}"),
        405: wire.send("GET", WEBHOOK),
        400: wire.deliver(b"{", JSON),
    }
    for status, answer in refusals.items():
        check_refusal(
            answer, status, {400: "VALIDATION_ERROR", 401: "UNAUTHORIZED"}.get(status, "METHOD_NOT_ALLOWED")
        )
    assert refusals[405].headers["allow"] == "POST"


def test_method_of_no_route_is_405_with_those_there_are(wire: Wire) -> None:
    for method, allowed in (
        ("PATCH", "GET, POST, HEAD"),
        ("TRACE", "GET, POST, HEAD"),
        ("OPTIONS", "GET, POST, HEAD"),
    ):
        answer = wire.send(method, WORKFLOWS)
        check_refusal(answer, 405, "METHOD_NOT_ALLOWED")
        assert answer.headers["allow"] == allowed
        assert answer.error["message"] == f"{method} is not answered here; use GET, POST or HEAD"


def test_body_that_is_announced_too_large_is_refused_before_it_is_sent(wire: Wire) -> None:
    for path in (WORKFLOWS, WEBHOOK):
        lines = (
            f"POST {path} HTTP/1.1",
            "Host: 127.0.0.1",
            "Expect: 100-continue",
            "Content-Length: 99999999",
        )
        answer = wire.exchange("\r\n".join([*lines, "", ""]).encode())
        check_refusal(answer, 413, "PAYLOAD_TOO_LARGE")


def test_webhook_refusals_are_complete(wire: Wire) -> None:
    refused = wire.send("POST", WEBHOOK, JSON, body=b"{}")
    assert (refused.status, refused.headers["www-authenticate"]) == (401, 'Signature realm="webhooks"')
    check_refusal(wire.send("POST", "/api/automate/webhooks/%00/", JSON, body=b"{}"), 400, "VALIDATION_ERROR")
    assert wire.deliver(b"{}", JSON).headers["x-content-type-options"] == "nosniff"


def test_all_that_is_wrong_with_a_query_is_said_at_once(wire: Wire) -> None:
    for path, wrong in (
        (WORKFLOWS, {"enabled": "x", "ordering": "x", "page": "0", "page_size": "x"}),
        (
            "/api/automate/executions/",
            {"workflow": "x", "status": "x", "since": "x", "until": "x", "page": "x"},
        ),
        ("/api/automate/events/", {"since": "x", "until": "x", "trace_id": "x" * 300}),
        ("/api/automate/approvals/", {"status": "x", "assigned": "x"}),
        ("/api/v1/endpoints/", {"enabled": "x", "ordering": "-tenant__secrets"}),
        ("/api/v1/jobs/", {"status": "x", "since": "x", "until": "x"}),
        ("/api/v1/artifacts/", {"job": "x", "since": "x", "until": "x", "page_size": "-1"}),
    ):
        answer = wire.send("GET", f"{path}?{urlencode(wrong)}")
        assert (path, answer.status, {problem["field"] for problem in answer.error["details"]}) == (
            path, 400, set(wrong),
        )  # fmt: skip


def test_url_with_too_many_parameters_is_400(wire: Wire) -> None:
    answer = wire.send("GET", WORKFLOWS + "?" + "a=1&" * 2_000)
    check_refusal(answer, 400, "VALIDATION_ERROR")
    assert answer.error["message"] == "The request names too many parameters; send fewer"


def test_host_of_another_site_is_400_and_named_as_the_reason(wire: Wire) -> None:
    answer = wire.exchange(f"GET {WORKFLOWS} HTTP/1.1\r\nHost: evil.example\r\n\r\n".encode())
    check_refusal(answer, 400, "VALIDATION_ERROR")
    assert answer.error["message"] == "The Host header names no host of this site; use its own name"
