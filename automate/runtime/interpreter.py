"""The interpreter: which steps are ready, given what has happened. No I/O, no clock, no Django.

An edge is pending until its source is over, then taken or dead. A node is ready when none of its incoming edges
is pending and at least one is taken (or it has none); when all are dead it is skipped, and so kills its own
outgoing edges. So a join waits for every branch that can still arrive and for no other. A node that needs only
some arrivals is ready with that many, or skipped when they cannot come any more; what arrives later is ignored.
"""

from __future__ import annotations

from automate.graph import Edge, Node, Plan

PENDING, TAKEN, DEAD = 0, 1, 2


class State:
    """Where one run of a plan stands."""

    __slots__ = ("_called", "_edges", "_missing", "_plan", "over", "ready", "skipped")

    def __init__(self, plan: Plan) -> None:
        """Begin: nodes without incoming edges are ready."""
        self._plan = plan
        self._edges = bytearray(len(plan.edges))
        self._missing = [len(node.incoming) for node in plan.nodes]
        self.over: set[int] = set()
        self.skipped: list[int] = []
        self.ready: list[int] = [node.index for node in plan.nodes if not node.incoming]
        self._called: set[int] = set(self.ready)

    def succeed(self, place: int, route: str | None = None) -> None:
        """Take note that a node is done; edges with another handle than `route` are dead."""
        self._leave(place, alive=True, route=route)

    def is_complete(self) -> bool:
        """Tell whether every node is done or skipped."""
        return len(self.over) == len(self._plan.nodes)

    def arrived(self, place: int) -> tuple[list[int], list[int]]:
        """Return the sources a node's edges were taken from, and those that did not or do not yet arrive."""
        taken: list[int] = []
        others: list[int] = []
        for edge in self._plan.nodes[place].incoming:
            (taken if self._edges[edge.index] == TAKEN else others).append(edge.source)
        return taken, others

    def unfinished(self) -> list[int]:
        """Return the nodes that are neither done nor skipped."""
        return [node.index for node in self._plan.nodes if node.index not in self.over]

    def _leave(self, place: int, *, alive: bool, route: str | None = None) -> None:
        leaving = [(place, alive, route)]
        while leaving:
            source, taken, by = leaving.pop(0)
            self.over.add(source)
            node = self._plan.nodes[source]
            for edge in node.outgoing:
                if self._edges[edge.index] != PENDING:
                    continue
                self._edges[edge.index] = TAKEN if taken and _follows(edge, node, by) else DEAD
                self._missing[edge.target] -= 1
                if edge.target not in self._called and self._decide(edge.target) is False:
                    self._called.add(edge.target)
                    self.skipped.append(edge.target)
                    leaving.append((edge.target, False, None))

    def _decide(self, place: int) -> bool | None:
        """Call a node up when it is ready; return False when it never will be, None while it may."""
        node = self._plan.nodes[place]
        taken = sum(self._edges[edge.index] == TAKEN for edge in node.incoming)
        missing = self._missing[place]
        enough = taken >= node.needs if node.needs is not None else not missing and taken > 0
        if enough:
            self._called.add(place)
            self.ready.append(place)
            return True
        return False if taken + missing < (node.needs or 1) else None


def _follows(edge: Edge, node: Node, route: str | None) -> bool:
    """Tell whether an edge is taken when its source left by `route`."""
    if edge.handle is not None:
        return edge.handle == route
    return route not in node.side_routes
