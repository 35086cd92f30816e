"""Where a run is inside its graph: the top, or an iteration of a loop, each with a scope and state of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from automate.enums import StepStatus
from automate.executions.rows import StepRow
from automate.graph import Node, Plan
from automate.runtime.interpreter import State


class Halt(StrEnum):
    """Why nothing starts any more in a frame; it closes when its calls have returned."""

    FAILED = "failed"
    BREAK = "break"
    CONTINUE = "continue"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Failure:
    """What a step failed with for good."""

    code: str
    message: str
    step: str

    def as_data(self) -> dict[str, str]:
        """Return it as templates and outputs show it."""
        return {"code": self.code, "message": self.message, "step": self.step}


@dataclass(slots=True, eq=False)
class Frame:
    """One run through a plan: `prefix` leads the paths of its steps, as in `orders[3]/`."""

    plan: Plan
    prefix: str
    scope: dict[str, Any]
    state: State
    loop: Loop | None = None
    index: int = 0
    row: StepRow | None = None
    attempts: dict[str, int] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    first_tried: dict[str, float] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    halt: Halt | None = None
    failure: Failure | None = None

    def path(self, node: Node) -> str:
        """Return the path of a node's step in this frame."""
        return self.prefix + node.key

    def outward(self) -> Iterator[Frame]:
        """Yield this frame and those around it."""
        frame: Frame | None = self
        while frame is not None:
            yield frame
            frame = frame.loop.frame if frame.loop is not None else None

    @property
    def is_halted(self) -> bool:
        """Whether nothing starts here any more."""
        return any(frame.halt is not None for frame in self.outward())

    @property
    def is_closed(self) -> bool:
        """Whether the iteration, or one around it, is over already."""
        return any(
            frame.loop is not None and frame.loop.active.get(frame.index) is not frame
            for frame in self.outward()
        )

    def last_output(self) -> Any:
        """Return the output of the one last step that succeeded; None where there are none or several."""
        ends = [self.plan.nodes[place] for place in self.plan.ends]
        steps = [self.scope["steps"].get(node.key, {}) for node in ends if not node.handler.ends_iteration]
        outputs = [step.get("output") for step in steps if step.get("status") == StepStatus.SUCCESS]
        return outputs[0] if len(outputs) == 1 else None

    def contains(self, other: Frame) -> bool:
        """Tell whether the other frame is this one or inside it."""
        return any(frame is self for frame in other.outward())


@dataclass(slots=True, eq=False)
class Loop:
    """A loop node at work: which iterations are under way, and what came of the others.

    `items` is None for a `while`, whose iterations are asked for one by one. `so_far` has the results in the order
    in which the iterations ended.
    """

    frame: Frame
    node: Node
    row: StepRow
    items: list[Any] | None
    limit: int
    following: int = 0
    active: dict[int, Frame] = field(default_factory=dict)
    results: dict[int, Any] = field(default_factory=dict)
    so_far: list[Any] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    failed: int = 0
    kept_bytes: int = 0
    last: Any = None
    stopped: bool = False
    failure: Failure | None = None

    @property
    def path(self) -> str:
        """The loop's own path."""
        return self.row.path

    def scope_for(self, index: int) -> dict[str, Any]:
        """Return what the body of an iteration sees; steps of the iteration do not show outside it."""
        facts: dict[str, Any] = {"index": index, "results": self.so_far, "last": self.last}
        scope = {**self.frame.scope, "steps": dict(self.frame.scope["steps"]), "index": index, "loop": facts}
        if self.items is not None:
            scope["item"] = facts["item"] = self.items[index]
            facts["count"] = len(self.items)
        return scope

    def output(self) -> dict[str, Any]:
        """Return the loop's output: for a `for_each`, results in the order of their items."""
        if self.items is None:
            return {"iterations": self.following, "result": self.last}
        results = [self.results.get(index) for index in range(self.following)]
        return {"results": results, "count": self.following, "failed": self.failed, "errors": self.errors}
