"""What a run has yet to record: its execution's row and the rows of steps that changed since the last commit."""

from __future__ import annotations

from typing import Any

from automate.enums import ExecutionStatus, StepStatus
from automate.executions import marks
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
        self.told_status = self.stored_status
        self.handed_out: set[str] = set()

    def redacted(self, value: Any) -> Any:
        """Return data fit to be recorded: without secrets, and without the tokens of links handed out."""
        return redact(value, sorted(self.handed_out)) if self.handed_out else redact(value)

    def touch(self, row: StepRow) -> None:
        """Have a step's row recorded; a status it did not have before is the next thing that happened."""
        if row.told != row.status:
            if not row.told and row.status not in (StepStatus.RUNNING, StepStatus.SKIPPED):
                self._mark_step(row, marks.STARTED)
            self._mark_step(row, marks.LETTERS[row.status])
            row.told = row.status
        self.dirty[(row.path, row.attempt)] = row
        self.dirty_bytes += 200 + len(row.output_data or "") + len(row.input_data or "")

    def touch_opened(self) -> None:
        """Mark what was begun and is not over by now."""
        for row in self.opened.values():
            self.touch(row)
        self.opened.clear()

    def recorded(self) -> None:
        """Forget what is on record now."""
        for row in self.dirty.values():
            row.marks, row.lines, row.is_stored = "", None, True
        self.dirty.clear()
        self.dirty_bytes = 0
        self.row.marks = ""
        self.stored_status = self.row.status

    def touch_execution(self) -> None:
        """Note that the execution itself began, waits or ended, if that is new."""
        status = self.row.status
        if status == self.told_status:
            return
        self.told_status = status
        self._begin()
        if status != ExecutionStatus.RUNNING:
            number = self._next()
            self.row.marks += f"{marks.LETTERS[status]}{number}"

    def _mark_step(self, row: StepRow, letter: str) -> None:
        row.seq = self._next()
        row.marks += f"{letter}{row.seq}"

    def _next(self) -> int:
        self._begin()
        self.row.seq += 1
        return self.row.seq

    def _begin(self) -> None:
        """Note, before anything else, that the execution begins."""
        if not self.row.seq:
            self.row.seq = 1
            self.row.marks += f"{marks.STARTED}1"

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
