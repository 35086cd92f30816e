"""What a run asks of the world: calls to make, and what to wait for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from automate.executions.rows import StepRow
from automate.graph import Node
from automate.runtime.frames import Frame
from automate_core.steps import StepContext

if TYPE_CHECKING:
    from automate.runtime.run import Run


class Spot(NamedTuple):
    """A node in one frame: what a step's path names."""

    frame: Frame
    node: Node

    @property
    def path(self) -> str:
        """The step's path."""
        return self.frame.path(self.node)


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """An outside call that may start once its intent is committed."""

    run: Run
    spot: Spot
    config: Any
    context: StepContext
    row: StepRow

    @property
    def node(self) -> Node:
        """The node called."""
        return self.spot.node


@dataclass(slots=True, eq=False)
class Waiting:
    """A step that goes on later: at a time of the database's clock, when it is answered, or both.

    `again` means it is called again then; `awaits`, that only an answer makes it succeed and `at` is its deadline.
    """

    spot: Spot
    row: StepRow
    at: float | None
    again: bool = False
    awaits: bool = False
