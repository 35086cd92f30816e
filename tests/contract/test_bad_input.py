"""Input nobody should send: each kind has one documented answer, on every route that reads it."""

from __future__ import annotations

import gzip
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from automate.models import Automation, Event
from automate.webhooks import sources
from automate_core.models import Tenant
from tests.automate.api.conftest import (
    key_client,
    make_event,
    make_execution,
    make_key,
    make_user,
    make_workflow,
    other_tenant,
    tenant,
)

__all__ = [
    "key_client",
    "make_event",
    "make_execution",
    "make_key",
    "make_user",
    "make_workflow",
    "other_tenant",
    "tenant",
]

pytestmark = pytest.mark.django_db

MakeClient = Callable[..., Client]
SECRET = "webhook-secret"
ROUTES = (
    "/api/automate/workflows/",
    "/api/automate/events/",
    "/api/v1/events/",
    "/api/automate/webhooks/shop/",
)

DEEP = b'{"payload": ' + b"[" * 2000 + b"]" * 2000 + b"}"
BAD_BODIES = {
    "2,000 levels deep": (DEEP, 400),
    "2,000 objects deep": (b'{"a":' * 2000 + b"1" + b"}" * 2000, 400),
    "escaped NUL": (b'{"name": "a\\u0000", "type": "a\\u0000", "event_type": "a\\u0000"}', 400),
    "NUL in a key": (b'{"a\\u0000b": 1}', 400),
    "raw NUL": (b'{"name": "a\x00"}', 400),
    "high surrogate alone": (b'{"name": "\\ud800"}', 400),
    "low surrogate alone": (b'{"name": "\\udc00"}', 400),
    "surrogate in a key": (b'{"\\udfff": 1}', 400),
    "bytes that are not UTF-8": (b'{"name": "\xff\xfe"}', 400),
    "NaN": (b'{"n": NaN}', 400),
    "Infinity": (b'{"n": -Infinity}', 400),
    "1e999": (b'{"n": 1e999}', 400),
    "duplicate keys": (b'{"name": "a", "name": "b"}', 400),
    "duplicate keys inside": (b'{"payload": {"a": 1, "a": 1}}', 400),
    "duplicate keys, one escaped": (b'{"name": "a", "n\\u0061me": "b"}', 400),
    "byte order mark": (b'\xef\xbb\xbf{"name": "a", "type": "a", "event_type": "a"}', 400),
    "UTF-16": ('{"name": "a", "type": "a", "event_type": "a"}'.encode("utf-16"), 400),
    "1e400 in a rule": (b'{"name": "a", "trigger_config": {"rule": {"==": [1, 1e400]}}}', 400),
    "gzip": (gzip.compress(b'{"name": "a", "type": "a", "event_type": "a"}'), 415),
    "10 MB": (b'{"payload": "' + b"a" * 10_000_000 + b'"}', 413),
}


@pytest.fixture
def shop(tenant: Tenant) -> None:
    sources.forget()
    sources.create_source(slug="shop", preset="generic", secret=SECRET, by="test")


def post(
    client: Client, url: str, body: bytes, content_type: str = "application/json", **headers: str
) -> Any:
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return client.post(
        url, body, content_type=content_type, headers={"X-Webhook-Signature": signature, **headers}
    )


@pytest.mark.parametrize("url", ROUTES)
def test_bad_body_is_refused_in_shape_and_stores_nothing(
    key_client: MakeClient, shop: None, subtests: pytest.Subtests, url: str
) -> None:
    client = key_client()
    for name, (body, status) in BAD_BODIES.items():
        with subtests.test(name):
            headers = {"Content-Encoding": "gzip"} if name == "gzip" else {}
            answer = post(client, url, body, **headers)
            assert answer.status_code == status
            assert sorted(answer.json()["error"]) == ["code", "details", "message", "trace_id"]
    assert (Automation.all_tenants.count(), Event.all_tenants.count()) == (0, 0)


@pytest.mark.parametrize("url", ROUTES[:3])
def test_body_that_is_no_object_is_400(key_client: MakeClient, url: str) -> None:
    for body in (b"[]", b'"text"', b"1", b"null", b"true"):
        assert post(key_client(), url, body).status_code == 400


