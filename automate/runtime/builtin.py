"""The steps that come with the engine: logging, transform, set, condition, switch, merge, return."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from automate.rules import CompiledRule, compile_rule, rule_problems
from automate.runtime.loop_steps import BreakStep, ContinueStep, ForEachStep, WhileStep
from automate_core.errors import Problem
from automate_core.steps import Effect, StepContext, StepHandler, StepResult, step_registry

logger = logging.getLogger("automate.workflow")

MAX_CASES = 50
RESERVED_ROUTES = frozenset({"default", "error", "timeout"})


class LoggingStep(StepHandler):
    """Writes a line to the log; its output is the message."""

    type = "logging"
    label = "Log a message"
    effect = Effect.PURE
    config_schema = {"type": "object", "required": ["message"], "properties": {
        "message": {"title": "Message", "description": "The line to log; usually a text with templates."},
    }}  # fmt: skip

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Require a message."""
        return [] if "message" in config else [Problem("message", "is required")]

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Log the rendered message."""
        facts = {"step": context.path, "execution": str(context.execution_id), "text": config["message"]}
        logger.info("workflow.logged", extra={**facts, "trace_id": context.trace_id})
        context.live.log(str(config["message"]))
        return StepResult({"message": config["message"]})


class TransformStep(StepHandler):
    """Shapes data: the rendered `output` is the step's output."""

    type = "transform"
    aliases = ("data_transformer",)
    label = "Transform data"
    effect = Effect.PURE
    config_schema = {"type": "object", "required": ["output"], "properties": {
        "output": {"title": "Output", "description": "What the step gives: any JSON, its texts may be templates."},
    }}  # fmt: skip

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
    config_schema = {"type": "object", "required": ["values"], "properties": {
        "values": {
            "type": "object", "title": "Variables", "description": "Names and values; read as variables.<name>.",
        },
    }}  # fmt: skip

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Require an object of values."""
        return [] if isinstance(config.get("values"), Mapping) else [Problem("values", "must be an object")]

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Return the values as output and as variables."""
        return StepResult(config["values"], variables=config["values"])


class ConditionStep(StepHandler):
    """Leaves by `true` or `false`, as its JSONLogic rule says over the step's scope."""

    type = "condition"
    aliases = ("if_condition",)
    label = "Condition"
    effect = Effect.PURE
    routes = ("true", "false")
    route_aliases = {"yes": "true", "no": "false"}
    raw_fields = frozenset({"rule"})
    config_schema = {"type": "object", "required": ["rule"], "properties": {
        "rule": {"title": "Rule", "description": "JSONLogic over what templates see, such as input and steps."},
    }}  # fmt: skip

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Require a rule that compiles."""
        return rule_problems(config["rule"], "rule") if "rule" in config else [Problem("rule", "is required")]

    def prepare(self, config: Mapping[str, Any]) -> CompiledRule:
        """Compile the rule."""
        return compile_rule(config["rule"])

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Evaluate the rule."""
        holds = context.prepared.evaluate(context.scope)
        return StepResult({"result": holds}, route="true" if holds else "false")


