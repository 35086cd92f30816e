"""What a run has yet to record: its execution's row and the rows of steps that changed since the last commit."""

from __future__ import annotations

from typing import Any

from automate.enums import StepStatus
from automate.executions.rows import ExecutionRow, StepRow
from automate.runtime.calls import Spot
from automate_core.ids import uuid7
from automate_core.redaction import redact


class Unrecorded:
    """The rows of one execution as they will stand.

    `opened` are rows of things begun and not over, which need a record only if the turn ends before they do;
    `handed_out` are tokens in links that steps were shown.
    """

    def __init__(self, row: ExecutionRow, *, fresh: bool) -> None:
        self.row = row
        self.opened: dict[str, StepRow] = {}
        self.dirty: dict[tuple[str, int], StepRow] = {}
        self.dirty_bytes = 0
        self.stored_status: str = "" if fresh else row.status
        self.handed_out: set[str] = set()

    def redacted(self, value: Any) -> Any:
        """Return data fit to be recorded: without secrets, and without the tokens of links handed out."""
        return redact(value, sorted(self.handed_out)) if self.handed_out else redact(value)

    def touch(self, row: StepRow) -> None:
        """Mark a step's row to be recorded, as the next thing that happened."""
        if (row.path, row.attempt) not in self.dirty:
            self.row.seq += 1
            row.seq = self.row.seq
        self.dirty[(row.path, row.attempt)] = row
        self.dirty_bytes += 200 + len(row.output_data or "") + len(row.input_data or "")

    def touch_opened(self) -> None:
        """Mark what was begun and is not over by now."""
        for row in self.opened.values():
            self.touch(row)
        self.opened.clear()

    def recorded(self) -> None:
        """Forget what is on record now."""
        self.dirty.clear()
        self.dirty_bytes = 0
        self.stored_status = self.row.status

    def new_row(self, spot: Spot, now: float) -> StepRow:
        """Return the row of a step's next attempt."""
        frame, node = spot
        attempt = frame.attempts[node.key] = frame.attempts.get(node.key, 0) + 1
        return StepRow(
            id=str(uuid7()), execution_id=self.row.id, tenant_id=self.row.tenant_id, path=frame.path(node),
            node_key=node.key, node_type=node.type, attempt=attempt, status=StepStatus.RUNNING,
            effect=node.effect.value, route="", input_data=None, output_data=None, variables=None,
            error_code="", error_message="", seq=0, wake_at=None, started_at=now, finished_at=None,
        )  # fmt: skip

    def cancel_row(self, row: StepRow, now: float) -> None:
        """Record that a step that waited or was under way will not go on."""
        row.status, row.wake_at, row.finished_at = StepStatus.CANCELLED, None, now
        self.touch(row)
