"""The words other surfaces use for the status of an execution: one table each, and nothing else decides."""

from __future__ import annotations

from automate.enums import ExecutionStatus

TASK_WORDS: dict[str, str] = {
    ExecutionStatus.QUEUED.value: "PENDING",
    ExecutionStatus.RUNNING.value: "STARTED",
    ExecutionStatus.WAITING.value: "STARTED",
    ExecutionStatus.SUCCESS.value: "SUCCESS",
    ExecutionStatus.FAILED.value: "FAILURE",
    ExecutionStatus.CANCELLED.value: "REVOKED",
}
"""Status of a task, as the orchestrator API says it."""

SOCKET_WORDS: dict[str, str] = {
    ExecutionStatus.QUEUED.value: "running",
    ExecutionStatus.RUNNING.value: "running",
    ExecutionStatus.WAITING.value: "running",
    ExecutionStatus.SUCCESS.value: "completed",
    ExecutionStatus.FAILED.value: "failed",
    ExecutionStatus.CANCELLED.value: "idle",
}
"""Status of a workflow, as the socket says it: that of its newest execution."""

NEVER_RAN = "idle"
"""The socket's word for a workflow without executions."""
