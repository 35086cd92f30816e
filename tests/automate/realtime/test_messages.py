"""What a row says: one JSON object for each mark, whatever its texts are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from automate.realtime import messages

WORKFLOW, EXECUTION = "0198c0de-0000-7000-8000-000000000001", "0198c0de-0000-7000-8000-000000000002"
BEGIN = 1_767_268_800.25


@dataclass
class Step:
    path: str = "call"
    node_key: str = "call"
    node_type: str = "http_request"
    attempt: int = 1
    route: str = ""
    error_code: str = ""
    error_message: str = ""
    wake_at: float | None = None
    started_at: float | None = BEGIN
    finished_at: float | None = None
    marks: str = "s2"


def said(step: Step) -> list[dict[str, object]]:
    found = list(messages.of_step(WORKFLOW, EXECUTION, step))
    assert [(one.execution_id, one.seq, one.kind) for one in found] == [
        (EXECUTION, said["seq"], said["type"]) for said in (json.loads(one.text) for one in found)
    ]
    return [json.loads(one.text) for one in found]


def test_step_that_began_and_failed_says_both_in_order() -> None:
    step = Step(
        path='each[0]/in[12]/"a"', node_key='"a"', node_type="ünïcode", attempt=2, error_code="TIMEOUT",
        error_message='no "answer"\n', wake_at=BEGIN + 3, finished_at=BEGIN + 1.5, marks="s7f9",
    )  # fmt: skip
    about = {
        "workflow_id": WORKFLOW, "execution_id": EXECUTION, "node_id": '"a"', "node_type": "ünïcode",
        "path": 'each[0]/in[12]/"a"', "iteration": 12, "attempt": 2,
    }  # fmt: skip
    assert said(step) == [
        {"type": "node_started", "seq": 7, **about, "at": "2026-01-01T12:00:00.250Z"},
        {
            "type": "node_failed", "seq": 9, **about, "at": "2026-01-01T12:00:01.750Z", "duration_seconds": 1.5,
            "error": 'no "answer"\n', "error_code": "TIMEOUT", "will_retry": True,
        },
    ]  # fmt: skip


def test_row_of_an_iteration_speaks_of_the_iteration() -> None:
    found = said(Step(path="each[3]", node_key="each", marks="s4"))
    assert [(one["type"], one["iteration"]) for one in found] == [("iteration_started", 3)]


@pytest.mark.parametrize(
    "timestamp",
    [0.0, BEGIN, 1_767_268_799.9999999, 1_767_268_800.0004999, 1_767_268_800.9995, 2_682_308_226.4959993],
)
def test_moment_is_what_datetime_makes_of_it(timestamp: float) -> None:
    expected = datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="milliseconds")
    assert messages.moment(timestamp) == expected.replace("+00:00", "Z")
