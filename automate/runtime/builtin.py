"""The steps that come with the engine: logging, transform, set, condition, merge, delay."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from automate.rules import CompiledRule, compile_rule
from automate_core.errors import PermanentError, Problem
from automate_core.steps import Effect, StepContext, StepHandler, StepResult, Wait, step_registry

logger = logging.getLogger("automate.workflow")

MAX_DELAY_SECONDS = 366 * 86_400.0


class LoggingStep(StepHandler):
    """Writes a line to the log; its output is the message."""

    type = "logging"
    label = "Log a message"
    effect = Effect.PURE
    config_schema = {"type": "object", "required": ["message"], "properties": {"message": {}}}

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Require a message."""
        return [] if "message" in config else [Problem("message", "is required")]

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Log the rendered message."""
        facts = {"step": context.path, "execution": str(context.execution_id), "text": config["message"]}
        logger.info("workflow.logged", extra={**facts, "trace_id": context.trace_id})
        return StepResult({"message": config["message"]})


class TransformStep(StepHandler):
    """Shapes data: the rendered `output` is the step's output."""

    type = "transform"
    label = "Transform data"
    effect = Effect.PURE
    config_schema = {"type": "object", "required": ["output"], "properties": {"output": {}}}

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Require an output."""
        return [] if "output" in config else [Problem("output", "is required")]

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Return the rendered output."""
        return StepResult(config["output"])


class SetStep(StepHandler):
    """Merges `values` into the execution's variables."""

    type = "set"
    label = "Set variables"
    effect = Effect.PURE
    config_schema = {"type": "object", "required": ["values"], "properties": {"values": {"type": "object"}}}

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Require an object of values."""
        return [] if isinstance(config.get("values"), Mapping) else [Problem("values", "must be an object")]

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Return the values as output and as variables."""
        return StepResult(config["values"], variables=config["values"])


class ConditionStep(StepHandler):
    """Leaves by `true` or `false`, as its JSONLogic rule says over the step's scope."""

    type = "condition"
    label = "Condition"
    effect = Effect.PURE
    routes = ("true", "false")
    raw_fields = frozenset({"rule"})
    config_schema = {"type": "object", "required": ["rule"], "properties": {"rule": {}}}

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Require a rule; it is compiled in `prepare`."""
        return [] if "rule" in config else [Problem("rule", "is required")]

    def prepare(self, config: Mapping[str, Any]) -> CompiledRule:
        """Compile the rule."""
        return compile_rule(config["rule"])

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Evaluate the rule."""
        holds = context.prepared.evaluate(context.scope)
        return StepResult({"result": holds}, route="true" if holds else "false")


class MergeStep(StepHandler):
    """Joins branches: waits for every branch that can still arrive."""

    type = "merge"
    label = "Merge branches"
    effect = Effect.PURE

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Return nothing; the branches' outputs stay under `steps`."""
        return StepResult({})


class DelayStep(StepHandler):
    """Waits `seconds`, or `until` a time, without holding a worker."""

    type = "delay"
    label = "Delay"
    effect = Effect.PURE
    config_schema = {
        "type": "object",
        "properties": {"seconds": {"type": "number", "minimum": 0}, "until": {"type": "string"}},
    }

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Require exactly one of `seconds` and `until`."""
        if ("seconds" in config) == ("until" in config):
            return [Problem("", "give either seconds or until")]
        seconds = config.get("seconds", 0)
        if isinstance(seconds, str):
            return []
        if (
            isinstance(seconds, bool)
            or not isinstance(seconds, int | float)
            or not 0 <= seconds <= MAX_DELAY_SECONDS
        ):
            return [Problem("seconds", "must be a number from 0 to 31622400")]
        return []

    def run(self, config: Mapping[str, Any], context: StepContext) -> Wait:
        """Return the wait."""
        if "until" in config:
            return Wait(until=_moment(config["until"]))
        try:
            seconds = float(config["seconds"])
        except (TypeError, ValueError):
            raise PermanentError(f"seconds must be a number, not {config['seconds']!r}") from None
        if not 0 <= seconds <= MAX_DELAY_SECONDS:
            raise PermanentError(f"seconds must be from 0 to 31622400, not {seconds!r}")
        return Wait(seconds=seconds)


def _moment(value: Any) -> datetime:
    """Read an ISO 8601 time; one without an offset is UTC."""
    try:
        moment = datetime.fromisoformat(str(value))
        # In UTC, for the database hands out no time outside the years 1 to 9999.
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise PermanentError(f"until must be an ISO 8601 time, not {value!r}") from None


def register_builtin_steps() -> None:
    """Register the built-in steps."""
    for handler in (LoggingStep, TransformStep, SetStep, ConditionStep, MergeStep, DelayStep):
        if handler.type not in step_registry:
            step_registry.register(handler.type, handler())