@pytest.mark.parametrize("url", ROUTES[:3])
def test_json_sent_as_text_is_415(key_client: MakeClient, url: str) -> None:
    answer = post(key_client(), url, b'{"name": "a", "type": "a"}', "text/plain")
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "name", ["X-Trace-ID", "traceparent", "X-Tenant-ID", "X-Request-ID", "Idempotency-Key", "Origin"]
)
def test_line_breaks_in_a_header_reach_no_response_header(key_client: MakeClient, name: str) -> None:
    answer = post(key_client(), ROUTES[1], b'{"type": "a"}', **{name: "a\r\nSet-Cookie: planted=1"})
    assert answer.status_code in {201, 400, 404}
    assert [(key, value) for key, value in answer.items() if "\n" in value or "planted" in value] == []
    assert "planted" not in answer.cookies


@pytest.mark.parametrize(
    "url", ["/api/automate/workflows/", "/api/automate/executions/", "/api/automate/events/"]
)
def test_bad_page_is_400_and_a_huge_size_is_capped(key_client: MakeClient, url: str) -> None:
    client = key_client()
    for query in (
        "page=-1",
        "page=0",
        "page=1.5",
        "page=x",
        "page_size=-1",
        "page_size=0",
        "page_size=%D9%A3",
    ):
        answer = client.get(f"{url}?{query}")
        assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (
            400,
            query.split("=")[0],
        )
    assert client.get(f"{url}?page_size={10**9}").status_code == 200


@pytest.mark.parametrize(
    "value", ["notadate", "2024-13-01", "2024-01-01T25:00:00Z", "0", "now()", "2024-01-01T00:00:00Z; DROP"]
)
@pytest.mark.parametrize("name", ["since", "until"])
def test_time_that_is_none_is_400_naming_the_parameter(key_client: MakeClient, name: str, value: str) -> None:
    for url in ("/api/automate/executions/", "/api/automate/events/"):
        answer = key_client().get(url, {name: value})
        assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (400, name)


@pytest.mark.parametrize(
    "value",
    ["-tenant__secrets", "tenant__slug", "?", "--name", "name,slug", "live_version__graph", "pk", "-"],
)
def test_order_by_what_is_not_listed_is_400(key_client: MakeClient, value: str) -> None:
    answer = key_client().get("/api/automate/workflows/", {"ordering": value})
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (400, "ordering")


@pytest.mark.parametrize("url", ["/api/automate/executions/", "/api/automate/events/"])
def test_time_span_that_ends_before_it_begins_is_empty(key_client: MakeClient, url: str) -> None:
    answer = key_client().get(url, {"since": "2025-01-01", "until": "2024-01-01"})
    assert (answer.status_code, answer.json()["results"]) == (200, [])


def test_parameter_given_twice_counts_last_and_an_unknown_one_not_at_all(
    key_client: MakeClient, make_workflow: Any
) -> None:
    make_workflow("Orders")
    client = key_client()

    def slugs(query: str) -> list[str]:
        answer = client.get(f"{ROUTES[0]}?{query}")
        return [row["slug"] for row in answer.json()["results"]]

    assert slugs("search=absent&search=orders") == ["orders"]
    assert slugs("search=orders&search=absent") == []
    assert slugs("tenant=other&nothing[]=1&%00=".replace("%00", "%01")) == ["orders"]
    assert client.get(f"{ROUTES[0]}?page=x&page=1").status_code == 200
    assert client.get(f"{ROUTES[0]}?page=1&page=x").status_code == 400


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"-9223372036854775809", -9223372036854775809),
        (b"1e308", 1e308),
        (b"0.1", 0.1),
        (b"-0", 0),
    ],
)
def test_number_is_what_a_double_or_a_whole_number_holds(
    key_client: MakeClient, sent: bytes, stored: float
) -> None:
    answer = post(key_client(), ROUTES[1], b'{"type": "a", "payload": {"n": ' + sent + b"}}")
    assert answer.status_code == 201
    assert Event.all_tenants.get().payload["n"] == pytest.approx(stored, rel=1e-15)


@pytest.mark.parametrize("number", [b"99999999999999999999", b"2147483648", b"1e400", b"-1", b"0", b"1.5"])
def test_version_no_column_holds_is_400(
    key_client: MakeClient, make_workflow: Any, make_execution: Any, number: bytes
) -> None:
    url = f"/api/automate/executions/{make_execution(make_workflow()).pk}/replay/"
    assert post(key_client(), url, b'{"version": ' + number + b"}").status_code == 400
