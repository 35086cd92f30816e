"""Rules: JSONLogic conditions over plain data, compiled once and run under a budget."""

from automate.rules.budget import RuleBudgetExceeded, RuleError
from automate.rules.compiled import CompiledRule, compile_rule, evaluate, rule_problems
from automate.rules.compiler import InvalidRule, RuleTooLarge
from automate.rules.control import RuleThrew
from automate.rules.explanation import Explanation

__all__ = [
    "CompiledRule",
    "Explanation",
    "InvalidRule",
    "RuleBudgetExceeded",
    "RuleError",
    "RuleThrew",
    "RuleTooLarge",
    "compile_rule",
    "evaluate",
    "rule_problems",
]
