"""Compiles a workflow's graph once into a plan: validated, its templates and rules ready to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from automate_core.errors import AutomateError, Problem, ValidationFailed
from automate_core.steps import Effect, StepHandler
from automate_core.templating import Template, compile_template

MAX_NODES = 1_000

FindHandler = Callable[[str], StepHandler | None]


class InvalidGraph(ValidationFailed):
    """The graph is not valid."""


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow between two nodes, by their places in the plan; `handle` is the route it leaves by."""

    index: int
    source: int
    target: int
    handle: str | None


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a plan, compiled."""

    index: int
    key: str
    type: str
    handler: StepHandler
    effect: Effect
    template: Template
    raw: Mapping[str, Any]
    prepared: Any
    attempts: int | None
    timeout_seconds: float
    incoming: tuple[Edge, ...] = ()
    outgoing: tuple[Edge, ...] = ()

    def render(self, scope: Mapping[str, Any]) -> Any:
        """Return the node's config with its templates filled in from the scope."""
        rendered = self.template.render(scope)
        return {**rendered, **self.raw} if self.raw else rendered


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled graph: nodes in an order in which every edge points forward."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    places: Mapping[str, int] = field(default_factory=dict)


def compile_graph(graph: Any, find_handler: FindHandler) -> Plan:
    """Compile a graph `{"nodes": [...], "edges": [...]}`.

    A node is `{id, type, config}` with optional `retry: {"max_attempts": n}` and `timeout_seconds`; an edge is
    `{source, target, source_handle}` (`from` and `to` are understood). Without edges, nodes run in list order.

    Raises:
        InvalidGraph: with one problem for each thing that is wrong, each naming its node.
    """
    compiler = _Compiler(find_handler)
    plan = compiler.compile(graph)
    if compiler.problems:
        raise InvalidGraph.of(compiler.problems, "The graph is not valid")
    return plan


def graph_problems(graph: Any, find_handler: FindHandler) -> list[Problem]:
    """Return everything that is wrong with a graph; an empty list when it compiles."""
    try:
        compile_graph(graph, find_handler)
    except InvalidGraph as error:
        return list(error.details)
    return []


