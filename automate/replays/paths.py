"""The addresses of steps: `charge`, or `orders[3]/charge` inside the fourth iteration of a loop."""

from __future__ import annotations

import re
from dataclasses import dataclass

from automate.graph import Node, Plan
from automate_core.errors import Problem, ValidationFailed

_SEGMENT = re.compile(r"([^/\[\]]+)(?:\[(0|[1-9][0-9]{0,8})\])?")
MAX_PATH_LENGTH = 1_000


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a path: a node, and the number of its iteration when the path goes on inside a loop."""

    key: str
    index: int | None = None


def parse_path(text: str) -> tuple[Segment, ...]:
    """Read the path of a step, or of an iteration (`orders[3]`); raises ValidationFailed."""
    found = []
    for part in text.split("/"):
        match = _SEGMENT.fullmatch(part)
        if match is None or len(text) > MAX_PATH_LENGTH:
            raise _wrong(
                f"{text[:MAX_PATH_LENGTH]!r} is not the path of a step, such as charge or orders[3]/charge"
            )
        found.append(Segment(match[1], None if match[2] is None else int(match[2])))
    for segment in found[:-1]:
        if segment.index is None:
            raise _wrong(f"say which iteration of {segment.key!r} is meant, as in {segment.key}[0]")
    return tuple(found)


def node_at(plan: Plan, path: tuple[Segment, ...]) -> Node | None:
    """Return the node a path leads to in a plan; for an iteration, its loop."""
    node: Node | None = None
    here: Plan | None = plan
    for segment in path:
        place = here.places.get(segment.key) if here is not None else None
        if here is None or place is None:
            return None
        node = here.nodes[place]
        if segment.index is not None and node.body is None:
            return None
        here = node.body if segment.index is not None else None
    return node


def require_node(plan: Plan, path: tuple[Segment, ...]) -> Node:
    """Return the node a path leads to; raises ValidationFailed that says what is wrong with the path."""
    node = node_at(plan, path)
    if node is not None:
        return node
    key = path[-1].key
    for loop in plan.every_node():
        if loop.body is not None and key in loop.body.places and len(path) == 1:
            raise _wrong(
                f"{key!r} is inside the loop {loop.key!r}; name the iteration, as in {loop.key}[0]/{key}"
            )
    raise _wrong(f"the version to run has no step {key!r} there")


def _wrong(message: str) -> ValidationFailed:
    return ValidationFailed.of([Problem("from", message)])
