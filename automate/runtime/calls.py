"""What a run asks of the world: calls to make, and times to wait for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from automate.executions.rows import StepRow
from automate.graph import Node
from automate_core.steps import StepContext

if TYPE_CHECKING:
    from automate.runtime.run import Run


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """An outside call that may start once its intent is committed."""

    run: Run
    node: Node
    config: Any
    context: StepContext
    row: StepRow


@dataclass(frozen=True, slots=True)
class Timer:
    """Something to do when the database's clock reaches `at`: end a wait, or try a step again."""

    at: float
    place: int
    waited: StepRow | None
