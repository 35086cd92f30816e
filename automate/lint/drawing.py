"""A compiled graph as the checks look at it: every node with its place in the JSON, its loops and what comes before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from automate.graph import Node, Plan


@dataclass(frozen=True, slots=True, eq=False)
class Spot:
    """A node where it stands: `given` is its JSON at `where`, `loops` the loops around it from the outside in.

    `undoes` is the node it compensates; such a node has no edges.
    """

    node: Node
    plan: Plan
    given: Mapping[str, Any]
    where: str
    loops: tuple[Spot, ...] = ()
    undoes: str = ""

    @property
    def key(self) -> str:
        """The node's id."""
        return self.node.key

    @property
    def config(self) -> Mapping[str, Any]:
        """The node's configuration as it is written."""
        return self.given.get("config") or {}


class Drawing:
    """All nodes of a graph, those in loops and those that undo others included, in the order they run."""

    def __init__(self, graph: Mapping[str, Any], plan: Plan) -> None:
        self.graph, self.plan = graph, plan
        self._given = {node["id"]: (number, node) for number, node in enumerate(graph.get("nodes", []))}
        self.spots: dict[str, Spot] = {spot.key: spot for spot in self._walk(plan, ())}
        self._before: dict[str, frozenset[str]] = {}
        for spot in self.spots.values():
            self._before[spot.key] = self._earlier(spot)

    def __iter__(self) -> Iterator[Spot]:
        return iter(self.spots.values())

    def before(self, spot: Spot) -> frozenset[str]:
        """Return the ids of the nodes that may be over, with an output to read, when this one runs."""
        return self._before[spot.key]

    def _walk(self, plan: Plan, loops: tuple[Spot, ...]) -> Iterator[Spot]:
        for node in plan.nodes:
            spot = self._spot(node, plan, loops)
            yield spot
            if node.body is not None:
                yield from self._walk(node.body, (*loops, spot))
        undone = {node.undo: node.key for node in plan.nodes if node.undo}
        for key, node in plan.undo.items():
            yield self._spot(node, plan, loops, undone[key])

    def _spot(self, node: Node, plan: Plan, loops: tuple[Spot, ...], undoes: str = "") -> Spot:
        number, given = self._given[node.key]
        return Spot(node, plan, given, f"graph.nodes[{number}]", loops, undoes)

    def _earlier(self, spot: Spot) -> frozenset[str]:
        """Collect what comes before; nodes are visited in an order in which edges point forward."""
        if spot.undoes:
            # It runs after a failure, outside all loops: whatever is at the top may be over by then.
            return frozenset({node.key for node in self.plan.nodes} | {spot.undoes})
        around = self._before[spot.loops[-1].key] if spot.loops else frozenset()
        sources = {spot.plan.nodes[edge.source].key for edge in spot.node.incoming}
        return around.union(sources, *(self._before[source] for source in sources))