class _Compiler:
    def __init__(self, find_handler: FindHandler) -> None:
        self.problems: list[Problem] = []
        self._find_handler = find_handler

    def compile(self, graph: Any) -> Plan:
        if not isinstance(graph, Mapping):
            self._wrong("", 'must be an object with "nodes" and "edges"')
            return Plan((), ())
        drafts = self._nodes(graph.get("nodes", []))
        arrows = self._edges(graph.get("edges") or [], drafts)
        if self.problems:
            return Plan((), ())
        order = self._order(drafts, arrows)
        if self.problems:
            return Plan((), ())
        return _assemble([drafts[key] for key in order], arrows)

    def _wrong(self, field: str, message: str) -> None:
        self.problems.append(Problem(field, message))

    def _nodes(self, nodes: Any) -> dict[str, _Draft]:
        drafts: dict[str, _Draft] = {}
        if not isinstance(nodes, Sequence) or isinstance(nodes, str):
            self._wrong("nodes", "must be a list")
            return drafts
        if len(nodes) > MAX_NODES:
            self._wrong("nodes", f"has {len(nodes)} nodes; at most {MAX_NODES} are allowed")
            return drafts
        for number, node in enumerate(nodes):
            draft = self._node(f"nodes[{number}]", node)
            if draft is None:
                continue
            if draft.key in drafts:
                self._wrong(f"nodes[{number}].id", f"node id {draft.key!r} is used twice")
            drafts[draft.key] = draft
        return drafts

    def _node(self, where: str, node: Any) -> _Draft | None:
        if not isinstance(node, Mapping):
            self._wrong(where, "must be an object")
            return None
        key, kind, config = node.get("id"), node.get("type"), node.get("config") or {}
        if (
            not isinstance(key, str)
            or not 1 <= len(key) <= 200
            or not key.isprintable()
            or set("/[") & set(key)
        ):
            self._wrong(f"{where}.id", "must be a string of 1 to 200 printable characters without / and [")
            return None
        if not isinstance(kind, str) or (handler := self._find_handler(kind)) is None:
            self._wrong(f"{where}.type", f"node {key!r} has the unknown type {kind!r}")
            return _Draft(key)
        if not isinstance(config, Mapping):
            self._wrong(f"{where}.config", f"the config of node {key!r} must be an object")
            return _Draft(key)
        return self._compiled(where, key, node, handler, config)

    def _compiled(
        self, where: str, key: str, node: Mapping[str, Any], handler: StepHandler, config: Mapping[str, Any]
    ) -> _Draft:
        before = len(self.problems)
        for problem in handler.problems(config):
            self._wrong(f"{where}.config.{problem.field}".rstrip("."), f"node {key!r}: {problem.message}")
        attempts = self._attempts(where, key, node.get("retry"))
        timeout = self._timeout(where, key, node.get("timeout_seconds"), handler)
        if len(self.problems) > before:
            return _Draft(key)
        raw = {name: config[name] for name in handler.raw_fields if name in config}
        try:
            template = compile_template({name: config[name] for name in config if name not in raw})
            prepared = handler.prepare(config)
            effect = handler.effect_of(config)
        except AutomateError as error:
            self._wrong(f"{where}.config", f"node {key!r}: {error.message}")
            return _Draft(key)
        parts = (str(node["type"]), handler, effect, template, raw, prepared, attempts, timeout)
        return _Draft(key, parts)

    def _attempts(self, where: str, key: str, retry: Any) -> int | None:
        if retry is None:
            return None
        attempts = retry.get("max_attempts") if isinstance(retry, Mapping) else None
        if not isinstance(attempts, int) or isinstance(attempts, bool) or not 1 <= attempts <= 100:
            self._wrong(f"{where}.retry.max_attempts", f"node {key!r}: must be a whole number from 1 to 100")
            return None
        return attempts

    def _timeout(self, where: str, key: str, timeout: Any, handler: StepHandler) -> float:
        if timeout is None:
            return handler.timeout_seconds
        if not isinstance(timeout, int | float) or isinstance(timeout, bool) or not 0 < timeout <= 3600:
            self._wrong(f"{where}.timeout_seconds", f"node {key!r}: must be a number of seconds up to 3600")
            return handler.timeout_seconds
        return float(timeout)

    def _edges(self, edges: Any, drafts: dict[str, _Draft]) -> list[_Arrow]:
        if not isinstance(edges, Sequence) or isinstance(edges, str):
            self._wrong("edges", "must be a list")
            return []
        if not edges:
            keys = list(drafts)
            return [_Arrow(a, b, None) for a, b in pairwise(keys)]
        arrows: dict[_Arrow, None] = {}
        for number, edge in enumerate(edges):
            arrow = self._edge(f"edges[{number}]", edge, drafts)
            if arrow is not None:
                arrows[arrow] = None
        return list(arrows)

    def _edge(self, where: str, edge: Any, drafts: dict[str, _Draft]) -> _Arrow | None:
        if not isinstance(edge, Mapping):
            self._wrong(where, "must be an object")
            return None
        source, target = edge.get("source", edge.get("from")), edge.get("target", edge.get("to"))
        handle = edge.get("source_handle") or None
        for name, end in (("source", source), ("target", target)):
            if not isinstance(end, str) or end not in drafts:
                self._wrong(f"{where}.{name}", f"there is no node {end!r}")
                return None
        routes = drafts[source].routes
        if not routes:
            handle = None
        elif handle is not None and handle not in routes:
            known = ", ".join(routes)
            self._wrong(f"{where}.source_handle", f"node {source!r} has no route {handle!r}; it has {known}")
            return None
        return _Arrow(source, target, handle)

    def _order(self, drafts: dict[str, _Draft], arrows: list[_Arrow]) -> list[str]:
        """Sort so that every arrow points forward (Kahn's algorithm), keeping list order where free."""
        waiting = dict.fromkeys(drafts, 0)
        following: dict[str, list[str]] = {key: [] for key in drafts}
        for arrow in arrows:
            waiting[arrow.target] += 1
            following[arrow.source].append(arrow.target)
        ready = [key for key in drafts if not waiting[key]]
        order: list[str] = []
        while ready:
            key = ready.pop(0)
            order.append(key)
            for target in following[key]:
                waiting[target] -= 1
                if not waiting[target]:
                    ready.append(target)
        if len(order) < len(drafts):
            stuck = _without_ends([key for key in drafts if waiting[key]], following)
            self._wrong("edges", f"these nodes form a cycle: {', '.join(map(repr, stuck))}")
        return order


@dataclass(frozen=True, slots=True)
class _Arrow:
    source: str
    target: str
    handle: str | None


@dataclass(frozen=True, slots=True)
class _Draft:
    key: str
    parts: tuple[Any, ...] | None = None

    @property
    def routes(self) -> Sequence[str]:
        return self.parts[1].routes if self.parts else ()


def _without_ends(stuck: list[str], following: Mapping[str, Sequence[str]]) -> list[str]:
    """Leave out, again and again, what leads to none of the others: it only comes after a cycle."""
    while len(kept := [key for key in stuck if set(following[key]) & set(stuck)]) < len(stuck):
        stuck = kept
    return stuck


def _assemble(drafts: list[_Draft], arrows: list[_Arrow]) -> Plan:
    places = {draft.key: place for place, draft in enumerate(drafts)}
    edges = tuple(
        Edge(number, places[arrow.source], places[arrow.target], arrow.handle)
        for number, arrow in enumerate(arrows)
    )
    incoming: list[list[Edge]] = [[] for _ in drafts]
    outgoing: list[list[Edge]] = [[] for _ in drafts]
    for edge in edges:
        incoming[edge.target].append(edge)
        outgoing[edge.source].append(edge)
    nodes = []
    for place, draft in enumerate(drafts):
        assert draft.parts is not None
        kind, handler, effect, template, raw, prepared, attempts, timeout = draft.parts
        nodes.append(
            Node(
                place, draft.key, kind, handler, effect, template, raw, prepared, attempts, timeout,
                tuple(incoming[place]), tuple(outgoing[place]),
            )
        )  # fmt: skip
    return Plan(tuple(nodes), edges, places)
