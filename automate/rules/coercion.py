"""How JavaScript compares and converts, for JSON values: the ground JSONLogic stands on.

Rules follow ECMA-262: ToBoolean (7.1.2, with JSONLogic's "an empty array is falsy"), ToNumber (7.1.4),
ToString (7.1.17), IsLessThan (7.2.13), IsLooselyEqual (7.2.14), IsStrictlyEqual (7.2.15),
parseFloat (19.2.4). Decimals count as numbers; dates, times and UUIDs as their ISO or hex text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from automate.rules.budget import MAX_CONVERTED_ITEMS, MAX_DEPTH, MAX_TEXT, RuleBudgetExceeded

NAN = float("nan")
NUMBERS = (int, float)
"""Exact types of JSON numbers: `type(x) in NUMBERS` leaves bool out."""
LISTS = (list, tuple)

_DECIMAL = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NUMBER = re.compile(_DECIMAL)
_INTEGER = re.compile(r"[+-]?[0-9]+")
_RADIX = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)")
_INFINITY = re.compile(r"([+-]?)Infinity")
_LONGEST_NUMERAL = 1_000
_SPACE = " \t\n\r\v\f\u00a0\ufeff\u2028\u2029"


def truthy(value: Any) -> bool:
    """Return whether `value` counts as true: `""`, 0, null, NaN and `[]` are false, `{}` is true."""
    if value is True or value is False:
        return bool(value)
    if isinstance(value, Mapping):
        return True
    if isinstance(value, float) and value != value:
        return False
    return bool(value)


def number(value: Any) -> int | float:
    """Return `value` as JavaScript's Number() does: null is 0, true is 1, what is no numeral is NaN."""
    kind = type(value)
    if kind is float:
        return float(value)
    if isinstance(value, int):
        return _bounded(int(value))
    if value is None:
        return 0
    if isinstance(value, str):
        return _numeral(value)
    if isinstance(value, Decimal):
        return _of_decimal(value)
    if isinstance(value, LISTS):
        return _numeral(text(value))
    return NAN


def leading_number(value: Any) -> int | float:
    """Return `value` as JavaScript's parseFloat() does: the numeral its text begins with, else NaN."""
    if type(value) in NUMBERS or isinstance(value, Decimal):
        return number(value)
    written = text(value)[:_LONGEST_NUMERAL].lstrip(_SPACE)
    if infinite := _INFINITY.match(written):
        return -math.inf if infinite[1] == "-" else math.inf
    match = _NUMBER.match(written)
    return _numeral(match[0]) if match else NAN


def text(value: Any) -> str:
    """Return `value` as JavaScript's String() does; raises RuleBudgetExceeded for very large lists."""
    if isinstance(value, str):
        return value
    return _Writer().write(value, 1)


def soft_equal(left: Any, right: Any) -> bool:
    """Return `left == right` as JavaScript means it; two lists or objects are equal only if the same one."""
    left, right = _plain(left), _plain(right)
    if left is None or right is None:
        return left is right
    left_whole, right_whole = _is_container(left), _is_container(right)
    if left_whole and right_whole:
        return left is right
    left = text(left) if left_whole else left
    right = text(right) if right_whole else right
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    return number(left) == number(right)


def strict_equal(left: Any, right: Any) -> bool:
    """Return `left === right` as JavaScript means it: same type, same value."""
    left, right = _plain(left), _plain(right)
    if type(left) in NUMBERS and type(right) in NUMBERS:
        return bool(left == right)
    if type(left) is not type(right):
        return False
    return left is right if _is_container(left) else bool(left == right)


def ordered(left: Any, right: Any, compare: Callable[[Any, Any], bool]) -> bool:
    """Return `compare(left, right)` after JavaScript's conversions: two texts as texts, else as numbers."""
    left, right = _plain(left), _plain(right)
    left = text(left) if _is_container(left) else left
    right = text(right) if _is_container(right) else right
    if isinstance(left, str) and isinstance(right, str):
        return compare(left, right)
    return compare(number(left), number(right))


def _plain(value: Any) -> Any:
    if isinstance(value, (str, int, float, list, dict)) or value is None:
        return value
    if isinstance(value, Decimal):
        return _of_decimal(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def _is_container(value: Any) -> bool:
    return not isinstance(value, (str, int, float)) and value is not None


def _bounded(value: int) -> int | float:
    # 1,023 bits always fit a float, so arithmetic further on cannot overflow in the conversion.
    if value.bit_length() <= 1_023:
        return value
    return math.inf if value > 0 else -math.inf


def _of_decimal(value: Decimal) -> int | float:
    # A Decimal may carry an exponent of billions: int() of it would fill the memory.
    if not value.is_finite() or value.adjusted() > 300:
        return NAN if value.is_nan() else math.copysign(math.inf, value)
    return int(value) if value == value.to_integral_value() else float(value)


def _numeral(written: str) -> int | float:
    if len(written) > _LONGEST_NUMERAL:
        return NAN
    written = written.strip(_SPACE)
    if not written:
        return 0
    if _INTEGER.fullmatch(written):
        return _bounded(int(written))
    if _NUMBER.fullmatch(written):
        value = float(written)
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if _RADIX.fullmatch(written):
        return _bounded(int(written, 0))
    if infinite := _INFINITY.fullmatch(written):
        return -math.inf if infinite[1] == "-" else math.inf
    return NAN


class _Writer:
    """One conversion to text: counts the items it has seen, so that nested lists cannot multiply."""

    __slots__ = ("items", "size")

    def __init__(self) -> None:
        self.items = 0
        self.size = 0

    def write(self, value: Any, depth: int) -> str:
        if isinstance(value, LISTS):
            return self._list(value, depth)
        written = _scalar_text(value)
        self.size += len(written)
        if self.size > MAX_TEXT:
            raise RuleBudgetExceeded(f"The rule makes a text longer than {MAX_TEXT} characters")
        return written

    def _list(self, values: list[Any] | tuple[Any, ...], depth: int) -> str:
        self.items += len(values)
        if self.items > MAX_CONVERTED_ITEMS or depth > MAX_DEPTH:
            raise RuleBudgetExceeded(
                f"The rule compares a list of more than {MAX_CONVERTED_ITEMS} items or {MAX_DEPTH} levels"
                " as text; compare one of its items"
            )
        return ",".join("" if item is None else self.write(item, depth + 1) for item in values)


def _scalar_text(value: Any) -> str:
    value = _plain(value)
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < 10**21 else _float_text(number(value))
    return _float_text(value) if isinstance(value, float) else "[object Object]"


def _float_text(value: int | float) -> str:
    if value != value:
        return "NaN"
    if value in (math.inf, -math.inf):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    shortest = Decimal(repr(float(value)))
    if 1e-6 <= abs(value) < 1e21:
        fixed = format(shortest, "f")
        return fixed.rstrip("0").rstrip(".") if "." in fixed else fixed
    digits = "".join(map(str, shortest.as_tuple().digits)).rstrip("0")
    mantissa = digits[0] + ("." + digits[1:] if digits[1:] else "")
    return f"{'-' if value < 0 else ''}{mantissa}e{shortest.adjusted():+d}"
