"""Deciding: `and`, `or`, `if`, `?:`, `!`, `!!` and `throw`; what is not needed is not evaluated."""

from __future__ import annotations

from typing import Any, NoReturn

from automate.rules.budget import Meter, RuleError
from automate.rules.coercion import text, truthy
from automate.rules.nodes import Built, Node, Operator, Run


class RuleThrew(RuleError):
    """The rule raised an error itself, with `throw`."""


def test_of(node: Node) -> Run:
    """Return a closure that yields the truth of a node as a bool."""
    run = node.run
    if node.is_bool:
        return run
    return lambda data, meter: truthy(run(data, meter))


def _and(args: tuple[Node, ...]) -> Built:
    if not args:
        return Built(lambda data, meter: False, is_bool=True)
    *firsts, last = (arg.run for arg in args)
    is_bool = all(arg.is_bool for arg in args)
    if is_bool and len(args) == 2:
        left, right = args[0].run, args[1].run
        return Built(lambda data, meter: left(data, meter) and right(data, meter), is_bool=True)

    def run(data: Any, meter: Meter | None) -> Any:
        for each in firsts:
            value = each(data, meter)
            if value is False or (value is not True and not truthy(value)):
                return value
        return last(data, meter)

    return Built(run, is_bool=is_bool)


def _or(args: tuple[Node, ...]) -> Built:
    if not args:
        return Built(lambda data, meter: False, is_bool=True)
    *firsts, last = (arg.run for arg in args)
    is_bool = all(arg.is_bool for arg in args)
    if is_bool and len(args) == 2:
        left, right = args[0].run, args[1].run
        return Built(lambda data, meter: left(data, meter) or right(data, meter), is_bool=True)

    def run(data: Any, meter: Meter | None) -> Any:
        for each in firsts:
            value = each(data, meter)
            if value is True or (value is not False and truthy(value)):
                return value
        return last(data, meter)

    return Built(run, is_bool=is_bool)


def _if(args: tuple[Node, ...]) -> Built:
    pairs = tuple((test_of(args[i]), args[i + 1].run) for i in range(0, len(args) - 1, 2))
    otherwise: Run = args[-1].run if len(args) % 2 else lambda data, meter: None

    def run(data: Any, meter: Meter | None) -> Any:
        for test, then in pairs:
            if test(data, meter):
                return then(data, meter)
        return otherwise(data, meter)

    results = [*args[1::2], *args[-1:]]
    return Built(run, is_bool=len(args) % 2 == 1 and all(arg.is_bool for arg in results))


def _not(args: tuple[Node, ...]) -> Built:
    if not args:
        return Built(lambda data, meter: True, is_bool=True)
    test = test_of(args[0])
    return Built(lambda data, meter: not test(data, meter), is_bool=True)


def _truth(args: tuple[Node, ...]) -> Built:
    if not args:
        return Built(lambda data, meter: False, is_bool=True)
    return Built(test_of(args[0]), is_bool=True)


def _throw(args: tuple[Node, ...]) -> Built:
    reason = args[0].run

    def run(data: Any, meter: Meter | None) -> NoReturn:
        raise RuleThrew(f"The rule raised {text(reason(data, meter))[:200]!r}")

    return Built(run, foldable=False)


OPERATORS: dict[str, Operator] = {
    "and": Operator(_and, takes_list=True),
    "or": Operator(_or, takes_list=True),
    "if": Operator(_if, takes_list=True),
    "?:": Operator(_if, takes_list=True),
    "!": Operator(_not),
    "!!": Operator(_truth),
    "throw": Operator(_throw, needs=1),
}
