"""Computing: arithmetic, text and list operations over evaluated arguments.

What an operation does with values of the right type is json-logic-qubit's table wherever that agrees with
the JavaScript reference; here are the conversions before it, the limits after it, and what it has wrong:
`/` and `%` by zero or with signs, `cat` of null, booleans and floats, `in` with 1 and true, `log`, which
would write payloads to the log, and `method`, which would call Python methods and is no operation here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from json_logic import operations as library

from automate.rules.budget import MAX_ITEMS, MAX_TEXT, Meter, RuleBudgetExceeded
from automate.rules.coercion import LISTS, NAN, leading_number, number, strict_equal, text
from automate.rules.nodes import Built, Node, Operator

Number = int | float
_EXACT_BITS = 53


def add(*values: Any) -> Number:
    """Return the sum; of one argument, its numeric value."""
    return _calculate("+", [leading_number(value) for value in values])


def subtract(first: Any, *second: Any) -> Number:
    """Return `first` less `second`; of one argument, its negative."""
    return _calculate("-", [number(first), *map(number, second[:1])])


def multiply(*values: Any) -> Number:
    """Return the product."""
    return _calculate("*", [leading_number(value) for value in values])


def divide(first: Any, second: Any, *_: Any) -> Number:
    """Return the quotient; by zero it is an infinity, or NaN for 0/0."""
    dividend, divisor = number(first), number(second)
    if divisor == 0:
        return NAN if dividend == 0 or dividend != dividend else math.copysign(math.inf, dividend)
    return _calculate("/", [dividend, divisor])


def remainder(first: Any, second: Any, *_: Any) -> Number:
    """Return the remainder, with the sign of the dividend."""
    dividend, divisor = _double(number(first)), _double(number(second))
    try:
        return _settled(math.fmod(dividend, divisor))
    except ValueError:
        return NAN


def smallest(*values: Any) -> Number | None:
    """Return the least of the numbers; null of none."""
    return _extreme("min", values)


def largest(*values: Any) -> Number | None:
    """Return the greatest of the numbers; null of none."""
    return _extreme("max", values)


def concatenate(*values: Any) -> str:
    """Join the texts of the values; null is nothing."""
    return _limited("".join(["" if value is None else text(value) for value in values]))


def substring(source: Any, start: Any, length: Any = None, *_: Any) -> str:
    """Return `length` characters from `start`; a negative `length` leaves that many off the end."""
    first = _whole(start)
    return _limited(library["substr"](text(source), first, None if length is None else _whole(length)))


def merge(*values: Any) -> list[Any]:
    """Return one list of the values and of the items of those that are lists."""
    size = sum(len(value) if isinstance(value, LISTS) else 1 for value in values)
    if size > MAX_ITEMS:
        raise RuleBudgetExceeded(f"The rule makes a list of more than {MAX_ITEMS} items")
    return list(library["merge"](*values))


def contains(item: Any, whole: Any, *_: Any) -> bool:
    """Return whether a text holds the text of `item`, or a list a value strictly equal to it."""
    if isinstance(whole, str):
        return (item if type(item) is str else text(item)) in whole
    if not isinstance(whole, LISTS):
        return False
    if type(item) is str:
        return item in whole
    return any(strict_equal(item, each) for each in whole)


def _calculate(name: str, values: list[Number]) -> Number:
    doubles = [_double(value) for value in values]
    try:
        return _settled(library[name](*doubles))
    except OverflowError:
        return _settled(library[name](*map(float, doubles)))


def _extreme(name: str, values: tuple[Any, ...]) -> Number | None:
    numbers = [number(value) for value in values]
    if not numbers:
        return None
    if any(value != value for value in numbers):
        return NAN
    return _settled(library[name](*numbers))


def _double(value: Number) -> Number:
    return float(value) if isinstance(value, int) and value.bit_length() > _EXACT_BITS else value


def _settled(result: Number) -> Number:
    """Return whole floats as ints and ints a double cannot hold as floats, as JavaScript prints numbers."""
    if isinstance(result, int):
        try:
            return _double(result)
        except OverflowError:
            return math.inf if result > 0 else -math.inf
    return int(result) if result.is_integer() and abs(result) < 2**_EXACT_BITS else result


def _whole(value: Any) -> int:
    given = number(value)
    if given != given:
        return 0
    return int(max(-MAX_TEXT * 64, min(MAX_TEXT * 64, given)))


def _limited(made: str) -> str:
    if len(made) > MAX_TEXT:
        raise RuleBudgetExceeded(f"The rule makes a text longer than {MAX_TEXT} characters")
    return made


def _eager(function: Callable[..., Any], *, is_bool: bool = False, per_unit: int = 0) -> Callable[..., Built]:
    """Build an operation that evaluates all arguments first; `per_unit` items or characters cost one more."""

    def build(args: tuple[Node, ...]) -> Built:
        runs = tuple(arg.run for arg in args)

        def run(data: Any, meter: Meter | None) -> Any:
            values = [each(data, meter) for each in runs]
            if meter and per_unit:
                meter.spend(sum(len(v) for v in values if isinstance(v, (str, *LISTS))) // per_unit)
            return function(*values)

        return Built(run, is_bool=is_bool)

    return build


def _in(args: tuple[Node, ...]) -> Built:
    whole = args[1]
    listed = whole.constant if whole.is_constant else None
    if not isinstance(listed, list) or not all(type(each) is str for each in listed):
        return _eager(contains, is_bool=True, per_unit=64)(args)
    item, names = args[0].run, frozenset(listed)

    def run(data: Any, meter: Meter | None) -> bool:
        value = item(data, meter)
        return value in names if type(value) is str else contains(value, listed)

    return Built(run, is_bool=True)


def _log(args: tuple[Node, ...]) -> Built:
    return Built(args[0].run, is_bool=args[0].is_bool)


OPERATORS: dict[str, Operator] = {
    "+": Operator(_eager(add)),
    "-": Operator(_eager(subtract), needs=1),
    "*": Operator(_eager(multiply), needs=1),
    "/": Operator(_eager(divide), needs=2),
    "%": Operator(_eager(remainder), needs=2),
    "min": Operator(_eager(smallest)),
    "max": Operator(_eager(largest)),
    "cat": Operator(_eager(concatenate, per_unit=256)),
    "substr": Operator(_eager(substring, per_unit=1_024), needs=2),
    "merge": Operator(_eager(merge, per_unit=64)),
    "in": Operator(_in, needs=2),
    "log": Operator(_log, needs=1),
}
