"""The steps that wait for the outside world: for an event, or for a call of a one-time URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automate.rules import compile_rule
from automate.waits.correlation import MAX_MATCHES, folded, match_problems
from automate.waits.tokens import resume_token, token_hash
from automate_core.errors import AutomateError, PermanentError, Problem
from automate_core.steps import Effect, StepContext, StepHandler, Wait, step_registry

MAX_WAIT_SECONDS = 366 * 86_400.0
MAX_TYPE_LENGTH = 255

_TIMEOUT_SCHEMA = {
    "type": ["number", "string"], "exclusiveMinimum": 0, "maximum": MAX_WAIT_SECONDS, "title": "Timeout",
    "description": "Longest wait, in seconds; then it leaves by timeout. It waits for ever when absent.",
}  # fmt: skip


class WaitForEventStep(StepHandler):
    """Waits until an event of a type arrives that has the values in `match` and satisfies `rule`."""

    type = "wait_for_event"
    label = "Wait for an event"
    effect = Effect.PURE
    routes = ("main", "timeout")
    raw_fields = frozenset({"rule"})
    config_schema = {
        "type": "object",
        "required": ["event_type"],
        "properties": {
            "event_type": {
                "type": "string", "title": "Event type", "description": "Type to wait for, or a glob: payment.*",
            },
            "match": {
                "type": "object", "title": "Match",
                "description": "Paths in the event and the values they must have, such as payload.order_id.",
            },
            "rule": {"title": "Rule", "description": "JSONLogic over the event that must hold besides."},
            "timeout_seconds": _TIMEOUT_SCHEMA,
        },
    }  # fmt: skip

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Require an event type; check the match, the rule and the timeout."""
        found = []
        event_type = config.get("event_type")
        if not isinstance(event_type, str) or not 1 <= len(event_type) <= MAX_TYPE_LENGTH:
            found.append(Problem("event_type", "is required: an event type, or a glob such as payment.*"))
        found += match_problems(config.get("match", {}))
        if config.get("rule") is not None:
            found += _rule_problems(config["rule"])
        return [*found, *timeout_problems(config, "timeout_seconds")]

    def run(self, config: Mapping[str, Any], context: StepContext) -> Wait:
        """Wait for the event; `match` and `event_type` are as rendered now."""
        event_type = config["event_type"]
        if not isinstance(event_type, str) or not 1 <= len(event_type) <= MAX_TYPE_LENGTH:
            raise PermanentError(f"event_type must be a text of 1 to 255 characters, not {event_type!r:.300}")
        rule = folded(config.get("match") or {}, config.get("rule"))
        return Wait(event_type=event_type, rule=rule, seconds=timeout_of(config, "timeout_seconds"))


class WaitForWebhookStep(StepHandler):
    """Waits until somebody calls the step's own URL, which earlier steps read as `{{ resume.<node id> }}`."""

    type = "wait_for_webhook"
    label = "Wait for a webhook"
    effect = Effect.PURE
    routes = ("main", "timeout")
    config_schema = {"type": "object", "properties": {"timeout_seconds": _TIMEOUT_SCHEMA}}

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Check the timeout."""
        return timeout_problems(config, "timeout_seconds")

    def run(self, config: Mapping[str, Any], context: StepContext) -> Wait:
        """Wait for the token's bearer; only the token's hash is kept."""
        token = resume_token(context.execution_id, context.path)
        return Wait(token_hash=token_hash(token), seconds=timeout_of(config, "timeout_seconds"))


def timeout_problems(config: Mapping[str, Any], name: str) -> list[Problem]:
    """Return what is wrong with a number of seconds that may be absent, or a template."""
    value = config.get(name)
    if value is None or isinstance(value, str) or _is_timeout(value):
        return []
    return [Problem(name, f"must be a number above 0 and at most {MAX_WAIT_SECONDS:.0f}")]


def timeout_of(config: Mapping[str, Any], name: str) -> float | None:
    """Return the rendered seconds, None when there are none; raises PermanentError."""
    value = config.get(name)
    if value is None:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        raise PermanentError(f"{name} must be a number, not {value!r:.100}") from None
    if not _is_timeout(seconds):
        raise PermanentError(f"{name} must be above 0 and at most {MAX_WAIT_SECONDS:.0f}, not {seconds!r}")
    return seconds


def register_wait_steps() -> None:
    """Register the steps of this module."""
    for handler in (WaitForEventStep, WaitForWebhookStep):
        if handler.type not in step_registry:
            step_registry.register(handler.type, handler())


def _is_timeout(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MAX_WAIT_SECONDS


def _rule_problems(rule: Any) -> list[Problem]:
    """Compile the rule inside the largest rule it will be folded into: what is saved can be waited for."""
    try:
        compile_rule(folded({f"payload.p{number}": "v" for number in range(MAX_MATCHES)}, rule))
    except AutomateError as error:
        return [Problem("rule", error.message)]
    return []
