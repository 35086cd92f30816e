"""The fixed set of filters: functions of a value and literal arguments, checked at compile time."""

from __future__ import annotations

import base64
import binascii
import html
import math
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from automate_core.templating.dates import BadDate, check_date_arguments, format_date
from automate_core.templating.text import TemplateError, as_json, as_text, check_length, limited

_MOST_DIGITS = 15
_LONGEST_NUMERAL = 300


class FilterError(TemplateError):
    """The filter cannot work on this value."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter: its function, its arguments' types, how many it needs, and a check of their values."""

    call: Callable[..., Any]
    takes: tuple[tuple[type, ...], ...] = ()
    needs: int = 0
    check: Callable[..., None] | None = None

    def problem(self, arguments: tuple[Any, ...]) -> str | None:
        """Return what is wrong with literal arguments, if anything."""
        if not self.needs <= len(arguments) <= len(self.takes):
            most = "" if self.needs == len(self.takes) else f" to {len(self.takes)}"
            return f"takes {self.needs}{most} argument(s), not {len(arguments)}"
        for number, (argument, types) in enumerate(zip(arguments, self.takes, strict=False), start=1):
            if types and type(argument) not in types:
                names = " or ".join(_TYPE_NAMES[kind] for kind in types)
                return f"needs {names} as argument {number}, not {argument!r:.50}"
        if self.check:
            try:
                self.check(*arguments)
            except ValueError as error:
                return str(error)
        return None


_ANY: tuple[type, ...] = ()
_TEXT = (str,)
_INTEGER = (int,)
_TYPE_NAMES: Mapping[type, str] = {str: "a text", int: "a whole number", bool: "true or false"}


def _default(value: Any, replacement: Any, for_empty: bool = False) -> Any:
    if value is None or (for_empty and not value):
        return replacement
    return value


def _length(value: Any) -> int:
    if isinstance(value, (str, list, tuple, Mapping)):
        return len(value)
    raise FilterError(f"length needs a text, a list or an object, not {_kind(value)}")


