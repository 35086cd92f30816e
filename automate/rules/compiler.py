"""From a rule as written to a tree of closures: checks it, folds what is constant, counts what it costs."""

from __future__ import annotations

import difflib
import math
from typing import Any

from automate.rules import calculations, comparisons, control, iteration, lookups
from automate.rules.budget import MAX_DEPTH, MAX_OPERATIONS, Meter, RuleBudgetExceeded, RuleError
from automate.rules.nodes import BadArguments, Built, Node, Operator, Run
from automate_core.errors import Problem

OPERATORS: dict[str, Operator] = {
    **lookups.OPERATORS,
    **control.OPERATORS,
    **comparisons.OPERATORS,
    **calculations.OPERATORS,
    **iteration.OPERATORS,
}
"""Every operation a rule may use."""

_CONDITIONS = frozenset({"and", "or", "!", "!!"})
_MAX_NESTING = 2 * MAX_DEPTH + 1
_MAX_INTEGER_BITS = 1_023


class InvalidRule(RuleError):
    """The rule is not valid JSONLogic.

    `path` says where in the rule, as in `and[1].==`; it is empty for the rule as a whole.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        where = f" at {path}" if path else ""
        super().__init__(f"Invalid rule{where}: {message}", details=[Problem(path, message)])
        self.path = path


class RuleTooLarge(InvalidRule, RuleBudgetExceeded):
    """The rule itself is over the budget, whatever the data."""


def compile_node(rule: Any) -> Node:
    """Compile a rule; raises InvalidRule saying where it is wrong, RuleTooLarge when over the budget."""
    root = _compile(_checked(rule, "", 1), "", 1, is_condition=True)
    if root.cost > MAX_OPERATIONS:
        raise RuleTooLarge(f"it has {root.cost} operations; {MAX_OPERATIONS} are allowed")
    return root


def _checked(value: Any, path: str, depth: int) -> Any:
    """Return a copy of a JSON value, so that later changes by the caller do not reach the compiled rule."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        if value.bit_length() <= _MAX_INTEGER_BITS:
            return value
        raise InvalidRule("the integer is too large for a JSON number", path=path)
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        raise InvalidRule(f"{value} is not a JSON number", path=path)
    if depth > _MAX_NESTING:
        raise RuleTooLarge(f"it is nested deeper than {MAX_DEPTH} operations", path=path[:200])
    if isinstance(value, (list, tuple)):
        return [_checked(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise InvalidRule(f"the key {key!r:.100} is not a string", path=path)
        return {key: _checked(item, _inside(path, key), depth + 1) for key, item in value.items()}
    raise InvalidRule(f"a {type(value).__name__} is not a JSON value", path=path)


def _compile(rule: Any, path: str, depth: int, *, is_condition: bool = False) -> Node:
    if depth > MAX_DEPTH and isinstance(rule, (dict, list)):
        raise RuleTooLarge(f"it is nested deeper than {MAX_DEPTH} operations", path=path[:200])
    if isinstance(rule, dict) and len(rule) == 1:
        return _operation(rule, path, depth)
    if isinstance(rule, dict) and len(rule) > 1 and is_condition and not OPERATORS.keys().isdisjoint(rule):
        raise InvalidRule(
            f"an object with several keys ({', '.join(map(repr, list(rule)[:5]))}) is data and always true;"
            " put the conditions in a list under 'and'",
            path=path,
        )
    if isinstance(rule, list):
        return _list(rule, path, depth)
    return _literal(rule, path)


def _operation(rule: dict[str, Any], path: str, depth: int) -> Node:
    ((name, written),) = rule.items()
    path = _inside(path, name)
    operator = _operator(name, path)
    if operator.takes_list and not isinstance(written, (list, dict)):
        raise InvalidRule(f"{name!r} takes a list of arguments, not {written!r:.100}", path=path)
    if isinstance(written, list):
        places = [(arg, f"{path}[{index}]") for index, arg in enumerate(written)]
    else:
        places = [(written, path)]
    if len(places) < operator.needs:
        raise InvalidRule(
            f"{name!r} needs at least {operator.needs} argument(s), it has {len(places)}",
            path=path,
        )
    is_condition = name in _CONDITIONS
    args = tuple(_compile(arg, place, depth + 1, is_condition=is_condition) for arg, place in places)
    try:
        built = operator.build(args)
    except BadArguments as error:
        raise InvalidRule(f"{name!r} {error}", path=path) from None
    cost = 1 + sum(arg.cost for index, arg in enumerate(args) if index != operator.body)
    has_loop = operator.body is not None or any(arg.has_loop for arg in args)
    node = Node(
        built.run, rule, path, name, args, cost, is_bool=built.is_bool, has_loop=has_loop, keys=built.keys
    )
    return _folded(node, built)


def _folded(node: Node, built: Built) -> Node:
    """Return a constant node when all arguments are constant and the operation reads no data."""
    reads_data = node.operator in lookups.OPERATORS
    if reads_data or not built.foldable or not all(arg.is_constant for arg in node.children):
        return node
    try:
        value = node.run(None, Meter())
    except RuleError:
        return node
    return Node(
        _returning(value), node.spec, node.path, node.operator, node.children,
        cost=_weight(value), is_bool=isinstance(value, bool), is_constant=True,
    )  # fmt: skip


def _list(rule: list[Any], path: str, depth: int) -> Node:
    items = tuple(_compile(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(rule))
    if all(item.is_constant for item in items):
        value = [item.constant for item in items]
        return Node(_returning(value), rule, path, children=items, cost=_weight(value), is_constant=True)
    runs = tuple(item.run for item in items)
    return Node(
        lambda data, meter: [run(data, meter) for run in runs],
        rule,
        path,
        children=items,
        cost=1 + sum(item.cost for item in items),
        has_loop=any(item.has_loop for item in items),
    )


def _literal(value: Any, path: str) -> Node:
    return Node(
        _returning(value), value, path, cost=_weight(value), is_bool=isinstance(value, bool), is_constant=True
    )


def _returning(value: Any) -> Run:
    """Return a closure that yields a constant; lists and objects as copies: callers may change them."""
    if isinstance(value, (list, dict)):
        return lambda data, meter: _copied(value)
    return lambda data, meter: value


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _weight(value: Any) -> int:
    """Return what copying a constant counts: one operation for 16 values."""
    return _size(value) // 16


def _size(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_size, value.values()))
    return 1 + sum(map(_size, value)) if isinstance(value, list) else 1


def _operator(name: str, path: str) -> Operator:
    if operator := OPERATORS.get(name):
        return operator
    near = difflib.get_close_matches(name[:50], OPERATORS, n=3)
    hint = f"did you mean {', '.join(map(repr, near))}?" if near else f"use one of {' '.join(OPERATORS)}"
    raise InvalidRule(f"unknown operator {name!r:.100}; {hint}", path=path)


def _inside(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
