from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command

from automate.models import Execution, StepRun
from automate.workflows import create_workflow
from automate_core.models import AuditEntry, OutboxItem
from automate_core.outbox import enqueue
from tests.automate.commands.test_automate_execution import make_execution

pytestmark = pytest.mark.django_db


def order(execution: Execution, verb: str, *more: str) -> str:
    out = io.StringIO()
    call_command("automate_control", verb, str(execution.id), *more, stdout=out)
    return out.getvalue()


def open_execution() -> Execution:
    graph = {"nodes": [{"id": "hold", "type": "delay", "config": {"seconds": 60}}]}
    automation = create_workflow(name="Orders", slug="orders", graph=graph, by="test")
    execution = Execution.objects.create(
        automation=automation, version=automation.live_version, status="WAITING"
    )
    for path in ("hold", "other"):
        StepRun.objects.create(
            execution=execution, path=path, node_key=path, node_type="delay", status="WAITING", effect="pure",
            wake_at=datetime(2999, 1, 1, tzinfo=UTC),
        )  # fmt: skip
    return execution


def test_execution_is_paused_resumed_helped_and_cancelled() -> None:
    execution = open_execution()
    assert order(execution, "pause") == f"{execution.id} paused\n"
    assert order(execution, "resume") == f"{execution.id} resumed\n"
    assert order(execution, "skip", "hold") == f"{execution.id} hold skipped\n"
    assert order(execution, "retry", "other") == f"{execution.id} other is tried again\n"
    assert order(execution, "cancel", "--reason", "late") == f"{execution.id} cancelled\n"
    with pytest.raises(CommandError, match="is CANCELLED"):
        order(execution, "cancel")
    done = AuditEntry.objects.filter(actor="command:automate_control").order_by("id")
    stood = {"status": "WAITING", "paused": False, "cancel_requested": False}
    ended = {"status": "CANCELLED", "paused": False, "cancel_requested": True}
    assert [(entry.action, entry.after) for entry in done] == [
        ("execution.pause", {**stood, "paused": True}),
        ("execution.resume", stood),
        ("execution.skip", {**stood, "path": "hold"}),
        ("execution.retry", {**stood, "path": "other"}),
        ("execution.cancel", {**ended, "reason": "late"}),
    ]


def test_execution_at_work_is_asked_to_stop() -> None:
    execution = open_execution()
    enqueue(kind="execution", payload={"execution_id": str(execution.id)})
    OutboxItem.objects.update(status="CLAIMED", lease_expires_at=datetime(2999, 1, 1, tzinfo=UTC))
    assert order(execution, "cancel") == f"{execution.id} asked to stop\n"


def test_replay_prints_the_new_id() -> None:
    execution = make_execution()
    copy_id = order(
        execution, "replay", "--from", "check", "--of", "1", "--input", '{"n": 2}', "--allow", "x"
    ).strip()
    copy = Execution.objects.get(pk=copy_id)
    assert (copy.replay_of_id, copy.context, copy.version.number) == (execution.id, {"n": 2}, 1)
    entry = AuditEntry.objects.get(action="execution.replay")
    assert (entry.after["from"], entry.after["force"]) == ("check", ["x"])


def test_replay_that_is_refused_says_why() -> None:
    execution = make_execution()
    with pytest.raises(CommandError, match="no step 'absent' there"):
        order(execution, "replay", "--from", "absent")
    with pytest.raises(CommandError, match="--input is not JSON"):
        order(execution, "replay", "--input", "{")
