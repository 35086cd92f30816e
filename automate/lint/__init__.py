"""The linter of workflows: what is doubtful in a graph that compiles, and what to do about it."""

from automate.lint.facts import Facts, KnownConnection, Sample
from automate.lint.findings import Codes, Finding, Severity
from automate.lint.linter import CHECKS, lint_graph

__all__ = ["CHECKS", "Codes", "Facts", "Finding", "KnownConnection", "Sample", "Severity", "lint_graph"]
