"""Reading data: the operations `var`, `val`, `missing` and `missing_some`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from automate.rules.budget import Meter, RuleBudgetExceeded
from automate.rules.coercion import LISTS, number, text
from automate.rules.nodes import BadArguments, Built, Node, Operator

ABSENT: Final = object()
"""What a lookup returns where JavaScript has undefined."""
_LONGEST_PATH = 1_000


def find(data: Any, keys: tuple[str, ...]) -> Any:
    """Return the value under `keys`, or ABSENT. Reads objects, lists and texts (index, `length`) only."""
    for key in keys:
        if isinstance(data, Mapping):
            data = data.get(key, ABSENT)
        elif isinstance(data, (str, *LISTS)):
            data = _item(data, key)
        else:
            return ABSENT
        if data is ABSENT:
            return ABSENT
    return data


def finder(keys: tuple[str, ...]) -> Callable[[Any], Any]:
    """Return a function that reads `keys` from data, null when absent."""
    if len(keys) == 1:
        (only,) = keys

        def find_one(data: Any) -> Any:
            if type(data) is dict:
                return data.get(only)
            value = find(data, keys)
            return None if value is ABSENT else value

        return find_one

    def find_deep(data: Any) -> Any:
        here = data
        for key in keys:
            if type(here) is not dict:
                value = find(data, keys)
                return None if value is ABSENT else value
            here = here.get(key)
        return here

    return find_deep


def split(path: Any) -> tuple[str, ...]:
    """Return the keys of a dotted path; none for null and for the empty path, which mean the whole data."""
    written = "" if path is None else text(path)
    if len(written) > _LONGEST_PATH:
        raise RuleBudgetExceeded(f"The rule reads a path longer than {_LONGEST_PATH} characters")
    return tuple(written.split(".")) if written else ()


def _item(data: str | list[Any] | tuple[Any, ...], key: str) -> Any:
    if key == "length":
        return len(data)
    if not (key.isascii() and key.isdigit()) or len(key) > 9 or (key[0] == "0" and key != "0"):
        return ABSENT
    index = int(key)
    return data[index] if index < len(data) else ABSENT


def _var(args: tuple[Node, ...]) -> Built:
    if not args:
        return Built(lambda data, meter: data)
    if not args[0].is_constant:
        return _computed_var(args)
    keys = split(args[0].constant)
    if not keys:
        return Built(lambda data, meter: data)
    if len(args) == 1:
        read = finder(keys)
        return Built(lambda data, meter: read(data), keys=keys)
    default = args[1].run

    def read_or_default(data: Any, meter: Meter | None) -> Any:
        value = find(data, keys)
        return default(data, meter) if value is ABSENT else value

    return Built(read_or_default)


def _computed_var(args: tuple[Node, ...]) -> Built:
    path = args[0].run
    default = args[1].run if len(args) > 1 else None

    def run(data: Any, meter: Meter | None) -> Any:
        value = find(data, split(path(data, meter)))
        if value is not ABSENT:
            return value
        return default(data, meter) if default else None

    return Built(run)


def _val(args: tuple[Node, ...]) -> Built:
    if not all(arg.is_constant and isinstance(arg.constant, (str, int)) for arg in args):
        raise BadArguments("takes literal keys, as in {'val': ['a', 'b']}; use 'var' for a computed path")
    keys = tuple(text(arg.constant) for arg in args)
    if not keys:
        return Built(lambda data, meter: data)
    read = finder(keys)
    return Built(lambda data, meter: read(data), keys=keys)


def _missing(args: tuple[Node, ...]) -> Built:
    runs = tuple(arg.run for arg in args)

    def run(data: Any, meter: Meter | None) -> list[Any]:
        wanted: Any = [run(data, meter) for run in runs]
        if wanted and isinstance(wanted[0], LISTS):
            wanted = wanted[0]
        return _absent(data, wanted, meter)

    return Built(run)


def _missing_some(args: tuple[Node, ...]) -> Built:
    least, options = args[0].run, args[1].run

    def run(data: Any, meter: Meter | None) -> list[Any]:
        needed = number(least(data, meter))
        wanted = options(data, meter)
        wanted = wanted if isinstance(wanted, LISTS) else [wanted]
        absent = _absent(data, wanted, meter)
        return [] if len(wanted) - len(absent) >= needed else absent

    return Built(run)


def _absent(data: Any, wanted: Any, meter: Meter | None) -> list[Any]:
    if meter:
        meter.spend(len(wanted))
    found = ((path, find(data, split(path))) for path in wanted)
    return [path for path, value in found if value is ABSENT or value is None or value == ""]


OPERATORS: dict[str, Operator] = {
    "var": Operator(_var),
    "val": Operator(_val),
    "missing": Operator(_missing),
    "missing_some": Operator(_missing_some, needs=2),
}
