"""The nodes that repeat others: `for_each`, `while`, and `break` and `continue` inside them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

import orjson

from automate.rules import CompiledRule, compile_rule, rule_problems
from automate_core.errors import ErrorCodes, PermanentError, Problem
from automate_core.steps import Effect, StepContext, StepHandler, StepResult
from automate_core.templating import Template, compile_template

MAX_ITEMS = 100_000
MAX_CONCURRENCY = 64
MAX_ITERATIONS = 10_000
DEFAULT_ITERATIONS = 100


class ItemErrors(StrEnum):
    """What a failed iteration means for the loop."""

    STOP = "stop"
    CONTINUE = "continue"
    COLLECT = "collect"


ITERATION_FIELDS: Mapping[str, Any] = {
    "concurrency": {
        "type": "integer", "minimum": 1, "maximum": MAX_CONCURRENCY, "default": 1, "title": "At a time",
        "description": "Iterations that run at once.",
    },
    "on_item_error": {
        "enum": [*ItemErrors], "default": "stop", "title": "When an item fails",
        "description": "Stop the loop, continue with the next item, or continue and collect the errors.",
    },
    "result": {
        "title": "Result", "description": "What to keep of each iteration; the output of its last node when absent.",
    },
}  # fmt: skip
"""Fields of the loops over items."""


@dataclass(frozen=True, slots=True)
class LoopRules:
    """A loop's own settings, compiled."""

    concurrency: int = 1
    on_item_error: ItemErrors = ItemErrors.STOP
    result: Template | None = None
    condition: CompiledRule | None = None
    max_iterations: int = MAX_ITEMS


class LoopStep(StepHandler):
    """A node that repeats the nodes its edges with the handle `item` lead to, and then leaves by `done`."""

    effect = Effect.PURE
    routes = ("item", "done")
    side_routes = frozenset({"item"})
    is_loop = True

    def items_of(self, config: Mapping[str, Any]) -> list[Any] | None:
        """Return the items of a rendered loop, None when only a rule ends it; raises PermanentError for no list."""
        return None

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Refuse: the engine runs a loop's body, not the loop."""
        raise PermanentError(f"The loop {context.path!r} has no call of its own")

    def run_alone(self, config: Mapping[str, Any], context: StepContext, state: dict[str, Any]) -> StepResult:
        """Take the next item: one iteration a call. Other items than the last time are begun anew."""
        items = self.items_of(config) or []
        digest = hashlib.sha256(orjson.dumps(items, option=orjson.OPT_NON_STR_KEYS)).hexdigest()
        index = state.get("index", 0) if state.get("items") == digest else 0
        facts = {"index": index, "count": len(items), "remaining": max(len(items) - index - 1, 0)}
        state.update(items=digest, index=min(index + 1, len(items)))
        if index >= len(items):
            return StepResult({"item": None, **facts, "done": True}, route="done")
        return StepResult({"item": items[index], **facts, "done": not facts["remaining"]}, route="item")


class ForEachStep(LoopStep):
    """Repeats its body for each item of a list, one after the other or some at a time."""

    type = "for_each"
    label = "For each"
    raw_fields = frozenset({"result"})
    config_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": {
                "title": "Items", "description": "A list, or an object whose items are its keys and values.",
            },
            **ITERATION_FIELDS,
        },
    }  # fmt: skip

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Require items; check the limit and the error policy."""
        found = self.iteration_problems(config)
        if "items" not in config:
            found.append(Problem("items", "is required: a list, usually a template"))
        elif not isinstance(config["items"], str | list | Mapping):
            found.append(Problem("items", "must be a list, or a template that gives one"))
        return found

    def iteration_problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Return what is wrong with the fields every loop over items has, and which fields are unknown."""
        found = _unknown(config, self.config_schema)
        limit = config.get("concurrency", 1)
        if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MAX_CONCURRENCY:
            found.append(Problem("concurrency", f"must be a whole number from 1 to {MAX_CONCURRENCY}"))
        if config.get("on_item_error", "stop") not in list(ItemErrors):
            found.append(Problem("on_item_error", f"must be one of {', '.join(ItemErrors)}"))
        return found

    def prepare(self, config: Mapping[str, Any]) -> LoopRules:
        """Compile the template of the results."""
        return LoopRules(
            config.get("concurrency", 1),
            ItemErrors(config.get("on_item_error", "stop")),
            _result_template(config),
        )

    def items_of(self, config: Mapping[str, Any]) -> list[Any]:
        """Return the items; those of an object are its keys and values."""
        items = config["items"]
        if isinstance(items, Mapping):
            items = [{"key": key, "value": value} for key, value in items.items()]
        if not isinstance(items, list):
            raise PermanentError(f"items must be a list, not {type(items).__name__}; check the template")
        return checked_items(items)