class SwitchStep(StepHandler):
    """Leaves by the route of the first case whose JSONLogic rule holds, else by `default`."""

    type = "switch"
    label = "Switch"
    effect = Effect.PURE
    raw_fields = frozenset({"cases"})
    config_schema = {
        "type": "object",
        "required": ["cases"],
        "properties": {
            "cases": {
                "type": "array",
                "title": "Cases",
                "description": "Looked at in order; the first whose rule holds decides the route.",
                "items": {"type": "object", "required": ["route", "rule"], "properties": {
                    "route": {"type": "string", "title": "Route", "description": "Handle to leave by."},
                    "rule": {"title": "Rule", "description": "JSONLogic over what templates see."},
                }},
            },
        },
    }  # fmt: skip

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Require cases with a route and a rule that compiles each."""
        cases = config.get("cases")
        if not isinstance(cases, list) or not 1 <= len(cases) <= MAX_CASES:
            return [Problem("cases", f"must be a list of 1 to {MAX_CASES} cases")]
        found: list[Problem] = []
        seen: set[str] = set()
        for number, case in enumerate(cases):
            if not isinstance(case, Mapping) or "rule" not in case:
                found.append(Problem(f"cases[{number}]", 'must be an object {"route": ..., "rule": ...}'))
                continue
            found += rule_problems(case["rule"], f"cases[{number}].rule")
            route = case.get("route")
            if not isinstance(route, str) or not 1 <= len(route) <= 64 or route in RESERVED_ROUTES:
                message = (
                    f"must be a text of 1 to 64 characters and none of {', '.join(sorted(RESERVED_ROUTES))}"
                )
                found.append(Problem(f"cases[{number}].route", message))
            elif route in seen:
                found.append(Problem(f"cases[{number}].route", f"route {route!r} has a case already"))
            else:
                seen.add(route)
        return found

    def routes_of(self, config: Mapping[str, Any]) -> Sequence[str]:
        """Return the routes of the cases, and `default`."""
        return [*(case["route"] for case in config["cases"]), "default"]

    def prepare(self, config: Mapping[str, Any]) -> list[tuple[str, CompiledRule]]:
        """Compile the rules."""
        return [(case["route"], compile_rule(case["rule"])) for case in config["cases"]]

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Return the route of the first case that holds."""
        for route, rule in context.prepared:
            if rule.evaluate(context.scope):
                return StepResult({"route": route}, route=route)
        return StepResult({"route": "default"}, route="default")


class MergeStep(StepHandler):
    """Joins branches: waits for all that can still arrive, for `any` one, or for `n` of them.

    Branches that arrive later than they were needed run to their end and are not waited for here.
    """

    type = "merge"
    label = "Merge branches"
    effect = Effect.PURE
    config_schema = {
        "type": "object",
        "properties": {
            "mode": {
                "enum": ["all", "any", "n"],
                "default": "all",
                "title": "Mode",
                "description": "Wait for all branches that can still arrive, for any one, or for n of them.",
            },
            "count": {
                "type": "integer",
                "minimum": 1,
                "title": "Count",
                "description": "How many, with mode n.",
                "x-depends-on": {"mode": "n"},
            },
        },
    }

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Check the mode, and the count that goes with `n`."""
        mode, count = config.get("mode", "all"), config.get("count")
        if mode not in ("all", "any", "n"):
            return [Problem("mode", f"must be all, any or n, not {mode!r}")]
        if (mode == "n") != (count is not None):
            return [Problem("count", "is required with mode n, and only there")]
        if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
            return [Problem("count", "must be a whole number of at least 1")]
        return []

    def arrivals(self, config: Mapping[str, Any]) -> int | None:
        """Return how many branches have to arrive."""
        return {"all": None, "any": 1}.get(config.get("mode", "all"), config.get("count"))

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Tell which branches arrived; their outputs stay under `steps`."""
        return StepResult({"arrived": list(context.arrived), "missing": list(context.missing)})


class ReturnStep(StepHandler):
    """Sets the execution's output: what a workflow that called this one gets back."""

    type = "return"
    label = "Return"
    effect = Effect.PURE
    gives_output = True
    config_schema = {"type": "object", "required": ["output"], "properties": {
        "output": {"title": "Output", "description": "What a workflow that called this one gets back."},
    }}  # fmt: skip

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Require an output."""
        return [] if "output" in config else [Problem("output", "is required")]

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Return the rendered output."""
        return StepResult(config["output"])


def register_builtin_steps() -> None:
    """Register the built-in steps."""
    for handler in (
        LoggingStep, TransformStep, SetStep, ConditionStep, SwitchStep, MergeStep, ReturnStep,
        ForEachStep, WhileStep, BreakStep, ContinueStep,
    ):  # fmt: skip
        if handler.type not in step_registry:
            step_registry.register(handler.type, handler())
