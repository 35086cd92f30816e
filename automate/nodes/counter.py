"""The node `counter`: a number that goes on from where it was the last time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automate_core.errors import PermanentError, Problem
from automate_core.steps import Effect, StepContext, StepHandler, StepResult
from automate_core.templating import is_fixed

MAX_NAME_LENGTH = 100
LARGEST = 2**53
"""Largest number every reader of JSON takes exactly (RFC 8259, section 6)."""


class CounterStep(StepHandler):
    """Adds `step` to a count that begins at `start`, each time it runs.

    The count is the variable `name`, by default the id of the node: it lives as long as the execution, through its
    loops, and in a development session from call to call.
    """

    type = "counter"
    label = "Counter"
    effect = Effect.PURE
    config_schema = {
        "type": "object",
        "properties": {
            "name": {
                "type": "string", "minLength": 1, "maxLength": MAX_NAME_LENGTH, "title": "Name",
                "description": "Variable that holds the count, read as variables.<name>; the node's id when absent.",
            },
            "start": {
                "type": ["number", "string"], "default": 0, "title": "Start", "description": "What to count from.",
            },
            "step": {
                "type": ["number", "string"], "default": 1, "title": "Step",
                "description": "What to add each time; may be negative.",
            },
        },
    }  # fmt: skip

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Check what is no template."""
        found = []
        name = config.get("name")
        if name is not None and (not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME_LENGTH):
            found.append(Problem("name", f"must be a text of 1 to {MAX_NAME_LENGTH} characters"))
        for field in ("start", "step"):
            value = config.get(field, 0)
            if is_fixed(value) and not _is_number(_read(value)):
                found.append(Problem(field, "must be a number"))
        return found

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Return the new count, and set the variable to it."""
        name = config.get("name")
        if name is None:
            name = context.path.rpartition("/")[2]
        elif not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME_LENGTH:
            raise PermanentError(
                f"name must be a text of 1 to {MAX_NAME_LENGTH} characters, not {name!r:.100}"
            )
        variables = context.scope["variables"]
        if name in variables:
            before = _number(f"The variable {name!r}", variables[name])
        else:
            before = _number("start", config.get("start", 0))
        count = before + _number("step", config.get("step", 1))
        if abs(count) > LARGEST:
            raise PermanentError(f"The count of {name!r} left the numbers from -2^53 to 2^53")
        return StepResult({"name": name, "count": count}, variables={name: count})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def _number(what: str, value: Any) -> int | float:
    number = _read(value)
    if not _is_number(number):
        raise PermanentError(f"{what} must be a number from -2^53 to 2^53, not {value!r:.100}")
    return number  # type: ignore[no-any-return]


def _read(value: Any) -> Any:
    """Return the number a text holds, and anything else as it is."""
    if isinstance(value, str):
        for read in (int, float):
            try:
                return read(value)
            except ValueError:
                continue
    return value