class WhileStep(LoopStep):
    """Repeats its body as long as its rule holds, but never more often than `max_iterations`."""

    type = "while"
    label = "While"
    raw_fields = frozenset({"rule", "result"})
    config_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "required": ["rule"],
        "properties": {
            "rule": {
                "title": "Rule", "description": "JSONLogic over what templates see; the loop goes on while it holds.",
            },
            "max_iterations": {
                "type": "integer", "minimum": 1, "maximum": MAX_ITERATIONS, "default": DEFAULT_ITERATIONS,
                "title": "Most iterations", "description": "After so many the loop fails.",
            },
            "result": ITERATION_FIELDS["result"],
        },
    }  # fmt: skip

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Require a rule that compiles; check the cap."""
        found = _unknown(config, self.config_schema)
        found += (
            rule_problems(config["rule"], "rule") if "rule" in config else [Problem("rule", "is required")]
        )
        most = config.get("max_iterations", DEFAULT_ITERATIONS)
        if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= MAX_ITERATIONS:
            found.append(Problem("max_iterations", f"must be a whole number from 1 to {MAX_ITERATIONS}"))
        return found

    def prepare(self, config: Mapping[str, Any]) -> LoopRules:
        """Compile the rule and the template of the results."""
        return LoopRules(
            result=_result_template(config),
            condition=compile_rule(config["rule"]),
            max_iterations=config.get("max_iterations", DEFAULT_ITERATIONS),
        )

    def run_alone(self, config: Mapping[str, Any], context: StepContext, state: dict[str, Any]) -> StepResult:
        """Evaluate the rule for the next iteration: one a call, the same again once it no longer holds."""
        rules: LoopRules = context.prepared
        index = state.get("index", 0)
        scope = {**context.scope, "index": index, "loop": {"index": index, "last": None}}
        if rules.condition is None or not rules.condition.evaluate(scope):
            return StepResult({"index": index, "done": True}, route="done")
        check_iterations(index, rules)
        state["index"] = index + 1
        return StepResult({"index": index, "done": False}, route="item")


class BreakStep(StepHandler):
    """Ends the iteration and the loop around it."""

    type = "break"
    label = "Leave the loop"
    effect = Effect.PURE
    ends_iteration = True

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Say so; the engine does it."""
        return StepResult({}, route="break")


class ContinueStep(StepHandler):
    """Ends the iteration; the loop goes on with the next."""

    type = "continue"
    label = "Next iteration"
    effect = Effect.PURE
    ends_iteration = True

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Say so; the engine does it."""
        return StepResult({}, route="continue")


def checked_items(items: list[Any]) -> list[Any]:
    """Return the items when they are not too many; raises PermanentError."""
    if len(items) > MAX_ITEMS:
        raise PermanentError(f"items has {len(items)} entries; at most {MAX_ITEMS} are allowed")
    return items


def check_iterations(index: int, rules: LoopRules) -> None:
    """Raise PermanentError when a loop that goes on has had as many iterations as it may."""
    if index >= rules.max_iterations:
        raise PermanentError(
            ErrorCodes.LOOP_LIMIT,
            f"The loop still went on after {rules.max_iterations} iterations; raise max_iterations if it should",
        )


def _result_template(config: Mapping[str, Any]) -> Template | None:
    return compile_template({"result": config["result"]}) if "result" in config else None


def _unknown(config: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Problem]:
    known = schema["properties"]
    return [
        Problem(name, f"is unknown; known: {', '.join(sorted(known))}")
        for name in config
        if name not in known
    ]
