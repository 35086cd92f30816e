"""What a rule may cost: the limits, and the meter that loops are charged to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automate_core.errors import AutomateError, ErrorCodes

MAX_DEPTH = 64
"""Deepest nesting of operations in a rule, and of data a rule converts to text or returns."""
MAX_OPERATIONS = 10_000
"""Operations of one evaluation; everything in a loop's body counts once per element."""
MAX_TEXT = 262_144
"""Longest text, in characters, one operation may produce."""
MAX_ITEMS = 10_000
"""Longest list one operation may produce."""
MAX_CONVERTED_ITEMS = 1_000
"""Most list items one conversion to text looks at."""
MAX_RESULT_VALUES = 100_000
"""Most values (counted with repetition) the result of a rule may hold."""
MAX_RESULT_TEXT = 4_194_304
"""Most characters, over all its strings, the result of a rule may hold."""


class RuleError(AutomateError):
    """The rule failed; it counts as not matched."""

    code = ErrorCodes.RULE_ERROR


class RuleBudgetExceeded(RuleError):
    """The rule needs more work than one evaluation may do; shorten the lists or simplify the rule."""


class Meter:
    """Operations one evaluation has left. Rules without loops carry none: they are counted when compiled."""

    __slots__ = ("left",)

    def __init__(self, left: int = MAX_OPERATIONS) -> None:
        self.left = left

    def spend(self, operations: int) -> None:
        """Take `operations` off; raises RuleBudgetExceeded when there are not as many left."""
        self.left -= operations
        if self.left < 0:
            raise RuleBudgetExceeded(
                f"The rule needs more than {MAX_OPERATIONS} operations on this data;"
                " shorten the list it goes through or simplify the rule"
            )


def check_result(value: Any) -> Any:
    """Return `value`; raises RuleBudgetExceeded when writing it as JSON would take too much.

    A loop can nest a list in itself, twice a turn: small in memory, endless when written out.
    """
    if not isinstance(value, (list, tuple, Mapping)):
        return value
    values = characters = 0
    stack: list[tuple[Any, int]] = [(value, 1)]
    while stack:
        here, depth = stack.pop()
        values += 1
        if isinstance(here, str):
            characters += len(here)
        elif isinstance(here, (list, tuple, Mapping)):
            if depth > MAX_DEPTH:
                raise RuleBudgetExceeded(f"The result of the rule is nested deeper than {MAX_DEPTH} levels")
            values += len(here)
            if values <= MAX_RESULT_VALUES:
                inner = here.values() if isinstance(here, Mapping) else here
                stack.extend((item, depth + 1) for item in inner)
        if values > 2 * MAX_RESULT_VALUES or characters > MAX_RESULT_TEXT:
            raise RuleBudgetExceeded("The result of the rule is too large; return a part of it")
    return value
