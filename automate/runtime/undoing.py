"""Compensation: after a failure the steps that undo finished ones run, one after the other, the newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from automate.executions.rows import StepRow
from automate.graph import Node, Plan
from automate.runtime.frames import Frame
from automate.runtime.interpreter import State

if TYPE_CHECKING:
    from automate.runtime.run import Run


@dataclass(slots=True)
class Undoing:
    """What is left to undo (the next last), and the frame of the step at work."""

    left: list[Frame] = field(default_factory=list)
    current: Frame | None = None


def is_due(run: Run) -> bool:
    """Tell whether a failed run's finished steps have yet to be looked up."""
    return run.undo is None and not run.orders.cancels and bool(_undoable(run.plan))


def keys(plan: Plan) -> list[str]:
    """Return the nodes whose records say what to undo, and the nodes that undo."""
    found = _undoable(plan)
    return [*found, *(node.key for node in found.values())]


def begin(run: Run, steps: Sequence[StepRow], now: float) -> list[tuple[Frame, list[StepRow]]]:
    """Plan what to undo from the records of `keys`; return each frame with what it already did.

    Args:
        run: a failed run.
        steps: the recorded steps of those nodes, in the order in which things happened.
        now: the database's time in seconds since the epoch.
    """
    run.drop_inside(run.root, now)
    run.lively.append(run.root)
    undoable = _undoable(run.plan)
    undo_keys = {node.key for node in undoable.values()}
    done: dict[str, list[StepRow]] = {}
    for step in steps:
        if step.node_key in undo_keys:
            done.setdefault(step.path, []).append(step)
    frames = [
        _frame(run, undoable[step.node_key], step)
        for step in steps
        if step.node_key in undoable and step.status == "SUCCESS"
    ]
    run.undo = Undoing(left=frames)
    return [(frame, done.get(frame.path(frame.plan.nodes[0]), [])) for frame in frames]


def go_on(run: Run) -> None:
    """Take the next step to undo when the one at work is over, or none was begun."""
    undo = run.undo
    if undo is None:
        return
    here = undo.current
    if here is not None:
        if here.halt is None and not here.state.is_complete():
            return
        if here.failure is not None:
            run.row.error_summary += f"; {here.failure.step} could not undo: {here.failure.message}"
        undo.current = None
    if undo.left:
        undo.current = undo.left.pop()
        run.lively.append(undo.current)


def _undoable(plan: Plan) -> dict[str, Node]:
    """Return the nodes that undo, by the key of the node they undo."""
    found: dict[str, Node] = {}
    bodies = [plan]
    while bodies:
        here = bodies.pop()
        for node in here.nodes:
            if node.undo is not None:
                found[node.key] = here.undo[node.undo]
            if node.body is not None:
                bodies.append(node.body)
    return found


def _frame(run: Run, undo: Node, step: StepRow) -> Frame:
    output = _plain(step.output_data)
    facts: dict[str, Any] = {"path": step.path, "output": output, "input": _plain(step.input_data)}
    steps = {**run.scope["steps"], step.node_key: {"output": output, "status": "SUCCESS"}}
    plan = Plan((undo,), (), {undo.key: 0})
    prefix = step.path[: len(step.path) - len(step.node_key)]
    return Frame(plan, prefix, {**run.scope, "steps": steps, "compensates": facts}, State(plan))


def _plain(text: str | None) -> Any:
    return orjson.loads(text) if text is not None else None
