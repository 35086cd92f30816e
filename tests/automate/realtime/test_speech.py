"""What steps say while they run."""

from __future__ import annotations

import time

import pytest

from automate.events import run_workflow
from automate_core.steps import Effect
from tests.factories.engine import node, workflow
from tests.factories.live import hear, hear_until

pytestmark = pytest.mark.django_db(transaction=True)


def test_pieces_of_a_text_arrive_while_it_comes_into_being(site, worker, key, register_step, gate):
    def streams(config, context):
        for piece in ("The ", "answer ", "is 42."):
            context.live.token(piece)
        context.live.log("half way", level="warning")
        gate.pass_through()
        context.live.token("Done.")
        return {"text": "The answer is 42. Done."}

    register_step("streams", Effect.IDEMPOTENT, streams)
    automation = workflow(node("model", "streams"))
    with site.follow(automation.id, key=key) as socket:
        hear(socket)
        run_workflow("orders", {})
        before = hear_until(socket, "node_log")
        gate.open.set()
        after = hear_until(socket, "workflow_completed")
    said = [one for one in before + after if one["type"] in ("node_token", "node_log")]
    assert "".join(one["text"] for one in said if one["type"] == "node_token") == "The answer is 42.Done."
    assert [one["level"] for one in said if one["type"] == "node_log"] == ["warning"]
    assert [one["count"] for one in said] == list(range(1, len(said) + 1))
    assert {one["seq"] for one in said} == {2}
    recorded = [one["seq"] for one in before + after if one not in said]
    assert recorded == [1, 2, 3, 4]


def test_logged_line_arrives_without_its_secrets(site, worker, key):
    automation = workflow(
        node("log", "logging", {"message": "sent with Authorization: Bearer abcdef0123456789abcdef"})
    )
    with site.follow(automation.id, key=key) as socket:
        hear(socket)
        run_workflow("orders", {})
        heard = hear_until(socket, "workflow_completed")
    lines = [one["text"] for one in heard if one["type"] == "node_log"]
    assert len(lines) == 1
    assert "abcdef0123456789abcdef" not in lines[0]
    assert lines[0].startswith("sent with")


def test_step_says_what_it_wants_where_nobody_watches(worker, register_step):
    said = []

    def speaks(config, context):
        context.live.log("to nobody")
        context.live.token("at all")
        said.append(context.live._count)
        return {}

    register_step("speaks", Effect.IDEMPOTENT, speaks)
    workflow(node("a", "speaks"))
    from automate.models import Execution

    execution_id = run_workflow("orders", {})
    while not Execution.objects.get(pk=execution_id).finished_at:
        time.sleep(0.02)
    assert said == [0]
