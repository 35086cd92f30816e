"""Comparing: `==`, `===`, `!=`, `!==`, `<`, `<=`, `>`, `>=`, each over two arguments or a chain of more.

A chain compares neighbours and stops at the first pair that does not hold: `{"<": [1, x, 10]}` is "between".
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from automate.rules.budget import Meter
from automate.rules.coercion import NUMBERS, ordered, soft_equal, strict_equal
from automate.rules.lookups import finder
from automate.rules.nodes import Builder, Built, Node, Operator, Run

Compare = Callable[[Any, Any], bool]


def _ordering(quick: Compare) -> Compare:
    def compare(left: Any, right: Any) -> bool:
        if type(left) in NUMBERS and type(right) in NUMBERS:
            return quick(left, right)
        return ordered(left, right, quick)

    return compare


COMPARISONS: dict[str, tuple[Compare, Compare]] = {
    "==": (operator.eq, soft_equal),
    "===": (operator.eq, strict_equal),
    "!=": (operator.ne, lambda left, right: not soft_equal(left, right)),
    "!==": (operator.ne, lambda left, right: not strict_equal(left, right)),
    "<": (operator.lt, _ordering(operator.lt)),
    "<=": (operator.le, _ordering(operator.le)),
    ">": (operator.gt, _ordering(operator.gt)),
    ">=": (operator.ge, _ordering(operator.ge)),
}
"""By name: Python's comparison, right for two values of one simple type, and JavaScript's, right for all."""


def _builder(quick: Compare, full: Compare) -> Builder:
    def build(args: tuple[Node, ...]) -> Built:
        if len(args) > 2:
            return Built(_chain(args, full), is_bool=True)
        left, right = args
        if left.keys and right.is_constant and (types := _same_types(right.constant)):
            return Built(_against_literal(left.keys, right.constant, types, quick, full), is_bool=True)
        first, second = left.run, right.run
        return Built(lambda data, meter: full(first(data, meter), second(data, meter)), is_bool=True)

    return build


def _chain(args: tuple[Node, ...], full: Compare) -> Run:
    first, *rest = (arg.run for arg in args)

    def run(data: Any, meter: Meter | None) -> bool:
        left = first(data, meter)
        for each in rest:
            right = each(data, meter)
            if not full(left, right):
                return False
            left = right
        return True

    return run


def _same_types(literal: Any) -> tuple[type, ...]:
    if type(literal) in NUMBERS:
        return NUMBERS
    return (str,) if type(literal) is str else ()


def _against_literal(
    keys: tuple[str, ...], literal: Any, types: tuple[type, ...], quick: Compare, full: Compare
) -> Run:
    """Compare a variable with a literal: the usual condition, so neither argument costs a call of its own."""
    read = finder(keys)
    if len(keys) > 1:

        def run_deep(data: Any, meter: Meter | None) -> bool:
            value = read(data)
            return quick(value, literal) if type(value) in types else full(value, literal)

        return run_deep
    (key,) = keys

    def run(data: Any, meter: Meter | None) -> bool:
        value = data.get(key) if type(data) is dict else read(data)
        return quick(value, literal) if type(value) in types else full(value, literal)

    return run


OPERATORS: dict[str, Operator] = {
    name: Operator(_builder(quick, full), needs=2) for name, (quick, full) in COMPARISONS.items()
}
