"""What a graph says about its executions as a whole: `settings` beside `nodes` and `edges`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from automate_core.errors import AutomateError, Problem
from automate_core.templating import compile_template

MAX_TIMEOUT_SECONDS = 366 * 86_400
MAX_PARALLEL = 64
MAX_CONCURRENCY = 10_000
WHEN_FULL = ("queue", "drop", "replace")


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many executions run at once: `limit` for each value of the template `key` (one for all when None).

    `on_limit` says what becomes of one more: it waits (`queue`), is `drop`ped, or `replace`s those running.
    """

    limit: int
    key: str | None = None
    on_limit: str = "queue"


@dataclass(frozen=True, slots=True)
class GraphSettings:
    """The settings of a graph; `error_workflow` is a slug, `timeout_seconds` bounds a whole execution."""

    timeout_seconds: float | None = None
    max_parallel: int = 8
    error_workflow: str | None = None
    priority: int = 0
    concurrency: Concurrency | None = None


def parse_settings(given: Any) -> tuple[GraphSettings, list[Problem]]:
    """Return the settings a graph gives, and what is wrong with them; fields are `settings...`."""
    if given is None:
        return GraphSettings(), []
    if not isinstance(given, Mapping):
        return GraphSettings(), [Problem("settings", "must be an object")]
    found = _unknown("settings", given, _CHECKS)
    values: dict[str, Any] = {}
    for name, check in _CHECKS.items():
        if given.get(name) is None:
            continue
        problem = check(given[name])
        if problem:
            found.append(Problem(f"settings.{name}", problem))
        else:
            values[name] = given[name]
    if given.get("concurrency") is not None:
        values["concurrency"], more = _concurrency(given["concurrency"])
        found += more
    return (GraphSettings(), found) if found else (GraphSettings(**values), [])


def _concurrency(given: Any) -> tuple[Concurrency | None, list[Problem]]:
    where = "settings.concurrency"
    if not isinstance(given, Mapping):
        return None, [Problem(where, 'must be an object such as {"limit": 1}')]
    found = _unknown(where, given, ("limit", "key", "on_limit"))
    if not _is_whole(given.get("limit"), 1, MAX_CONCURRENCY):
        found.append(Problem(f"{where}.limit", f"must be a whole number from 1 to {MAX_CONCURRENCY}"))
    if given.get("on_limit", "queue") not in WHEN_FULL:
        found.append(Problem(f"{where}.on_limit", f"must be one of {', '.join(WHEN_FULL)}"))
    key = given.get("key")
    if key is not None:
        try:
            if not isinstance(key, str):
                raise AutomateError("must be a text, usually a template")
            compile_template(key)
        except AutomateError as error:
            found.append(Problem(f"{where}.key", error.message))
    if found:
        return None, found
    return Concurrency(given["limit"], key, given.get("on_limit", "queue")), []


def _unknown(where: str, given: Mapping[str, Any], known: Any) -> list[Problem]:
    allowed = [*known, "concurrency"] if where == "settings" else list(known)
    return [
        Problem(f"{where}.{name}", f"is unknown; known: {', '.join(sorted(allowed))}")
        for name in given
        if name not in allowed
    ]


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _timeout(value: Any) -> str:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MAX_TIMEOUT_SECONDS
    return "" if fits else f"must be a number of seconds up to {MAX_TIMEOUT_SECONDS}"


def _parallel(value: Any) -> str:
    return "" if _is_whole(value, 1, MAX_PARALLEL) else f"must be a whole number from 1 to {MAX_PARALLEL}"


def _slug(value: Any) -> str:
    return "" if isinstance(value, str) and 1 <= len(value) <= 100 else "must be the slug of a workflow"


def _priority(value: Any) -> str:
    return "" if _is_whole(value, -100, 100) else "must be a whole number from -100 to 100"


_CHECKS: dict[str, Callable[[Any], str]] = {
    "timeout_seconds": _timeout,
    "max_parallel": _parallel,
    "error_workflow": _slug,
    "priority": _priority,
}
