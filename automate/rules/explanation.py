"""Why a rule came out as it did: every operation with its value, and what was never looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from automate.rules.budget import RuleBudgetExceeded, RuleError, check_result
from automate.rules.coercion import LISTS, truthy
from automate.rules.comparisons import COMPARISONS
from automate.rules.lookups import ABSENT, find, split
from automate.rules.nodes import Node

_SHOWN_ITEMS = 10
_SHOWN_NODES = 1_000
_PER_ITEM = frozenset({"map", "filter", "all", "some", "none"})


@dataclass(frozen=True, slots=True)
class Explanation:
    """One operation or literal of a rule, evaluated.

    `operator` is None for a literal; `arguments` is what is written in the rule; `value` is None and
    `evaluated` False where evaluation did not get to; `error` is the message of the error raised here.
    `item` is the index of the list element a loop's body was evaluated for.
    """

    operator: str | None
    path: str
    arguments: Any
    value: Any = None
    evaluated: bool = False
    error: str | None = None
    item: int | None = None
    children: tuple[Explanation, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the tree as JSON data."""
        return {
            "operator": self.operator,
            "path": self.path,
            "arguments": self.arguments,
            "value": self.value,
            "evaluated": self.evaluated,
            "error": self.error,
            "item": self.item,
            "children": [child.as_dict() for child in self.children],
        }


def explain_node(node: Node, data: Any) -> Explanation:
    """Evaluate a compiled rule and return the tree of what was evaluated to what.

    Lists are shown for their first 10 items, and after 1,000 operations the rest is marked as not evaluated.
    """
    return _Explainer().explain(node, data)


class _Explainer:
    """One explanation: counts what it has shown."""

    def __init__(self) -> None:
        self.left = _SHOWN_NODES

    def explain(self, node: Node, data: Any, item: int | None = None) -> Explanation:
        if self.left <= 0:
            return _skipped(node, item)
        self.left -= 1
        children = tuple(self._children(node, data))
        value, error = _outcome(node, data)
        return Explanation(
            node.operator,
            node.path,
            _arguments(node),
            value=_showable(value),
            evaluated=True,
            error=error,
            item=item,
            children=children,
        )

    def _children(self, node: Node, data: Any) -> Iterator[Explanation]:
        """Explain the arguments in the order they are evaluated; mark those evaluation never reaches."""
        match node.operator:
            case _ if node.keys or (node.is_constant and node.operator is None):
                return
            case "and" | "or" | "if" | "?:" | "var":
                yield from self._lazily(node, data)
            case name if name in COMPARISONS and len(node.children) > 2:
                yield from self._lazily(node, data)
            case name if name in _PER_ITEM:
                yield from self._items(node, data)
            case "reduce":
                source, body, *initial = node.children
                yield self.explain(source, data)
                yield _skipped(body)
                for each in initial:
                    yield self.explain(each, data)
            case _:
                for child in node.children:
                    yield self.explain(child, data)

    def _lazily(self, node: Node, data: Any) -> Iterator[Explanation]:
        reached = _reached(node, data)
        for index, child in enumerate(node.children):
            yield self.explain(child, data) if index in reached else _skipped(child)

    def _items(self, node: Node, data: Any) -> Iterator[Explanation]:
        source, body = node.children[:2]
        yield self.explain(source, data)
        items, _ = _outcome(source, data)
        if not isinstance(items, LISTS) or not items:
            yield _skipped(body)
            return
        for index, item in enumerate(items[:_SHOWN_ITEMS]):
            shown = self.explain(body, item, index)
            yield shown
            if _ends(node.operator, shown.value):
                return


def _reached(node: Node, data: Any) -> set[int]:
    """Return the indices of the arguments a lazy operation evaluates."""
    args = node.children
    match node.operator:
        case "if" | "?:":
            return _reached_by_if(args, data)
        case "var":
            return set(range(len(args))) if _is_absent(node, data) else {0}
    reached: set[int] = set()
    previous: Any = None
    for index, child in enumerate(args):
        reached.add(index)
        value, error = _outcome(child, data)
        if error or _settles(node.operator, index, previous, value):
            break
        previous = value
    return reached


def _reached_by_if(args: tuple[Node, ...], data: Any) -> set[int]:
    reached: set[int] = set()
    for index in range(0, len(args) - 1, 2):
        reached.add(index)
        value, error = _outcome(args[index], data)
        if error:
            return reached
        if truthy(value):
            return reached | {index + 1}
    return reached | {len(args) - 1} if len(args) % 2 else reached


def _is_absent(node: Node, data: Any) -> bool:
    """Return whether the path of a `var` leads nowhere, so that its default is evaluated."""
    if not node.children:
        return False
    path, error = _outcome(node.children[0], data)
    try:
        return not error and find(data, split(path)) is ABSENT
    except RuleError:
        return False


def _settles(operator: str | None, index: int, previous: Any, value: Any) -> bool:
    """Return whether a value decides `and`, `or` or a chain of comparisons."""
    if operator in COMPARISONS:
        return index > 0 and not COMPARISONS[operator][1](previous, value)
    return truthy(value) is (operator == "or")


def _ends(operator: str | None, value: Any) -> bool:
    """Return whether an item's test ends the loop."""
    if operator == "all":
        return not truthy(value)
    return operator in {"some", "none"} and truthy(value)


def _outcome(node: Node, data: Any) -> tuple[Any, str | None]:
    try:
        return node.run(data, node.meter()), None
    except RuleError as error:
        return None, error.message


def _skipped(node: Node, item: int | None = None) -> Explanation:
    return Explanation(node.operator, node.path, _arguments(node), item=item)


def _arguments(node: Node) -> Any:
    return node.spec if node.operator is None else node.spec[node.operator]


def _showable(value: Any) -> Any:
    try:
        return check_result(value)
    except RuleBudgetExceeded:
        return "(too large to show)"
