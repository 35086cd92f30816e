"""One node of a graph: its fields checked, its templates, rules and options compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automate.graph.plan import OnError, Retry
from automate_core.errors import AutomateError, Problem
from automate_core.steps import Effect, StepHandler
from automate_core.templating import Template, TemplateSyntaxError, compile_template

FindHandler = Callable[[str], StepHandler | None]
Wrong = Callable[[str, str], None]

MAX_NODE_TIMEOUT_SECONDS = 3_600
EXCLUSIVE = frozenset({"error", "timeout"})
"""Routes an edge without a handle is never taken for."""
_RETRY_KEYS = ("max_attempts", "initial_seconds", "max_seconds", "jitter", "retry_on", "deadline_seconds")


@dataclass(frozen=True, slots=True)
class Compiled:
    """What is known of a node that has no problems, before its place in the plan."""

    type: str
    handler: StepHandler
    effect: Effect
    template: Template
    raw: Mapping[str, Any]
    prepared: Any
    timeout_seconds: float
    retry: Retry | None
    on_error: OnError
    needs: int | None
    undo: str | None


@dataclass(frozen=True, slots=True)
class Draft:
    """A node as far as it could be understood; `compiled` is None when something is wrong with it."""

    key: str
    where: str
    compiled: Compiled | None = None
    routes: Sequence[str] | None = None

    @property
    def is_loop(self) -> bool:
        """Whether the node repeats a body."""
        return self.compiled is not None and self.compiled.handler.is_loop


def draft_node(where: str, node: Any, find_handler: FindHandler, wrong: Wrong) -> Draft | None:
    """Understand one entry of `nodes`; problems go to `wrong(field, message)`."""
    if not isinstance(node, Mapping):
        wrong(where, "must be an object")
        return None
    key, kind, config = node.get("id"), node.get("type"), node.get("config") or {}
    is_named = _is_key(key)
    if not is_named:
        wrong(f"{where}.id", "must be a string of 1 to 200 printable characters without / and [")
    handler = find_handler(kind) if isinstance(kind, str) else None
    if handler is None:
        wrong(f"{where}.type", f"{f'node {key!r}' if is_named else 'the node'} has the unknown type {kind!r}")
    if not isinstance(key, str) or not is_named:
        return None
    if handler is None:
        return Draft(key, where)
    if not isinstance(config, Mapping):
        wrong(f"{where}.config", f"the config of node {key!r} must be an object")
        return Draft(key, where)
    return _compiled(where, key, node, handler, config, wrong)


def _is_key(key: Any) -> bool:
    return isinstance(key, str) and 1 <= len(key) <= 200 and key.isprintable() and not set("/[") & set(key)


def _compiled(
    where: str,
    key: str,
    node: Mapping[str, Any],
    handler: StepHandler,
    config: Mapping[str, Any],
    wrong: Wrong,
) -> Draft:
    problems: list[Problem] = []

    def note(field: str, message: str) -> None:
        problems.append(Problem(field, message))
        wrong(f"{where}.{field}", f"node {key!r}: {message}")

    for problem in handler.problems(config):
        note(f"config.{problem.field}".rstrip("."), problem.message)
    retry = _retry(node.get("retry"), note)
    timeout = _timeout(node.get("timeout_seconds"), handler, note)
    on_error = _on_error(node.get("on_error"), note)
    undo = _undo(node.get("compensate_with"), key, handler, note)
    if problems:
        return Draft(key, where)
    raw = {name: config[name] for name in handler.raw_fields if name in config}
    try:
        template = compile_template({name: config[name] for name in config if name not in raw})
        compiled = Compiled(
            str(node["type"]), handler, handler.effect_of(config), template, raw, handler.prepare(config), timeout,
            retry, on_error, handler.arrivals(config), undo,
        )  # fmt: skip
        routes = handler.routes_of(config)
    except TemplateSyntaxError as error:
        note(f"config.{error.field}", error.message)
        return Draft(key, where)
    except AutomateError as error:
        note("config", error.message)
        return Draft(key, where)
    return Draft(key, where, compiled, routes)


def _retry(retry: Any, note: Wrong) -> Retry | None:
    if retry is None:
        return None
    if not isinstance(retry, Mapping):
        note("retry.max_attempts", 'retry must be an object such as {"max_attempts": 3}')
        return None
    for name in retry:
        if name not in _RETRY_KEYS:
            note(f"retry.{name}", f"is unknown; known: {', '.join(_RETRY_KEYS)}")
    attempts = retry.get("max_attempts")
    if attempts is not None and (
        not isinstance(attempts, int) or isinstance(attempts, bool) or not 1 <= attempts <= 100
    ):
        note("retry.max_attempts", "must be a whole number from 1 to 100")
    for name in ("initial_seconds", "max_seconds", "deadline_seconds"):
        seconds = retry.get(name)
        if seconds is not None and not (_is_number(seconds) and 0 < seconds <= 86_400 * 7):
            note(f"retry.{name}", "must be a number of seconds up to 604800")
    if not isinstance(retry.get("jitter", True), bool):
        note("retry.jitter", "must be true or false")
    codes = retry.get("retry_on")
    if codes is not None and (
        not isinstance(codes, list) or not all(isinstance(code, str) for code in codes)
    ):
        note("retry.retry_on", 'must be a list of error codes such as ["TIMEOUT", "RATE_LIMITED"]')
        codes = None
    return Retry(
        attempts, retry.get("initial_seconds"), retry.get("max_seconds"), retry.get("jitter", True) is not False,
        frozenset(codes) if codes is not None else None, retry.get("deadline_seconds"),
    )  # fmt: skip


def _timeout(timeout: Any, handler: StepHandler, note: Wrong) -> float:
    if timeout is None:
        return handler.timeout_seconds
    if handler.is_loop:
        note("timeout_seconds", "a loop has none; give one to the steps in it or to the whole graph")
    elif not _is_number(timeout) or not 0 < timeout <= MAX_NODE_TIMEOUT_SECONDS:
        note("timeout_seconds", f"must be a number of seconds up to {MAX_NODE_TIMEOUT_SECONDS}")
    else:
        return float(timeout)
    return handler.timeout_seconds


def _on_error(given: Any, note: Wrong) -> OnError:
    if given is None:
        return OnError.FAIL
    try:
        return OnError(given)
    except ValueError:
        note("on_error", f"must be one of {', '.join(OnError)}, not {given!r}")
        return OnError.FAIL


def _undo(given: Any, key: str, handler: StepHandler, note: Wrong) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str) or given == key:
        note("compensate_with", "must be the id of another node, which undoes this one")
    elif handler.is_loop:
        note("compensate_with", "a loop has none; give one to the steps in it")
    else:
        return given
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
