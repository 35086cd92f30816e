from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

from automate.models import Execution, StepRun
from automate.workflows import create_workflow

pytestmark = pytest.mark.django_db

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def after(milliseconds: int) -> datetime:
    return START + timedelta(milliseconds=milliseconds)


def make_execution(error: str = "The server said 503") -> Execution:
    graph = {"nodes": [{"id": "check", "type": "condition", "config": {"rule": True}}]}
    automation = create_workflow(name="Orders", slug="orders", graph=graph, by="test")
    execution = Execution.objects.create(
        automation=automation, version=automation.live_version, status="FAILED", error_code="TRANSIENT_ERROR",
        error_summary="call: gave up", created_at=START, started_at=after(3), finished_at=after(61_000),
    )  # fmt: skip
    common = {"execution": execution, "effect": "pure", "node_type": "condition"}
    StepRun.objects.create(
        path="check", node_key="check", status="SUCCESS", route="true", seq=1, output_data=True,
        started_at=after(3), finished_at=after(5), **common,
    )  # fmt: skip
    StepRun.objects.create(
        path="call", node_key="call", status="FAILED", seq=2, error_code="TRANSIENT_ERROR", error_message=error,
        started_at=after(5), finished_at=after(60_000), **common,
    )  # fmt: skip
    StepRun.objects.create(
        path="loop[3]/pause", node_key="pause", attempt=2, status="WAITING", seq=3, wake_at=after(0), **common
    )
    return execution


def show(execution: Execution, *more: str) -> str:
    out = io.StringIO()
    call_command("automate_execution", str(execution.id), *more, stdout=out)
    return out.getvalue()


def test_table_shows_the_execution_and_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    execution = make_execution()
    assert show(execution).splitlines() == [
        f"execution  {execution.id}  FAILED",
        "workflow   orders v1, tenant default",
        "event      -",
        "created    2026-01-02 03:04:05 UTC, started after 3 ms",
        "ran        61.0 s",
        "error      TRANSIENT_ERROR: call: gave up",
        "",
        "STEP           TRY  STATUS   TOOK    ROUTE  ERROR",
        "check          1    SUCCESS  2 ms    true",
        "call           1    FAILED   60.0 s  -      TRANSIENT_ERROR: The server said 503",
        "loop[3]/pause  2    WAITING  -       -      wakes at 2026-01-02 03:04:05 UTC",
    ]


@pytest.mark.parametrize("width", [72, 120])
def test_table_fits_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    table = show(make_execution("long " * 100)).split("\n\n")[1].splitlines()
    assert max(map(len, table)) == width
    assert table[2].endswith("…")


def test_table_does_not_let_an_error_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = show(make_execution("\x1b]0;owned\x07\nSTEP"))
    assert ("\x1b" in text, r"\x1b]0;owned\x07\nSTEP" in text) == (False, True)


def test_json_has_everything() -> None:
    execution = make_execution()
    facts = json.loads(show(execution, "--json"))
    assert (facts["id"], facts["workflow"], facts["version"], facts["status"]) == (
        str(execution.id), "orders", 1, "FAILED",
    )  # fmt: skip
    assert [(step["path"], step["status"], step["output"]) for step in facts["steps"]] == [
        ("check", "SUCCESS", True), ("call", "FAILED", None), ("loop[3]/pause", "WAITING", None),
    ]  # fmt: skip


def test_execution_without_steps_says_so() -> None:
    execution = make_execution()
    StepRun.objects.all().delete()
    assert show(execution).splitlines()[-1] == "No step has run."


def test_unknown_execution_is_named() -> None:
    execution = make_execution()
    execution.id = StepRun.objects.values_list("id", flat=True)[0]
    with pytest.raises(CommandError, match="There is no execution") as caught:
        show(execution)
    assert caught.value.returncode == 1
    with pytest.raises(CommandError, match="'12' is not an execution's id") as caught:
        call_command("automate_execution", "12")
    assert caught.value.returncode == 2


def test_open_execution_says_what_was_ordered_and_who_called_it() -> None:
    execution = make_execution()
    parent = "01990000-0000-7000-8000-000000000001"
    Execution.objects.update(
        status="WAITING", finished_at=None, paused_at=START, held_at=START, cancel_requested_at=START,
        parent_execution_id=parent, parent_path="each[1]/call", output={"n": 1},
    )  # fmt: skip
    shown = show(execution).splitlines()
    assert [line for line in shown if line.startswith(("called by", "paused", "held", "cancel"))] == [
        f"called by  {parent}  each[1]/call",
        "paused     since 2026-01-02 03:04:05 UTC",
        "held       since 2026-01-02 03:04:05 UTC",
        "cancel     asked for 2026-01-02 03:04:05 UTC",
    ]
    facts = json.loads(show(execution, "--json"))
    assert (facts["parent"], facts["output"]) == ({"id": parent, "path": "each[1]/call"}, {"n": 1})
