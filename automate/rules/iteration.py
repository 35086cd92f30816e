"""Going through lists: `map`, `filter`, `reduce`, `all`, `some`, `none`; the meter is charged every turn."""

from __future__ import annotations

from typing import Any

from automate.rules.budget import Meter
from automate.rules.coercion import LISTS
from automate.rules.control import test_of
from automate.rules.nodes import Built, Node, Operator, Run


def _map(args: tuple[Node, ...]) -> Built:
    source, body, turn = args[0].run, args[1].run, _turn_cost(args[1])

    def run(data: Any, meter: Meter | None) -> list[Any]:
        items = _items(source, data, meter)
        _charge(meter, turn * len(items))
        return [body(item, meter) for item in items]

    return Built(run)


def _filter(args: tuple[Node, ...]) -> Built:
    source, test, turn = args[0].run, test_of(args[1]), _turn_cost(args[1])

    def run(data: Any, meter: Meter | None) -> list[Any]:
        items = _items(source, data, meter)
        _charge(meter, turn * len(items))
        return [item for item in items if test(item, meter)]

    return Built(run)


def _reduce(args: tuple[Node, ...]) -> Built:
    source, body, turn = args[0].run, args[1].run, _turn_cost(args[1])
    initial: Run = args[2].run if len(args) > 2 else lambda data, meter: None

    def run(data: Any, meter: Meter | None) -> Any:
        items = _items(source, data, meter)
        _charge(meter, turn * len(items))
        accumulator = initial(data, meter)
        for item in items:
            accumulator = body({"current": item, "accumulator": accumulator}, meter)
        return accumulator

    return Built(run)


def _all(args: tuple[Node, ...]) -> Built:
    first_false = _search(args, wanted=False)
    return Built(lambda data, meter: first_false(data, meter) is False, is_bool=True)


def _some(args: tuple[Node, ...]) -> Built:
    first_true = _search(args, wanted=True)
    return Built(lambda data, meter: first_true(data, meter) is True, is_bool=True)


def _none(args: tuple[Node, ...]) -> Built:
    first_true = _search(args, wanted=True)
    return Built(lambda data, meter: first_true(data, meter) is not True, is_bool=True)


def _search(args: tuple[Node, ...], *, wanted: bool) -> Run:
    """Return a closure: True when an item's test is `wanted`, False when none is, None without items."""
    source, test, turn = args[0].run, test_of(args[1]), _turn_cost(args[1])

    def run(data: Any, meter: Meter | None) -> bool | None:
        items = _items(source, data, meter)
        for item in items:
            _charge(meter, turn)
            if test(item, meter) is wanted:
                return True
        return False if items else None

    return run


def _items(source: Run, data: Any, meter: Meter | None) -> Any:
    items = source(data, meter)
    return items if isinstance(items, LISTS) else ()


def _turn_cost(body: Node) -> int:
    return max(1, body.cost)


def _charge(meter: Meter | None, operations: int) -> None:
    if meter is not None:
        meter.spend(operations)


OPERATORS: dict[str, Operator] = {
    "map": Operator(_map, needs=2, body=1),
    "filter": Operator(_filter, needs=2, body=1),
    "reduce": Operator(_reduce, needs=2, body=1),
    "all": Operator(_all, needs=2, body=1),
    "some": Operator(_some, needs=2, body=1),
    "none": Operator(_none, needs=2, body=1),
}
