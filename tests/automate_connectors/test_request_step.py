"""The step `http_request`: what it sends, and that it is the connector's action in everything else."""

from __future__ import annotations

from typing import Any

import pytest

from automate_connectors.models import Connection
from automate_connectors.request_step import HttpRequestStep
from automate_core.errors import PermanentError, TransientError
from automate_core.steps import Effect, StepContext
from tests.automate_core.http.conftest import LoopbackServer

STEP = HttpRequestStep()


@pytest.mark.parametrize(
    ("given", "method", "content_type", "body"),
    [
        ({}, "GET", None, b""),
        ({"body": ""}, "GET", None, b""),
        ({"method": "POST", "body": {"a": 1}}, "POST", "application/json", b'{"a":1}'),
        ({"method": "PUT", "body": [1, None]}, "PUT", "application/json", b"[1,null]"),
        ({"method": "POST", "body": False}, "POST", "application/json", b"false"),
        (
            {"method": "POST", "body": "<x/>", "headers": {"Content-Type": "text/xml"}},
            "POST",
            "text/xml",
            b"<x/>",
        ),
    ],
)
def test_body_is_sent_as_text_or_as_json(
    server: LoopbackServer,
    context: StepContext,
    given: dict[str, Any],
    method: str,
    content_type: str | None,
    body: bytes,
) -> None:
    config = {"url": server.url("/a"), **given}
    assert STEP.problems(config) == []
    result = STEP.run(config, context)
    seen = server.received[0]
    assert (seen.method, seen.headers.get("content-type"), seen.body) == (method, content_type, body)
    assert result.output["status"] == 200


@pytest.mark.django_db
def test_connection_is_used(server: LoopbackServer, context: StepContext) -> None:
    Connection.objects.create(
        name="shop", connector="http", config={"base_url": server.url("/api/"), "headers": {"X-Key": "k"}}
    )
    STEP.run({"url": "orders", "connection": "shop"}, context)
    assert (server.received[0].path, server.received[0].headers["x-key"]) == ("/api/orders", "k")


@pytest.mark.parametrize(
    ("config", "effect"),
    [
        ({}, Effect.IDEMPOTENT),
        ({"method": "POST"}, Effect.AT_MOST_ONCE),
        ({"method": "POST", "idempotency_header": "Idempotency-Key"}, Effect.IDEMPOTENT),
        ({"method": "{{ input.method }}"}, Effect.AT_MOST_ONCE),
    ],
)
def test_effect_follows_the_method(config: dict[str, Any], effect: Effect) -> None:
    assert STEP.effect_of(config) == effect


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        ({}, ["url"]),
        ({"url": 5, "method": "FETCH"}, ["method", "url"]),
        ({"url": "https://a.example", "headers": "x"}, ["headers"]),
        ({"url": "https://a.example", "json": {}}, ["json"]),
        ({"url": "https://a.example", "connection": 5}, ["connection"]),
        ({"url": "{{ input.url }}", "method": "{{ input.method }}", "connection": None}, []),
    ],
)
def test_form_says_what_is_wrong(config: dict[str, Any], fields: list[str]) -> None:
    assert sorted(one.field for one in STEP.problems(config)) == fields


def test_method_that_is_none_once_rendered_is_refused(server: LoopbackServer, context: StepContext) -> None:
    with pytest.raises(PermanentError):
        STEP.run({"url": server.url(), "method": 5}, context)
    assert server.received == []


def test_private_addresses_are_out_of_reach(context: StepContext) -> None:
    with pytest.raises((PermanentError, TransientError)):
        STEP.run({"url": "http://169.254.169.254/latest"}, context)