def _join(value: Any, separator: str = "") -> str:
    texts = [as_text(item) for item in _list("join", value)]
    check_length(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def _split(value: Any, separator: str = ",") -> list[str]:
    return as_text(value).split(separator)


def _check_split(separator: str = ",") -> None:
    if not separator:
        raise ValueError("needs a separator that is not empty")


def _first(value: Any) -> Any:
    items = value if isinstance(value, str) else _list("first", value)
    return items[0] if items else None


def _last(value: Any) -> Any:
    items = value if isinstance(value, str) else _list("last", value)
    return items[-1] if items else None


def _reverse(value: Any) -> Any:
    return value[::-1] if isinstance(value, str) else list(_list("reverse", value))[::-1]


def _slice(value: Any, start: int, end: int | None = None) -> Any:
    if isinstance(value, str):
        return value[start:end]
    return list(_list("slice", value)[start:end])


def _truncate(value: Any, length: int, ending: str = "...") -> str:
    text = as_text(value)
    return text if len(text) <= length else text[: max(0, length - len(ending))] + ending


def _check_truncate(length: int, ending: str = "...") -> None:
    if length < len(ending):
        raise ValueError(f"needs a length of at least {len(ending)}, the length of {ending!r}")


def _replace(value: Any, old: str, new: str) -> str:
    text = as_text(value)
    check_length(len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new)


def _check_replace(old: str, new: str) -> None:
    if not old:
        raise ValueError("needs a text to replace that is not empty")


def _int(value: Any, *fallback: Any) -> Any:
    number = _number("int", value, *fallback)
    return int(number) if isinstance(number, float) else number


def _float(value: Any, *fallback: Any) -> Any:
    number = _number("float", value, *fallback)
    try:
        return float(number) if isinstance(number, int) else number
    except OverflowError as error:
        raise FilterError("float cannot hold a number this large") from error


def _number(name: str, value: Any, *fallback: Any) -> Any:
    """Return the number a value or its text stands for, or the fallback when one is given."""
    if isinstance(value, (bool, int)):
        return int(value)
    text = repr(value) if isinstance(value, float) else value
    if isinstance(text, str) and len(text) <= _LONGEST_NUMERAL and "_" not in text:
        for kind in (int, float):
            try:
                number: int | float = kind(text)
            except ValueError:
                continue
            if math.isfinite(number):
                return number
    if fallback:
        return fallback[0]
    raise FilterError(f"{name} cannot make a number of {_kind(value)}; give a fallback: {name}(0)")


def _round(value: Any, digits: int = 0) -> int | float:
    number = _number("round", value)
    if isinstance(number, int):
        return number
    rounded = Decimal(repr(number)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP) if (
        abs(number) < 10**_MOST_DIGITS
    ) else Decimal(number)  # fmt: skip
    return float(rounded) if digits else int(rounded)


def _check_round(digits: int = 0) -> None:
    if not 0 <= digits <= _MOST_DIGITS:
        raise ValueError(f"needs 0 to {_MOST_DIGITS} digits, not {digits}")


def _abs(value: Any) -> int | float:
    number: int | float = _number("abs", value)
    return abs(number)


def _date(value: Any, form: str = "%Y-%m-%d", zone: str = "UTC") -> str | int:
    try:
        return format_date(value, form, zone)
    except BadDate as error:
        raise FilterError(f"date {error}") from error


def _urlencode(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = [
            (str(key), as_text(item))
            for key, items in value.items()
            for item in (items if isinstance(items, (list, tuple)) else [items])
        ]
        return urllib.parse.urlencode(pairs, quote_via=urllib.parse.quote)
    return urllib.parse.quote(_encodable("urlencode", as_text(value)), safe="")


def _b64encode(value: Any) -> str:
    return base64.b64encode(_encodable("b64encode", as_text(value))).decode()


def _b64decode(value: Any) -> str:
    try:
        return base64.b64decode(as_text(value), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise FilterError("b64decode needs the Base64 form of UTF-8 text") from error


def _keys(value: Any) -> list[Any]:
    return list(_object("keys", value))


def _values(value: Any) -> list[Any]:
    return list(_object("values", value).values())


def _encodable(name: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise FilterError(f"{name} needs valid Unicode text") from error


def _list(name: str, value: Any) -> list[Any] | tuple[Any, ...]:
    if isinstance(value, (list, tuple)):
        return value
    raise FilterError(f"{name} needs a list, not {_kind(value)}")


def _object(name: str, value: Any) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    raise FilterError(f"{name} needs an object, not {_kind(value)}")


def _kind(value: Any) -> str:
    """Name a value's type; values themselves stay out of errors, for they may be secret."""
    if value is None:
        return "null"
    return f"a {type(value).__name__}"


FILTERS: Mapping[str, Filter] = {
    "default": Filter(_default, (_ANY, (bool,)), needs=1),
    "upper": Filter(lambda value: as_text(value).upper()),
    "lower": Filter(lambda value: as_text(value).lower()),
    "title": Filter(lambda value: as_text(value).title()),
    "capitalize": Filter(lambda value: as_text(value).capitalize()),
    "trim": Filter(lambda value: as_text(value).strip()),
    "string": Filter(as_text),
    "json": Filter(as_json),
    "int": Filter(_int, (_ANY,)),
    "float": Filter(_float, (_ANY,)),
    "round": Filter(_round, (_INTEGER,), check=_check_round),
    "abs": Filter(_abs),
    "length": Filter(_length),
    "first": Filter(_first),
    "last": Filter(_last),
    "reverse": Filter(_reverse),
    "join": Filter(_join, (_TEXT,)),
    "split": Filter(_split, (_TEXT,), check=_check_split),
    "slice": Filter(_slice, (_INTEGER, _INTEGER), needs=1),
    "truncate": Filter(_truncate, (_INTEGER, _TEXT), needs=1, check=_check_truncate),
    "replace": Filter(_replace, (_TEXT, _TEXT), needs=2, check=_check_replace),
    "date": Filter(_date, (_TEXT, _TEXT), check=check_date_arguments),
    "keys": Filter(_keys),
    "values": Filter(_values),
    "urlencode": Filter(_urlencode),
    "b64encode": Filter(_b64encode),
    "b64decode": Filter(_b64decode),
    "escape": Filter(lambda value: limited(html.escape(as_text(value)))),
}
"""Every filter a template may use."""
