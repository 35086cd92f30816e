"""The compiled form of a graph: nodes and edges by their places, loops with plans of their own inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from automate.graph.settings import GraphSettings
from automate_core.steps import Effect, StepHandler
from automate_core.templating import Template


class OnError(StrEnum):
    """What a node's failure means for the rest: the end, nothing, or the route `error`."""

    FAIL = "fail"
    CONTINUE = "continue"
    ROUTE = "route"


@dataclass(frozen=True, slots=True)
class Retry:
    """A node's own wishes about being tried again; None leaves a matter to the engine's policy."""

    max_attempts: int | None = None
    initial_seconds: float | None = None
    max_seconds: float | None = None
    jitter: bool = True
    retry_on: frozenset[str] | None = None
    deadline_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow between two nodes, by their places in the plan; `handle` is the route it leaves by."""

    index: int
    source: int
    target: int
    handle: str | None


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a plan, compiled.

    `needs` is how many arrivals make it ready (None: all that can still come); `body` is what a loop repeats;
    `undo` is the key of the node that undoes it.
    """

    index: int
    key: str
    type: str
    handler: StepHandler
    effect: Effect
    template: Template
    raw: Mapping[str, Any]
    prepared: Any
    timeout_seconds: float
    retry: Retry | None = None
    on_error: OnError = OnError.FAIL
    needs: int | None = None
    undo: str | None = None
    side_routes: frozenset[str] = frozenset()
    incoming: tuple[Edge, ...] = ()
    outgoing: tuple[Edge, ...] = ()
    body: Plan | None = None

    def render(self, scope: Mapping[str, Any]) -> Any:
        """Return the node's config with its templates filled in from the scope."""
        rendered = self.template.render(scope)
        return {**rendered, **self.raw} if self.raw else rendered

    def leaves_by(self, handle: str) -> bool:
        """Tell whether an edge leaves by this handle."""
        return any(edge.handle == handle for edge in self.outgoing)


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled graph, or a loop's body: nodes in an order in which every edge points forward.

    `undo` holds the nodes that undo others, by key; they have no edges and run only after a failure. `ends` are the
    places of the nodes nothing follows.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    places: Mapping[str, int] = field(default_factory=dict)
    settings: GraphSettings = field(default_factory=GraphSettings)
    undo: Mapping[str, Node] = field(default_factory=dict)
    ends: tuple[int, ...] = ()

    def every_node(self) -> Iterator[Node]:
        """Yield the nodes of this plan and of all bodies in it."""
        for node in self.nodes:
            yield node
            if node.body is not None:
                yield from node.body.every_node()
