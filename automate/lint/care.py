"""Findings about calls and waits: what may take for ever, and what may happen once too often or not at all."""

from __future__ import annotations

from collections.abc import Iterator

from automate.graph import OnError
from automate.lint.drawing import Drawing, Spot
from automate.lint.facts import Facts
from automate.lint.findings import Codes, Finding
from automate_core.steps import Effect

EXTERNAL = frozenset({Effect.IDEMPOTENT, Effect.AT_MOST_ONCE})

TIMEOUT = "timeout"
"""The route of a step that waited for an answer in vain."""

BOUNDS = ("timeout_seconds", "deadline_seconds", "deadline")
"""Config fields that bound such a wait."""


def missing_timeouts(drawing: Drawing, facts: Facts) -> Iterator[Finding]:
    """Find calls to the outside that rely on the default time limit."""
    for spot in drawing:
        if spot.node.effect not in EXTERNAL or bound_of(spot) is not None:
            continue
        if spot.given.get("timeout_seconds") is None and "timeout_seconds" not in spot.config:
            message = (
                f"node {spot.key!r} calls an outside system without a time limit of its own; give it"
                f" timeout_seconds (the default is {spot.node.timeout_seconds:g})"
            )
            yield Finding(Codes.MISSING_TIMEOUT, spot.key, f"{spot.where}.timeout_seconds", message)


def endless_waits(drawing: Drawing, facts: Facts) -> Iterator[Finding]:
    """Find waits for an answer that nothing ends when nobody answers."""
    if drawing.plan.settings.timeout_seconds is not None:
        return
    for spot in drawing:
        name = bound_of(spot)
        if name is not None and spot.config.get(name) is None:
            message = (
                f"node {spot.key!r} waits for ever when nobody answers; give it {name} and an edge with"
                f" source_handle {TIMEOUT!r}"
            )
            yield Finding(Codes.WAIT_WITHOUT_TIMEOUT, spot.key, f"{spot.where}.config.{name}", message)


def bound_of(spot: Spot) -> str | None:
    """Return the config field that bounds a node's wait for an answer; None for a node that waits for none."""
    if TIMEOUT not in spot.node.handler.routes_of(spot.config):
        return None
    fields = spot.node.handler.config_schema.get("properties", {})
    return next((name for name in BOUNDS if name in fields), None)


def retries_of_single_calls(drawing: Drawing, facts: Facts) -> Iterator[Finding]:
    """Find retries of actions that must not be called twice."""
    for spot in drawing:
        retry = spot.node.retry
        if spot.node.effect is not Effect.AT_MOST_ONCE or retry is None or retry.max_attempts == 1:
            continue
        message = (
            f"node {spot.key!r} runs at most once, so retry only counts when a call certainly had no effect;"
            f" {_how_to_repeat(spot)} or remove retry"
        )
        yield Finding(Codes.RETRY_NOT_IDEMPOTENT, spot.key, f"{spot.where}.retry", message)


def unguarded_calls_in_loops(drawing: Drawing, facts: Facts) -> Iterator[Finding]:
    """Find calls in a loop whose one failure ends the run with the items before it done and those after it not."""
    for spot in drawing:
        if spot.node.effect is not Effect.AT_MOST_ONCE or not spot.loops:
            continue
        if spot.node.on_error is OnError.FAIL and not any(map(_forgives, spot.loops)):
            message = (
                f"node {spot.key!r} runs at most once in the loop {spot.loops[-1].key!r}: one failure ends the run"
                f" between two items and a replay repeats those done; set on_error on it, or on_item_error on the loop"
            )
            yield Finding(Codes.UNGUARDED_CALL_IN_LOOP, spot.key, f"{spot.where}.on_error", message)


def _how_to_repeat(spot: Spot) -> str:
    if spot.node.handler.type in ("http.request", "http_request"):
        return "give it idempotency_header if the other side knows one"
    return "use an action that is idempotent"


def _forgives(loop: Spot) -> bool:
    return loop.node.on_error is not OnError.FAIL or loop.config.get("on_item_error") in (
        "continue",
        "collect",
    )
