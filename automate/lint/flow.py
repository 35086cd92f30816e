"""Findings about the way through a graph: nodes never reached, idle decisions, outputs nobody reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from automate.graph import Edge
from automate.lint.care import TIMEOUT, bound_of
from automate.lint.drawing import Drawing, Spot
from automate.lint.facts import Facts
from automate.lint.findings import Codes, Finding
from automate.lint.reads import RESULT, is_constant, read_steps
from automate.rules import RuleError, compile_rule

_DECISIONS = frozenset({"condition", "switch"})


def unreachable(drawing: Drawing, facts: Facts) -> Iterator[Finding]:
    """Find nodes no run can come to, and say what stands in the way."""
    reached: set[str] = set()
    for spot in drawing:
        reason = _barrier(drawing, spot, reached)
        if reason is None:
            reached.add(spot.key)
        else:
            message = f"node {spot.key!r} is never reached: {reason}; draw another edge to it or remove it"
            yield Finding(Codes.UNREACHABLE, spot.key, spot.where, message)


def unconnected_routes(drawing: Drawing, facts: Facts) -> Iterator[Finding]:
    """Find decisions of which no route is connected and nobody reads the answer."""
    read = read_steps(drawing)
    for spot in drawing:
        if spot.node.handler.type not in _DECISIONS or any(edge.handle for edge in spot.node.outgoing):
            continue
        if spot.key not in read:
            routes = ", ".join(spot.node.handler.routes_of(spot.config))
            message = (
                f"node {spot.key!r} decides nothing: no edge leaves by one of its routes ({routes});"
                f" set source_handle on its edges or remove it"
            )
            yield Finding(Codes.ROUTES_UNCONNECTED, spot.key, spot.where, message)


def unused_outputs(drawing: Drawing, facts: Facts) -> Iterator[Finding]:
    """Find transforms whose output nobody reads and which is not the result of their plan."""
    read = read_steps(drawing)
    for spot in drawing:
        if spot.node.handler.type != "transform" or spot.key in read or _is_result(drawing, spot):
            continue
        message = f"nobody reads the output of node {spot.key!r}; read it as steps.{spot.key}.output or remove the node"
        yield Finding(Codes.UNUSED_OUTPUT, spot.key, spot.where, message)


def _barrier(drawing: Drawing, spot: Spot, reached: set[str]) -> str | None:
    """Return why no run comes to a node, or None."""
    if spot.undoes:
        return None if spot.undoes in reached else f"it undoes {spot.undoes!r}, which is never reached"
    if not spot.node.incoming:
        loop = spot.loops[-1] if spot.loops else None
        if loop is None:
            return None
        return _closed_loop(loop) if loop.key in reached else f"its loop {loop.key!r} is never reached"
    reasons = []
    for edge in spot.node.incoming:
        source = drawing.spots[spot.plan.nodes[edge.source].key]
        reason = (
            _closed(source, edge) if source.key in reached else f"{source.key!r} before it is never reached"
        )
        if reason is None:
            return None
        reasons.append(reason)
    return reasons[0]


def _closed(source: Spot, edge: Edge) -> str | None:
    """Return why an edge is never taken though its source is reached, or None."""
    if source.node.handler.ends_iteration:
        return f"{source.key!r} before it ends the iteration"
    bound = bound_of(source) if edge.handle == TIMEOUT else None
    if bound is not None and source.config.get(bound) is None:
        return f"{source.key!r} has no {bound}, so it never leaves by {TIMEOUT!r}"
    if edge.handle is not None and edge.handle in _dead_routes(source):
        return (
            f"the rules of {source.key!r} that decide it read nothing, so it never leaves by {edge.handle!r}"
        )
    return None


def _closed_loop(loop: Spot) -> str | None:
    if loop.node.handler.type == "while" and _answer(loop.config.get("rule")) is False:
        return f"the rule of {loop.key!r} reads nothing and is always false"
    return None


def _dead_routes(spot: Spot) -> set[str]:
    """Return the routes a decision never leaves by, because of rules whose answer is always the same."""
    if spot.node.handler.type == "condition":
        answer = _answer(spot.config["rule"])
        return set() if answer is None else {"false" if answer else "true"}
    dead: set[str] = set()
    if spot.node.handler.type == "switch":
        routes = list(spot.node.handler.routes_of(spot.config))
        for place, case in enumerate(spot.config["cases"]):
            answer = _answer(case["rule"])
            if answer is False:
                dead.add(case["route"])
            elif answer is True:
                return dead | set(routes[place + 1 :])
    return dead


def _answer(rule: Any) -> bool | None:
    """Return what a rule that reads nothing always says; None when it depends on data or fails."""
    if is_constant(rule):
        with suppress(RuleError):
            return compile_rule(rule).evaluate({})
    return None


def _is_result(drawing: Drawing, spot: Spot) -> bool:
    """Tell whether a node's output is kept as that of its execution or iteration."""
    routed = any(arrow.handle is not None for arrow in spot.node.incoming)
    if spot.undoes or spot.node.index not in spot.plan.ends or (len(spot.plan.ends) > 1 and not routed):
        return False
    if spot.loops:
        return RESULT not in spot.loops[-1].config
    return not any(other.node.handler.gives_output for other in drawing)
