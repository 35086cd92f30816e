"""What a waiting step wants of an event: its match and rule folded into one rule, and how candidates are found.

A folded rule is `{"and": [first, ...]}`. `first` is an equality over a path of the payload when the step matches
on one, else `true`. The equality is what the index `automate_steprun_matched` holds, so an event finds the steps
that wait for its own order number without looking at those that wait for others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from automate_core.errors import PermanentError, Problem

MAX_MATCHES = 20
MAX_LEAVES = 500
"""Values of a payload that are looked up; an event with more is compared with every step that listens to its type."""

_PATH = re.compile(r"(?:id|type|source|payload(?:\.[^.\x00]+)+)")
_UNFIT = re.compile(r"[\x00\ud800-\udfff]")
_PAYLOAD = "payload."
_SCALARS = (str, int, float, bool)


def match_problems(match: Any) -> list[Problem]:
    """Return what is wrong with `match` before it is rendered."""
    if not isinstance(match, Mapping):
        return [Problem("match", "must be an object of event paths and the values they must have")]
    if len(match) > MAX_MATCHES:
        return [Problem("match", f"has {len(match)} paths; at most {MAX_MATCHES} are allowed")]
    return [
        Problem(f"match.{path}", "must be the path of a value: id, type, source or payload.<key>...")
        for path in match
        if not isinstance(path, str) or not _PATH.fullmatch(path)
    ]


def folded(match: Mapping[str, Any], rule: Any) -> Any:
    """Return the rule an event must satisfy: every path of `match` has its value, and `rule` holds.

    Raises:
        PermanentError: a value is missing or no text, number or boolean, so no event could be told by it.
    """
    equal = {path: _equality(path, _comparable(path, value)) for path, value in match.items()}
    within: list[Any] = [clause for path, clause in equal.items() if path.startswith(_PAYLOAD)]
    around = [clause for path, clause in equal.items() if not path.startswith(_PAYLOAD)]
    first = within or [True]
    return {"and": [*first, *around, *([] if rule is None else [rule])]}


def sought(payload: Any) -> list[str] | None:
    """Return the first clauses, as JSON texts, that could be in a rule this payload satisfies; None when too many."""
    found: list[str] = []
    for path, value in _leaves(payload, ("payload",)):
        if len(found) == MAX_LEAVES:
            return None
        found.append(orjson.dumps([{"val": list(path)}, _plain(value)]).decode())
    return found


def _equality(path: str, value: Any) -> dict[str, Any]:
    return {"===": [{"val": path.split(".")}, value]}


def _comparable(path: str, value: Any) -> Any:
    if not isinstance(value, _SCALARS) or value == "":
        kind = "empty" if value in (None, "") else f"a {type(value).__name__}"
        raise PermanentError(f"match.{path} is {kind}; give a text, a number or a boolean to tell events by")
    if isinstance(value, str) and _UNFIT.search(value):
        raise PermanentError(f"match.{path} has characters no stored event can have")
    return _plain(value)


def _plain(value: Any) -> Any:
    """Return a number in its one form: JSON writes 5 and 5.0 for the same value."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if "." not in key:
                yield from _leaves(item, (*path, key))
    elif isinstance(value, _SCALARS):
        yield path, value
