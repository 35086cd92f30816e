"""What the waiting steps accept as config, and what they wait for."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from automate.waits.correlation import folded
from automate.waits.steps import MAX_WAIT_SECONDS, WaitForEventStep, WaitForWebhookStep
from automate.waits.tokens import resume_token, token_hash
from automate_core.errors import PermanentError
from automate_core.steps import StepContext, Wait, step_registry

CONTEXT = StepContext(UUID(int=1), UUID(int=2), "loop[3]/wait", 1, "", "", {})


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        ({"event_type": "a.*"}, []),
        ({"event_type": "{{ input.type }}", "match": {"payload.id": "{{ input.id }}"}, "timeout_seconds": 5}, []),
        ({"event_type": "a", "rule": {"==": [{"var": "payload.n"}, 1]}, "timeout_seconds": "{{ input.t }}"}, []),
        ({}, ["event_type"]),
        ({"event_type": ["a"]}, ["event_type"]),
        ({"event_type": "x" * 256}, ["event_type"]),
        ({"event_type": "a", "match": {"id.x": 1}}, ["match.id.x"]),
        ({"event_type": "a", "rule": {"nonsense": []}}, ["rule"]),
        ({"event_type": "a", "timeout_seconds": 0}, ["timeout_seconds"]),
        ({"event_type": "a", "timeout_seconds": True}, ["timeout_seconds"]),
        ({"event_type": "a", "timeout_seconds": MAX_WAIT_SECONDS + 1}, ["timeout_seconds"]),
    ],
)  # fmt: skip
def test_problems_of_wait_for_event(config: dict[str, Any], fields: list[str]) -> None:
    assert [problem.field for problem in WaitForEventStep().problems(config)] == fields


def test_problems_of_a_rule_that_would_be_too_deep_once_folded() -> None:
    rule: Any = True
    for _ in range(64):
        rule = {"!": [rule]}
    fields = [problem.field for problem in WaitForEventStep().problems({"event_type": "a", "rule": rule})]
    assert fields == ["rule"]


def test_wait_for_event_waits_for_type_rule_and_time() -> None:
    config = {
        "event_type": "paid",
        "match": {"payload.id": 7},
        "rule": {"var": "payload.ok"},
        "timeout_seconds": "60",
    }
    assert WaitForEventStep().run(config, CONTEXT) == Wait(
        seconds=60.0, event_type="paid", rule=folded({"payload.id": 7}, {"var": "payload.ok"})
    )
    assert WaitForEventStep().run({"event_type": "paid"}, CONTEXT) == Wait(
        event_type="paid", rule={"and": [True]}
    )


@pytest.mark.parametrize(
    "config",
    [{"event_type": ""}, {"event_type": 5}, {"event_type": "a", "timeout_seconds": "soon"},
     {"event_type": "a", "timeout_seconds": "nan"}, {"event_type": "a", "timeout_seconds": -1},
     {"event_type": "a", "match": {"payload.id": None}}],
)  # fmt: skip
def test_wait_for_event_fails_on_what_rendering_left(config: dict[str, Any]) -> None:
    with pytest.raises(PermanentError):
        WaitForEventStep().run(config, CONTEXT)


def test_wait_for_webhook_waits_for_the_hash_of_its_own_token() -> None:
    token = resume_token(UUID(int=2), "loop[3]/wait")
    assert WaitForWebhookStep().run({"timeout_seconds": 9}, CONTEXT) == Wait(
        seconds=9.0, token_hash=token_hash(token)
    )
    assert WaitForWebhookStep().problems({"timeout_seconds": []})[0].field == "timeout_seconds"


def test_waiting_steps_are_registered() -> None:
    assert {"wait_for_event", "wait_for_webhook"} <= set(step_registry)
