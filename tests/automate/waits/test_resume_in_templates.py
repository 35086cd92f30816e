"""Earlier steps send the links of later ones: in the graph and in loops, and no record shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from automate.events import emit_event
from automate.models import Execution, StepRun
from automate.waits.tokens import resume_token
from automate_core.steps import Effect
from tests.automate.runtime.conftest import register_step
from tests.automate.waits.conftest import PUBLIC_URL
from tests.factories.engine import EVENT, drain, edge, finish, node, workflow

__all__ = ["register_step"]

pytestmark = pytest.mark.django_db(transaction=True)

SEND = node("send", "test.send", {"url": "{{ resume.called }}"})
CALLED = node("called", "wait_for_webhook")


@pytest.fixture
def sent(register_step: Callable[..., Any]) -> list[str]:
    """Return the URLs a step sent."""
    urls: list[str] = []

    def send(config: Any, context: Any) -> Any:
        urls.append(config["url"])
        return {"sent": config["url"]}

    register_step("test.send", Effect.IDEMPOTENT, send)
    return urls


def start(payload: Any = None) -> Execution:
    emit_event(EVENT, payload or {})
    drain()
    return Execution.objects.get()


def test_earlier_step_sends_the_link_of_a_later_one(sent: list[str], public_url: str) -> None:
    workflow(SEND, CALLED)
    execution = start()
    token = resume_token(execution.id, "called")
    assert (execution.status, sent) == ("WAITING", [f"{PUBLIC_URL}/api/automate/resume/{token}/"])
    assert Client().generic("POST", sent[0].removeprefix(PUBLIC_URL)).status_code == 202
    assert finish().status == "SUCCESS"
    records = StepRun.objects.values_list("input_data", "output_data", "wake_token")
    assert token not in str(list(records))
    assert StepRun.objects.get(path="send").input_data == {
        "url": f"{PUBLIC_URL}/api/automate/resume/***REDACTED***/"
    }


def test_each_iteration_sends_its_own_link(sent: list[str], public_url: str) -> None:
    workflow(
        node("each", "for_each", {"items": "{{ input.items }}"}), SEND, CALLED,
        edges=[edge("each", "send", "item"), edge("send", "called"), edge("called", "each")],
    )  # fmt: skip
    execution = start({"items": [1, 2]})
    for _ in range(2):
        assert Client().generic("POST", sent[-1].removeprefix(PUBLIC_URL)).status_code == 202
        drain()
    execution.refresh_from_db()
    tokens = [resume_token(execution.id, f"each[{index}]/called") for index in range(2)]
    assert execution.status == "SUCCESS"
    assert [url.rsplit("/", 2)[1] for url in sent] == tokens


def test_link_without_a_public_url_fails_the_step_that_reads_it(sent: list[str]) -> None:
    workflow(SEND, CALLED)
    execution = start()
    assert (execution.status, "PUBLIC_URL" in execution.error_summary, sent) == ("FAILED", True, [])
