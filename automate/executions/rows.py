"""What may be recorded of executions: rows as they will stand, and the change that carries them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from automate_core.outbox.base import ClaimedItem


@dataclass(slots=True)
class ExecutionRow:
    """An execution as it will stand; times are seconds since the epoch, JSON is text, ids are strings.

    `marks` are those not recorded yet (see `automate.executions.marks`).
    """

    id: str
    tenant_id: str
    automation_id: str
    version_id: str
    event_id: str | None
    trigger_id: str | None
    status: str
    context: str
    trace_id: str
    cause_execution_id: str | None
    depth: int
    priority: int
    seq: int = 0
    error_code: str = ""
    error_summary: str = ""
    started_at: float | None = None
    finished_at: float | None = None
    output: str | None = None
    pokes: int = 0
    parent_execution_id: str | None = None
    key: str | None = None
    event_type: str = ""
    marks: str = ""


@dataclass(slots=True)
class StepRow:
    """One attempt of a step as it will stand.

    `marks` are those not recorded yet; `told` is the last status that has one, recorded or not;
    `lines` is what the step said to those who watch. Of one that `is_stored`, the input is on record already.
    """

    id: str
    execution_id: str
    tenant_id: str
    path: str
    node_key: str
    node_type: str
    attempt: int
    status: str
    effect: str
    route: str
    input_data: str | None
    output_data: str | None
    variables: str | None
    error_code: str
    error_message: str
    seq: int
    wake_at: float | None
    started_at: float | None
    finished_at: float | None
    wake_token: str | None = None
    wake_event: str | None = None
    wake_rule: str | None = None
    marks: str = ""
    told: str = ""
    lines: Any = None
    is_stored: bool = False

    @property
    def awaits(self) -> bool:
        """Whether only an answer makes the step succeed; an empty `wake_event` is one addressed by path."""
        return self.wake_event is not None


@dataclass(slots=True)
class FollowUp:
    """An outbox item that follows from a change.

    Of kind `execution` it carries the execution on: leased to the writer at once, or available at a time. One that
    waits for an answer alone is `on_poke`: made only if somebody spoke to the execution meanwhile. Of kind
    `finished` it tells those who care about the end.
    """

    execution_id: str
    tenant_id: str
    priority: int
    trace_id: str
    available_at: float | None
    max_attempts: int
    on_poke: bool = False
    kind: str = "execution"

    @property
    def is_kept(self) -> bool:
        """Whether the writer goes on with it at once, under a lease."""
        return self.kind == "execution" and self.available_at is None and not self.on_poke


@dataclass(slots=True)
class Change:
    """What happened under one item's lease; `settles` means the item is delivered by it.

    `about` are the executions it is about, whether or not their own rows are written.
    """

    item: ClaimedItem
    settles: bool
    made: list[ExecutionRow] = field(default_factory=list)
    changed: list[ExecutionRow] = field(default_factory=list)
    steps: list[StepRow] = field(default_factory=list)
    follow_ups: list[FollowUp] = field(default_factory=list)
    about: list[ExecutionRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The ids of items whose lease still held, and the id of the item each execution goes on under.

    `watched` are those automations of the changes that somebody watches live; `unmade` the executions that were not
    stored, because another dispatch of their event had stored them.
    """

    held: frozenset[int]
    leased: dict[str, int]
    watched: frozenset[str] = frozenset()
    unmade: frozenset[str] = frozenset()
