"""Compiles a graph into a plan, or says everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from automate.graph.loops import BODY_HANDLE, Arrow, Nesting, nest
from automate.graph.nodes import EXCLUSIVE, Draft, FindHandler, draft_node
from automate.graph.plan import Edge, Node, OnError, Plan
from automate.graph.settings import GraphSettings, parse_settings
from automate_core.errors import Problem, ValidationFailed

MAX_NODES = 1_000


class InvalidGraph(ValidationFailed):
    """The graph is not valid."""


def compile_graph(graph: Any, find_handler: FindHandler) -> Plan:
    """Compile a graph `{"nodes": [...], "edges": [...], "settings": {...}}`.

    A node is `{id, type, config}` with optional `retry`, `timeout_seconds`, `on_error` and `compensate_with`; an
    edge is `{source, target, source_handle}` (`from` and `to` are understood). Without edges, nodes run in list
    order. The body of a loop is what its edges with source_handle `item` lead to.

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
        nothing = Plan((), ())
        if not isinstance(graph, Mapping):
            self._wrong("", 'must be an object with "nodes" and "edges"')
            return nothing
        drafts = self._nodes(graph.get("nodes", []))
        settings, problems = parse_settings(graph.get("settings"))
        self.problems += problems
        undoing = self._undoing(drafts)
        arrows = self._edges(graph.get("edges") or [], drafts, undoing)
        if self.problems:
            return nothing
        steps = [key for key in drafts if key not in undoing]
        loops = [key for key in steps if drafts[key].is_loop]
        nesting = nest(steps, loops, arrows, lambda key, message: self._wrong(drafts[key].where, message))
        self._check_controls(drafts, nesting)
        if self.problems:
            return nothing
        assembler = _Assembler(drafts, nesting, undoing)
        plan = assembler.plan(None, [key for key in steps if key not in nesting.owner], settings)
        for stuck in assembler.cycles:
            self._wrong("edges", f"these nodes form a cycle: {', '.join(map(repr, stuck))}")
        return plan

    def _wrong(self, field: str, message: str) -> None:
        self.problems.append(Problem(field, message))

    def _nodes(self, nodes: Any) -> dict[str, Draft]:
        drafts: dict[str, Draft] = {}
        if not isinstance(nodes, Sequence) or isinstance(nodes, str):
            self._wrong("nodes", "must be a list")
            return drafts
        if len(nodes) > MAX_NODES:
            self._wrong("nodes", f"has {len(nodes)} nodes; at most {MAX_NODES} are allowed")
            return drafts
        for number, node in enumerate(nodes):
            draft = draft_node(f"nodes[{number}]", node, self._find_handler, self._wrong)
            if draft is None:
                continue
            if draft.key in drafts:
                self._wrong(f"nodes[{number}].id", f"node id {draft.key!r} is used twice")
            drafts[draft.key] = draft
        return drafts

    def _undoing(self, drafts: Mapping[str, Draft]) -> dict[str, str]:
        """Return the nodes that undo others, each with the node it undoes."""
        undoing: dict[str, str] = {}
        for key, draft in drafts.items():
            undo = draft.compiled.undo if draft.compiled else None
            if undo is None:
                continue
            where = f"{draft.where}.compensate_with"
            if undo not in drafts:
                self._wrong(where, f"there is no node {undo!r}")
            elif undo in undoing:
                self._wrong(where, f"node {undo!r} already undoes {undoing[undo]!r}; give each its own")
            elif drafts[undo].is_loop:
                self._wrong(where, f"node {undo!r} is a loop; a step is undone by one step")
            else:
                undoing[undo] = key
        return undoing

    def _edges(self, edges: Any, drafts: dict[str, Draft], undoing: Mapping[str, str]) -> list[Arrow]:
        if not isinstance(edges, Sequence) or isinstance(edges, str):
            self._wrong("edges", "must be a list")
            return []
        if not edges:
            return [Arrow(a, b, None) for a, b in pairwise(key for key in drafts if key not in undoing)]
        arrows: dict[Arrow, None] = {}
        for number, edge in enumerate(edges):
            arrow = self._edge(f"edges[{number}]", edge, drafts, undoing)
            if arrow is not None:
                arrows[arrow] = None
        return list(arrows)

    def _edge(
        self, where: str, edge: Any, drafts: dict[str, Draft], undoing: Mapping[str, str]
    ) -> Arrow | None:
        if not isinstance(edge, Mapping):
            self._wrong(where, "must be an object")
            return None
        source, target = edge.get("source", edge.get("from")), edge.get("target", edge.get("to"))
        handle = edge.get("source_handle") or None
        has_source = self._is_end(f"{where}.source", source, drafts, undoing)
        if not self._is_end(f"{where}.target", target, drafts, undoing) or not has_source:
            return None
        return Arrow(source, target, self._handle(where, drafts[source], handle))

    def _is_end(self, where: str, end: Any, drafts: Mapping[str, Draft], undoing: Mapping[str, str]) -> bool:
        if not isinstance(end, str) or end not in drafts:
            self._wrong(where, f"there is no node {end!r}")
            return False
        if end in undoing:
            self._wrong(where, f"node {end!r} undoes {undoing[end]!r} and has no edges")
            return False
        return True

    def _handle(self, where: str, source: Draft, handle: Any) -> str | None:
        """Return the route an edge leaves by; a node without routes has only the ways out of an error."""
        compiled, routes = source.compiled, source.routes
        if compiled is None or routes is None or handle is None:
            return None
        handle = compiled.handler.route_aliases.get(handle, handle)
        if handle == "error" and compiled.on_error is not OnError.ROUTE and "error" not in routes:
            self._wrong(
                f"{where}.source_handle",
                f'node {source.key!r} has no route \'error\' without "on_error": "route"',
            )
            return None
        if handle == "error" or handle in routes:
            return str(handle)
        if not routes:
            return None
        known = ", ".join(routes)
        self._wrong(f"{where}.source_handle", f"node {source.key!r} has no route {handle!r}; it has {known}")
        return None

    def _check_controls(self, drafts: Mapping[str, Draft], nesting: Nesting) -> None:
        for key, draft in drafts.items():
            if draft.compiled is None or not draft.compiled.handler.ends_iteration:
                continue
            if key not in nesting.owner:
                self._wrong(draft.where, f"node {key!r} ends an iteration, but is in no loop")


