"""The `respond` step: what may be answered, and what an answer looks like on the wire."""

from __future__ import annotations

import json
from typing import Any

import pytest

from automate.webhooks.respond import ANSWER_LIMIT_BYTES, MAX_HEADERS, Answer
from automate.workflows import problems
from automate_core.errors import PermanentError
from automate_core.ids import uuid7
from automate_core.models import DEFAULT_TENANT_ID
from automate_core.steps import StepContext, step_registry
from tests.factories.engine import node


def run(config: dict[str, Any]) -> Any:
    """Run the step with a rendered config; return its output."""
    context = StepContext(DEFAULT_TENANT_ID, uuid7(), "a", 1, "", "", {})
    return step_registry.get("respond").run(config, context).output


def sent(config: dict[str, Any]) -> Answer:
    return Answer.of(json.dumps(run(config)))


@pytest.mark.parametrize(
    ("config", "status", "content_type", "body"),
    [
        ({}, 200, "text/plain; charset=utf-8", b""),
        ({"body": {"a": 1}}, 200, "application/json", b'{"a":1}'),
        ({"body": None}, 200, "application/json", b"null"),
        ({"body": "grüß"}, 200, "text/plain; charset=utf-8", "grüß".encode()),
        ({"body": "<p>", "content_type": "text/html"}, 200, "text/html; charset=utf-8", b"<p>"),
        ({"body": "x", "content_type": "text/css; charset=utf-8"}, 200, "text/css; charset=utf-8", b"x"),
        ({"body": "<a/>", "content_type": "application/xml"}, 200, "application/xml", b"<a/>"),
        ({"status": "404", "body": [1]}, 404, "application/json", b"[1]"),
        ({"status": 204}, 204, "text/plain; charset=utf-8", b""),
    ],
)
def test_answer_is_sent_as_configured(
    config: dict[str, Any], status: int, content_type: str, body: bytes
) -> None:
    assert sent(config) == Answer(status, {"content-type": content_type}, body)


def test_headers_are_sent_with_lower_case_names_and_values_as_text() -> None:
    headers = {"X-Total": 3, "Location": "https://shop.example/o/1", "Retry-After": "5"}
    assert sent({"headers": headers}).headers == {
        "content-type": "text/plain; charset=utf-8",
        "x-total": "3",
        "location": "https://shop.example/o/1",
        "retry-after": "5",
    }


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"status": 199}, "status"),
    ({"status": 600}, "status"),
    ({"status": True}, "status"),
    ({"status": 200.5}, "status"),
    ({"status": 204, "body": {"a": 1}}, "body"),
    ({"status": 304, "body": "x"}, "body"),
    ({"content_type": "text"}, "content_type"),
    ({"content_type": "text/html\r\nX-Evil: 1"}, "content_type"),
    ({"headers": [1]}, "headers"),
    ({"headers": {f"x-{n}": "1" for n in range(MAX_HEADERS + 1)}}, "headers"),
    ({"headers": {"x-a": "1\r\nSet-Cookie: a=b"}}, "headers.'x-a'"),
    ({"headers": {"x-a": "1\n"}}, "headers.'x-a'"),
    ({"headers": {"x-a": "grüß"}}, "headers.'x-a'"),
    ({"headers": {"x-a": "1" * 1_001}}, "headers.'x-a'"),
    ({"headers": {"x-a": {"b": 1}}}, "headers.'x-a'"),
    ({"headers": {"x-a\r\nSet-Cookie: a=b; x": "1"}}, r"headers.'x-a\r\nSet-Cookie: a=b; x'"),
    ({"headers": {"Set-Cookie": "a=b"}}, "headers.'Set-Cookie'"),
    ({"headers": {"Transfer-Encoding": "chunked"}}, "headers.'Transfer-Encoding'"),
    ({"headers": {"Connection": "close"}}, "headers.'Connection'"),
    ({"headers": {"Content-Length": "0"}}, "headers.'Content-Length'"),
    ({"headers": {"Content-Type": "text/html"}}, "headers.'Content-Type'"),
    ({"headers": {"Access-Control-Allow-Origin": "*"}}, "headers.'Access-Control-Allow-Origin'"),
    ({"headers": {"X-Accel-Redirect": "/secret"}}, "headers.'X-Accel-Redirect'"),
    ({"headers": {"X-Trace-Id": "1"}}, "headers.'X-Trace-Id'"),
]


@pytest.mark.parametrize(("config", "field"), WRONG)
def test_what_may_not_be_answered_is_refused_when_saved_and_when_run(
    config: dict[str, Any], field: str
) -> None:
    found = problems(graph={"nodes": [node("a", "respond", config)]})
    assert [problem.field.split("config.", 1)[1] for problem in found] == [field]
    with pytest.raises(PermanentError):
        run(config)


def test_templates_are_checked_once_rendered() -> None:
    config = {"status": "{{ input.s }}", "headers": {"x-a": "{{ input.a }}"}, "content_type": "{{ input.t }}"}
    assert problems(graph={"nodes": [node("a", "respond", config)]}) == []
    for rendered in (
        {"status": "2000"},
        {"headers": {"x-a": "{{\r\nSet-Cookie: a=b"}},
        {"content_type": "{{\n"},
    ):
        with pytest.raises(PermanentError):
            run(rendered)


def test_status_of_another_kind_of_text_is_refused() -> None:
    for status in ("ok", "", "²00", "99", "1e2"):
        with pytest.raises(PermanentError, match="status must be a whole number from 200 to 599"):
            run({"status": status})


def test_body_over_the_limit_is_refused() -> None:
    assert len(run({"body": "x" * ANSWER_LIMIT_BYTES})["body"]) == ANSWER_LIMIT_BYTES
    with pytest.raises(PermanentError, match="at most 1048576 bytes"):
        run({"body": "ü" * (ANSWER_LIMIT_BYTES // 2 + 1)})


def test_body_that_is_not_json_is_refused() -> None:
    with pytest.raises(PermanentError, match="must be a text or JSON"):
        run({"body": {"a": object()}})
