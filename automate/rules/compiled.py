"""The public way to run rules: compile once, evaluate, apply or explain as often as needed."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from automate.rules.budget import MAX_OPERATIONS, Meter, check_result
from automate.rules.compiler import InvalidRule, compile_node
from automate.rules.control import test_of
from automate.rules.explanation import Explanation, explain_node
from automate_core.errors import Problem


class CompiledRule:
    """A JSONLogic rule turned into closures. Immutable: share it between threads and keep it."""

    __slots__ = ("_left", "_root", "_test")

    def __init__(self, rule_spec: Any) -> None:
        self._root = compile_node(rule_spec)
        self._test = test_of(self._root)
        self._left = MAX_OPERATIONS - self._root.cost if self._root.has_loop else None

    def evaluate(self, context: Mapping[str, Any] | Any) -> bool:
        """Return whether the rule holds for `context`.

        Args:
            context: plain data `var` reads from; usually a dict. It is not changed.

        Raises:
            RuleBudgetExceeded: the data makes the rule do too much.
            RuleThrew: the rule used `throw`.
        """
        left = self._left
        return bool(self._test(context, None if left is None else Meter(left)))

    def apply(self, context: Mapping[str, Any] | Any) -> Any:
        """Return the value of the rule, of any JSON type; it may share lists and dicts with `context`.

        As in JavaScript, numbers may come out infinite or NaN, which JSON writes as null.
        Raises what `evaluate` raises, and RuleBudgetExceeded for a result too large to keep.
        """
        return check_result(self._root.run(context, self._root.meter()))

    def explain(self, context: Mapping[str, Any] | Any) -> Explanation:
        """Return the tree of what was evaluated to what; an error is in the tree, never raised."""
        return explain_node(self._root, context)

    @property
    def spec(self) -> Any:
        """A copy of the rule as it was given."""
        return deepcopy(self._root.spec)

    def __repr__(self) -> str:
        return f"CompiledRule({self._root.spec!r:.200})"


def compile_rule(rule_spec: dict[str, Any] | Any) -> CompiledRule:
    """Compile a JSONLogic rule for repeated evaluation.

    Args:
        rule_spec: the rule as JSON data (https://jsonlogic.com); it is copied.

    Raises:
        InvalidRule: not JSON, an unknown operator or wrong arguments; `path` says where.
        RuleTooLarge: more than 64 operations deep or 10,000 operations long.
    """
    return CompiledRule(rule_spec)


def rule_problems(rule_spec: Any, field: str) -> list[Problem]:
    """Return why a rule cannot be compiled, as a problem of the field that holds it; nothing when it can."""
    try:
        compile_rule(rule_spec)
    except InvalidRule as error:
        return [Problem(field, str(error))]
    return []


def evaluate(rule_spec: dict[str, Any] | Any, context: Mapping[str, Any] | Any) -> bool:
    """Compile a rule and return whether it holds for `context`; raises RuleError, never anything else."""
    return CompiledRule(rule_spec).evaluate(context)
