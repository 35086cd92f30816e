"""The resume route: one POST answers, nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from automate.models import StepRun
from automate.waits.tokens import resume_token
from tests.automate.waits.conftest import past

pytestmark = pytest.mark.django_db

StepWithLink = Callable[..., tuple[StepRun, str]]


def url(token: str) -> str:
    return f"/api/automate/resume/{token}/"


def answer(step: StepRun) -> Any:
    step.refresh_from_db()
    return step.answer


def test_post_of_json_answers_the_step(step_with_link: StepWithLink) -> None:
    step, token = step_with_link()
    reply = Client().post(
        url(token) + "?a=1&b=1&b=2",
        b'{"paid": true, "password": "hunter2hunter2"}',
        content_type="application/json",
        headers={"User-Agent": "bank/1", "Authorization": "Bearer abcdef123456", "Cookie": "a=b"},
    )
    assert (reply.status_code, reply.json()["message"]) == (202, "The workflow goes on")
    assert answer(step) == {
        "output": {
            "body": {"paid": True, "password": "***REDACTED***"},
            "query": {"a": "1", "b": ["1", "2"]},
            "headers": {"Content-Type": "application/json", "User-Agent": "bank/1"},
        },
        "route": "main",
    }


def test_post_of_a_form_answers_the_step(step_with_link: StepWithLink) -> None:
    step, token = step_with_link()
    reply = Client().post(
        url(token), "a=%C3%BC&b=1&b=2&n=%00", content_type="application/x-www-form-urlencoded"
    )
    assert reply.status_code == 202
    assert answer(step)["output"]["body"] == {"a": "ü", "b": ["1", "2"], "n": "\ufffd"}


def test_post_without_a_body_answers_the_step(step_with_link: StepWithLink) -> None:
    step, token = step_with_link()
    assert Client().generic("POST", url(token)).status_code == 202
    assert answer(step)["output"]["body"] == {}


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_other_methods_show_and_change_nothing(step_with_link: StepWithLink, method: str) -> None:
    step, token = step_with_link()
    reply = getattr(Client(), method)(url(token))
    assert (reply.status_code, answer(step)) == (405, None)
    assert getattr(Client(), method)(url("rsm_" + "x" * 43)).status_code == 405


def test_used_unknown_and_expired_tokens_look_the_same(step_with_link: StepWithLink) -> None:
    _, used = step_with_link()
    Client().post(url(used), {}, content_type="application/json")
    _, expired = step_with_link(wake_at=past())
    unknown = resume_token("0" * 32, "wait")
    replies = [
        Client().post(url(token), {}, content_type="application/json")
        for token in (used, expired, unknown, "1")
    ]
    errors = [{**reply.json()["error"], "trace_id": ""} for reply in replies]
    assert [reply.status_code for reply in replies] == [404] * 4
    assert errors == [errors[0]] * 4
    assert errors[0]["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b"\xff=1", "application/x-www-form-urlencoded", 400),
        (b"--x", "multipart/form-data; boundary=x", 415),
        (b"a=" + b"x" * 1_048_600, "application/x-www-form-urlencoded", 413),
    ],
)
def test_body_that_cannot_be_kept_does_not_spend_the_token(
    step_with_link: StepWithLink, body: bytes, content_type: str, status: int
) -> None:
    step, token = step_with_link()
    reply = Client().generic("POST", url(token), body, content_type=content_type)
    assert (reply.status_code, answer(step)) == (status, None)


def test_calls_are_counted_by_address(step_with_link: StepWithLink, settings: Any) -> None:
    settings.AUTOMATE_API = {**settings.AUTOMATE_API, "RATE_WEBHOOK": "3/minute"}
    _, token = step_with_link()
    guesses = [Client().generic("POST", url("1"), REMOTE_ADDR="192.0.2.1") for _ in range(4)]
    assert [guess.status_code for guess in guesses] == [404] * 3 + [429]
    assert Client().generic("POST", url(token), REMOTE_ADDR="192.0.2.1").status_code == 429
    assert Client().generic("POST", url(token), REMOTE_ADDR="192.0.2.2").status_code == 202
