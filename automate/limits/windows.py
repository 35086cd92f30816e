"""What `debounce` and `throttle` in a trigger's configuration mean, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from automate_core.errors import AutomateError, Problem
from automate_core.templating import compile_template

MAX_SECONDS = 30 * 86_400
MAX_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Debounce:
    """Start once no event has come for `seconds`, at most `max_seconds` after the first, for each key."""

    seconds: float
    max_seconds: float | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class Throttle:
    """Start for the first `limit` events of every span of `per_seconds`, for each key, and for no more."""

    limit: int
    per_seconds: float
    key: str = ""


Window = Debounce | Throttle


@dataclass(frozen=True, slots=True)
class Candidate:
    """An event that matched a trigger with a window, under the key it has there; ids are strings."""

    tenant_id: str
    trigger_id: str
    event_id: str
    key: str

    @property
    def verdict_key(self) -> tuple[str, str]:
        """Return (trigger, event): what is decided once."""
        return self.trigger_id, self.event_id


def window_of(config: Mapping[str, Any]) -> Window | None:
    """Return the window of a trigger's configuration without problems; None when it has none."""
    if given := config.get("debounce"):
        return Debounce(given["seconds"], given.get("max_seconds"), given.get("key") or "")
    if given := config.get("throttle"):
        return Throttle(given["limit"], given["per_seconds"], given.get("key") or "")
    return None


def window_problems(config: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with the windows of a trigger's configuration; fields are `trigger_config...`."""
    given = {name: config[name] for name in _CHECKS if config.get(name) is not None}
    found = [
        Problem(f"trigger_config.{name}{field and '.'}{field}", message)
        for name, value in given.items()
        for field, message in _CHECKS[name](value)
    ]
    if len(given) > 1:
        message = (
            "cannot be combined with debounce, which lets at most one event through in its seconds anyway"
        )
        found.append(Problem("trigger_config.throttle", message))
    return found


def _debounce(given: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(given, Mapping):
        yield "", 'must be an object such as {"seconds": 30}'
        return
    yield from _unknown(given, ("seconds", "max_seconds", "key"))
    seconds, longest = given.get("seconds"), given.get("max_seconds")
    if not _is_seconds(seconds):
        yield "seconds", f"must be a number of seconds up to {MAX_SECONDS}"
    elif longest is not None and not (_is_seconds(longest) and longest >= seconds):
        yield "max_seconds", f"must be a number of seconds from `seconds` up to {MAX_SECONDS}"
    yield from _key(given)


def _throttle(given: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(given, Mapping):
        yield "", 'must be an object such as {"limit": 10, "per_seconds": 60}'
        return
    yield from _unknown(given, ("limit", "per_seconds", "key"))
    limit = given.get("limit")
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MAX_LIMIT:
        yield "limit", f"must be a whole number of events from 1 to {MAX_LIMIT}"
    if not _is_seconds(given.get("per_seconds")):
        yield "per_seconds", f"must be a number of seconds up to {MAX_SECONDS}"
    yield from _key(given)


def _unknown(given: Mapping[str, Any], known: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name in given:
        if name not in known:
            yield str(name), f"is unknown; known: {', '.join(sorted(known))}"


def _key(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    key = given.get("key")
    if key is None:
        return
    if not isinstance(key, str):
        yield "key", "must be a text, usually a template such as {{ event.payload.account }}"
        return
    try:
        compile_template(key)
    except AutomateError as error:
        yield "key", error.message


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MAX_SECONDS


_CHECKS = {"debounce": _debounce, "throttle": _throttle}