class _Assembler:
    """Puts drafts in order, body by body."""

    def __init__(self, drafts: Mapping[str, Draft], nesting: Nesting, undoing: Mapping[str, str]) -> None:
        self.cycles: list[list[str]] = []
        self._drafts, self._nesting, self._undoing = drafts, nesting, undoing

    def plan(self, loop: str | None, keys: list[str], settings: GraphSettings) -> Plan:
        """Return the plan of a body, or of the top for None."""
        arrows = self._nesting.arrows.get(loop, [])
        order = self._order(keys, arrows)
        places = {key: place for place, key in enumerate(order)}
        edges = tuple(
            Edge(number, places[arrow.source], places[arrow.target], arrow.handle)
            for number, arrow in enumerate(arrows)
            if arrow.source in places and arrow.target in places
        )
        incoming: list[list[Edge]] = [[] for _ in order]
        outgoing: list[list[Edge]] = [[] for _ in order]
        for edge in edges:
            incoming[edge.target].append(edge)
            outgoing[edge.source].append(edge)
        nodes = tuple(
            self._node(place, key, tuple(incoming[place]), tuple(outgoing[place]))
            for place, key in enumerate(order)
        )
        ends = tuple(node.index for node in nodes if not node.outgoing)
        undo = {key: self._node(0, key, (), ()) for key, undone in self._undoing.items() if undone in places}
        return Plan(nodes, edges, places, settings, undo, ends)

    def _node(self, place: int, key: str, incoming: tuple[Edge, ...], outgoing: tuple[Edge, ...]) -> Node:
        compiled = self._drafts[key].compiled
        assert compiled is not None
        body = None
        if compiled.handler.is_loop:
            inside = [one for one, owner in self._nesting.owner.items() if owner == key]
            body = self.plan(key, inside, GraphSettings())
        return Node(
            place, key, compiled.type, compiled.handler, compiled.effect, compiled.template, compiled.raw,
            compiled.prepared, compiled.timeout_seconds, compiled.retry, compiled.on_error, compiled.needs,
            compiled.undo, EXCLUSIVE | compiled.handler.side_routes, incoming, outgoing, body,
        )  # fmt: skip

    def _order(self, keys: list[str], arrows: list[Arrow]) -> list[str]:
        """Sort so that every arrow points forward (Kahn's algorithm), keeping list order where free."""
        waiting = dict.fromkeys(keys, 0)
        following: dict[str, list[str]] = {key: [] for key in keys}
        for arrow in arrows:
            waiting[arrow.target] += 1
            following[arrow.source].append(arrow.target)
        ready = [key for key in keys if not waiting[key]]
        order: list[str] = []
        while ready:
            key = ready.pop(0)
            order.append(key)
            for target in following[key]:
                waiting[target] -= 1
                if not waiting[target]:
                    ready.append(target)
        if len(order) < len(keys):
            self.cycles.append(_without_ends([key for key in keys if waiting[key]], following))
        return order


def _without_ends(stuck: list[str], following: Mapping[str, Sequence[str]]) -> list[str]:
    """Leave out, again and again, what leads to none of the others: it only comes after a cycle."""
    while len(kept := [key for key in stuck if set(following[key]) & set(stuck)]) < len(stuck):
        stuck = kept
    return stuck


__all__ = ["BODY_HANDLE", "MAX_NODES", "FindHandler", "InvalidGraph", "compile_graph", "graph_problems"]
