"""The `details` of an error: problems by field, with paths such as `graph.nodes[2].config.url`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from automate_core.errors import Problem

_REQUIRED = "This field is required"


def messages_by_field(problems: Sequence[Problem]) -> dict[str, Any]:
    """Return messages by field; those of the nodes of a graph by node id, then by field."""
    found: dict[str, Any] = {}
    for problem in problems:
        place = found.setdefault(problem.node, {}) if problem.node else found
        message = "This field is required." if problem.message == _REQUIRED else problem.message
        place.setdefault(problem.field, []).append(message)
    return found


def problems_of(detail: Any, prefix: str = "") -> list[Problem]:
    """Flatten DRF's nested error detail into problems with paths such as `graph.nodes[2].config.url`."""
    if isinstance(detail, Mapping):
        return [p for key, inner in detail.items() for p in problems_of(inner, _joined(prefix, key))]
    if isinstance(detail, list | tuple):
        return [
            problem
            for index, inner in enumerate(detail)
            for problem in problems_of(inner, f"{prefix}[{index}]" if _is_nested(inner) else prefix)
        ]
    return [Problem(prefix or "body", str(detail).rstrip("."))]


def _is_nested(detail: Any) -> bool:
    return isinstance(detail, Mapping | list | tuple)


def _joined(prefix: str, key: Any) -> str:
    if isinstance(key, int):
        return f"{prefix}[{key}]"
    if key in ("non_field_errors", "__all__"):
        return prefix
    return f"{prefix}.{key}" if prefix else str(key)
