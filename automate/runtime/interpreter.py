"""The interpreter: which steps are ready, given what has happened. No I/O, no clock, no Django.

An edge is pending until its source is over, then taken or dead. A node is ready when none of its incoming edges
is pending and at least one is taken (or it has none); when all are dead it is skipped, and so kills its own
outgoing edges. So a join waits for every branch that can still arrive and for no other.
"""

from __future__ import annotations

from automate.graph import Plan

PENDING, TAKEN, DEAD = 0, 1, 2


class State:
    """Where one run of a plan stands."""

    __slots__ = ("_edges", "_missing", "_plan", "over", "ready", "skipped")

    def __init__(self, plan: Plan) -> None:
        """Begin: nodes without incoming edges are ready."""
        self._plan = plan
        self._edges = bytearray(len(plan.edges))
        self._missing = [len(node.incoming) for node in plan.nodes]
        self.over: set[int] = set()
        self.skipped: list[int] = []
        self.ready: list[int] = [node.index for node in plan.nodes if not node.incoming]

    def succeed(self, place: int, route: str | None = None) -> None:
        """Take note that a node is done; edges with another handle than `route` are dead."""
        self._leave(place, alive=True, route=route)

    def is_complete(self) -> bool:
        """Tell whether every node is done or skipped."""
        return len(self.over) == len(self._plan.nodes)

    def _leave(self, place: int, *, alive: bool, route: str | None = None) -> None:
        leaving = [(place, alive, route)]
        while leaving:
            source, taken, by = leaving.pop(0)
            self.over.add(source)
            for edge in self._plan.nodes[source].outgoing:
                if self._edges[edge.index] != PENDING:
                    continue
                live = taken and (edge.handle is None or edge.handle == by)
                self._edges[edge.index] = TAKEN if live else DEAD
                self._missing[edge.target] -= 1
                if self._missing[edge.target]:
                    continue
                if any(
                    self._edges[arrival.index] == TAKEN for arrival in self._plan.nodes[edge.target].incoming
                ):
                    self.ready.append(edge.target)
                else:
                    self.skipped.append(edge.target)
                    leaving.append((edge.target, False, None))
