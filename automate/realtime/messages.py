"""Messages: what is said to those who look on, made of recorded rows and their marks alone.

A message is one mark of one row, so the same rows give the same messages, with the same numbers, whether they were
just committed or are read back years later.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import orjson

from automate.executions import marks
from automate.executions.rows import Change, Recorded

DEFAULT_ROUTE = "default"
"""The route of a step that named none."""

_NODE = {
    marks.STARTED: "node_started",
    marks.WAITING: "node_waiting",
    marks.COMPLETED: "node_completed",
    marks.FAILED: "node_failed",
    marks.CANCELLED: "node_cancelled",
    marks.SKIPPED: "node_skipped",
}
_ITERATION = {letter: kind.replace("node_", "iteration_") for letter, kind in _NODE.items()}
_WORKFLOW = {
    marks.STARTED: "workflow_started",
    marks.WAITING: "workflow_waiting",
    marks.COMPLETED: "workflow_completed",
    marks.FAILED: "workflow_failed",
    marks.CANCELLED: "workflow_cancelled",
}
ENDS = frozenset({"workflow_completed", "workflow_failed", "workflow_cancelled"})
"""Types of the messages after which nothing happens to an execution, unless it is put back by hand."""

_INDEX = re.compile(r"\[(\d+)\]")


FLEETING = frozenset({"node_log", "node_token"})
"""Types of messages that are not recorded: lost ones stay lost, and they have no number of their own."""


class Message(NamedTuple):
    """One message: `seq` counts within the execution, without gaps; `text` is the whole of it as JSON."""

    execution_id: str
    seq: int
    kind: str
    text: str

    @property
    def is_fleeting(self) -> bool:
        """Whether it is not recorded; `seq` is then that of the last recorded one before it."""
        return self.kind in FLEETING


class Step(Protocol):
    """What is said of a step; times are seconds since the epoch."""

    path: str
    node_key: str
    node_type: str
    attempt: int
    route: str
    error_code: str
    error_message: str
    wake_at: float | None
    started_at: float | None
    finished_at: float | None
    marks: str


class Execution(Protocol):
    """What is said of an execution; times are seconds since the epoch."""

    id: str
    automation_id: str
    error_code: str
    error_summary: str
    started_at: float | None
    finished_at: float | None
    marks: str


def of_changes(changes: Iterable[Change], recorded: Recorded) -> dict[str, list[Message]]:
    """Return what was recorded of changes, by automation, of those that are watched; each execution's in order."""
    found: dict[str, list[Message]] = {}
    for change in changes:
        if change.item.id not in recorded.held:
            continue
        about = {
            row.id: row
            for row in change.about
            if row.automation_id in recorded.watched and row.id not in recorded.unmade
        }
        if not about:
            continue
        said = [message for row in about.values() for message in of_execution(row)]
        for step in change.steps:
            if (row := about.get(step.execution_id)) is not None:
                said += of_step(row.automation_id, row.id, step)
                if step.lines is not None:
                    said += step.lines.messages(row.automation_id, row.id)
        for message in sorted(said, key=lambda one: one.seq):
            found.setdefault(about[message.execution_id].automation_id, []).append(message)
    return found


def of_execution(row: Execution) -> Iterator[Message]:
    """Yield what the marks of an execution's row say."""
    for seq, letter in marks.read(row.marks):
        more: dict[str, Any] = {}
        if letter == marks.STARTED:
            more["at"] = moment(row.started_at)
        elif letter != marks.WAITING:
            more["at"] = moment(row.finished_at)
            more["duration_seconds"] = seconds(row.started_at, row.finished_at)
        if letter == marks.FAILED or (letter == marks.CANCELLED and row.error_code):
            more["error"] = row.error_summary or row.error_code
            more["error_code"] = row.error_code
        yield _message(_WORKFLOW[letter], row.automation_id, row.id, seq, "", more)


def of_step(workflow_id: str, execution_id: str, row: Step) -> Iterator[Message]:
    """Yield what the marks of a step's row say."""
    kinds = _ITERATION if row.path.endswith("]") else _NODE
    places = _INDEX.findall(row.path) if "[" in row.path else ()
    about = {
        "node_id": row.node_key,
        "node_type": row.node_type,
        "path": row.path,
        "iteration": int(places[-1]) if places else None,
        "attempt": row.attempt,
    }
    node = _members(about)
    for seq, letter in marks.read(row.marks):
        more: dict[str, Any] = {}
        if letter == marks.STARTED:
            more["at"] = moment(row.started_at)
        elif letter == marks.WAITING:
            more["wake_at"] = moment(row.wake_at)
        else:
            more["at"] = moment(row.finished_at)
            more["duration_seconds"] = seconds(row.started_at, row.finished_at)
        if letter == marks.COMPLETED:
            more["route"] = row.route or DEFAULT_ROUTE
        elif letter == marks.FAILED:
            more["error"] = row.error_message or row.error_code
            more["error_code"] = row.error_code
            more["will_retry"] = row.wake_at is not None
        yield _message(kinds[letter], workflow_id, execution_id, seq, node, more)


def moment(timestamp: float | None) -> str | None:
    """Return a time in seconds since the epoch as ISO 8601 text in UTC."""
    if timestamp is None:
        return None
    part, second = math.modf(timestamp)
    carried, microsecond = divmod(round(part * 1_000_000), 1_000_000)
    return f"{_second(int(second) + carried)}.{microsecond // 1_000:03d}Z"


def seconds(start: float | None, end: float | None) -> float | None:
    """Return how long something took, in seconds."""
    return None if start is None or end is None else round(max(0.0, end - start), 3)


@lru_cache(maxsize=1_024)
def _second(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _members(values: dict[str, Any]) -> str:
    """Return the members of a JSON object, each after a comma."""
    return "," + orjson.dumps(values).decode()[1:-1] if values else ""


def _message(
    kind: str, workflow_id: str, execution_id: str, seq: int, node: str, more: dict[str, Any]
) -> Message:
    # Made thousands of times a second where somebody watches, so that what two share is written once.
    text = (
        f'{{"type":"{kind}","workflow_id":"{workflow_id}","execution_id":"{execution_id}","seq":{seq}'
        f"{node}{_members(more)}}}"
    )
    return Message(execution_id, seq, kind, text)
