"""Findings about names: secrets, connections and workflows a graph refers to and the tenant does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from automate.lint.drawing import Drawing
from automate.lint.facts import Facts
from automate.lint.findings import Codes, Finding

_ACTIONS = {"http_request": "http.request"}
"""Steps that use a connection without being called after the connector's action."""
_SECRET = re.compile(r"\$secret:([A-Za-z0-9_.-]{1,128})")


def unknown_secrets(drawing: Drawing, facts: Facts) -> Iterator[Finding]:
    """Find references to secrets that are not stored."""
    if facts.secrets is None:
        return
    for spot in drawing:
        for field, text in _texts(spot.config, f"{spot.where}.config"):
            match = _SECRET.fullmatch(text)
            if match and match[1] not in facts.secrets:
                message = f"there is no secret {match[1]!r}; store it with automate_secret set {match[1]}"
                yield Finding(Codes.UNKNOWN_SECRET, spot.key, field, message)


def unknown_connections(drawing: Drawing, facts: Facts) -> Iterator[Finding]:
    """Find steps whose connection does not exist, is for something else or is switched off."""
    if facts.connections is None:
        return
    for spot in drawing:
        kind = spot.node.handler.type
        connector, _, action = _ACTIONS.get(kind, kind).partition(".")
        if action and "connection" in spot.node.handler.config_schema.get("properties", {}):
            problem = _problem(spot.config.get("connection"), connector, facts, facts.connections)
            if problem:
                field = f"{spot.where}.config.connection"
                yield Finding(Codes.UNKNOWN_CONNECTION, spot.key, field, problem)


def unknown_workflows(drawing: Drawing, facts: Facts) -> Iterator[Finding]:
    """Find workflows to be run that do not exist."""
    if facts.workflows is None:
        return
    slug = drawing.plan.settings.error_workflow
    if slug and slug not in facts.workflows:
        yield _unknown_workflow("", "graph.settings.error_workflow", slug)
    known = facts.workflows | facts.workflow_ids
    for spot in drawing:
        if spot.node.handler.type == "subworkflow":
            name = spot.config["workflow"]
            if "{{" not in name and name not in known:
                yield _unknown_workflow(spot.key, f"{spot.where}.config.workflow", name)


def _unknown_workflow(node: str, field: str, name: str) -> Finding:
    message = f"there is no workflow {name!r}; create it or correct the slug"
    return Finding(Codes.UNKNOWN_WORKFLOW, node, field, message)


def _problem(name: Any, connector: str, facts: Facts, stored: Mapping[str, Any]) -> str:
    if not name:
        usable = sum(one.connector == connector and one.is_enabled for one in stored.values())
        if connector not in facts.bound or usable == 1:
            return ""
        if not usable:
            return f"there is no enabled {connector} connection; create one"
        return f"there are several {connector} connections; name one in connection"
    if not isinstance(name, str) or "{{" in name:
        return ""
    found = stored.get(name)
    if found is None:
        return f"there is no connection {name!r}; create it or correct the name"
    if found.connector != connector:
        return f"the connection {name!r} is for {found.connector}, not for {connector}; name another"
    return "" if found.is_enabled else f"the connection {name!r} is switched off; enable it"


def _texts(value: Any, field: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, f"{field}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{field}[{index}]")
