"""What nodes read: the paths of their templates, and of the rules that are run over the same data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from automate.lint.drawing import Drawing, Spot
from automate_core.templating import PathRead, path_reads

RULES_OVER_THE_SCOPE = {"condition": ("rule",), "switch": ("cases",), "while": ("rule",)}
"""Raw fields, by node type, that hold rules over what templates see (the rule of an event reads the event instead)."""

RESULT = "result"
"""The raw field of a loop that is a template over what the end of an iteration sees."""

_LONGEST_QUOTE = 200
_PER_ITEM = frozenset({"map", "filter", "reduce", "all", "some", "none"})
_READS = frozenset({"var", "val"})
_LOOKUPS = _READS | {"missing", "missing_some"}


@dataclass(frozen=True, slots=True)
class Reading:
    """One path read by a node, with the steps that may be over then and the loops it is read in."""

    path: tuple[str, ...]
    field: str
    has_default: bool
    before: frozenset[str]
    loops: tuple[Spot, ...]

    @property
    def written(self) -> str:
        """The path as messages quote it."""
        return repr(".".join(self.path)[:_LONGEST_QUOTE])


def node_reads(spot: Spot, drawing: Drawing) -> Iterator[Reading]:
    """Yield what a node's templates and rules read; fields are as in the REST body."""
    before, inside = drawing.before(spot), (*spot.loops, spot)
    around = () if spot.undoes else spot.loops
    for name, value in spot.config.items():
        field = f"{spot.where}.config.{name}"
        if name not in spot.node.raw:
            yield from _readings(path_reads(value, field), before, around)
        elif name in RULES_OVER_THE_SCOPE.get(spot.node.handler.type, ()):
            loops = inside if spot.node.handler.is_loop else around
            yield from _readings(rule_reads(value, field), before, loops)
        elif name == RESULT and spot.node.body is not None:
            body = {node.key for node in spot.node.body.nodes}
            yield from _readings(path_reads(value, field), before | body, inside)


def rule_reads(rule: Any, field: str) -> Iterator[PathRead]:
    """Yield the literal paths a JSONLogic rule reads from its data; what is absent is null there, as with a default."""
    if isinstance(rule, list):
        for item in rule:
            yield from rule_reads(item, field)
    if not isinstance(rule, Mapping):
        return
    for operator, arguments in rule.items():
        given = arguments if isinstance(arguments, list) else [arguments]
        if operator in _READS:
            path = _path(operator, given)
            if path:
                yield PathRead(path, field, has_default=True)
            given = given[1:] if operator == "var" else []
        elif operator in _PER_ITEM:
            # The second argument is run over the items, where paths mean something else.
            given = given[:1] + given[2:]
        yield from rule_reads(given, field)


def is_constant(rule: Any) -> bool:
    """Tell whether a JSONLogic rule reads nothing, so that its answer is always the same."""
    if isinstance(rule, Mapping):
        return not (_LOOKUPS & rule.keys()) and all(map(is_constant, rule.values()))
    return not isinstance(rule, list) or all(map(is_constant, rule))


def read_steps(drawing: Drawing) -> set[str]:
    """Return the ids of the nodes whose output somebody may read."""
    read: set[str] = set()
    for spot in drawing:
        if spot.node.raw:
            # A handler of another app may read any step named in its raw fields.
            raw = json.dumps(dict(spot.node.raw), default=str)
            read |= {key for key in drawing.spots if f"steps.{key}" in raw}
        for one in node_reads(spot, drawing):
            if one.path[0] == "steps":
                read |= {one.path[1]} if len(one.path) > 1 else set(drawing.spots)
    return read


def _readings(
    reads: Iterator[PathRead], before: frozenset[str], loops: tuple[Spot, ...]
) -> Iterator[Reading]:
    for read in reads:
        yield Reading(read.path, read.field, read.has_default, before, loops)


def _path(operator: str, arguments: list[Any]) -> tuple[str, ...]:
    if operator == "val":
        return tuple(str(argument) for argument in arguments if isinstance(argument, str | int))
    first = arguments[0] if arguments else ""
    return tuple(first.split(".")) if isinstance(first, str) and first else ()
