"""Compiled plans by version id: a version never changes, so neither does its plan."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from automate.graph import InvalidGraph, Plan, compile_graph
from automate_connectors.steps import find_action
from automate_core import sql
from automate_core.steps import StepHandler, find_step

KEEP = 1_000

_VERSIONS = """
SELECT v.id::text, v.graph::text, v.number, a.id::text, a.name, a.slug
FROM automate_workflowversion v JOIN automate_automation a ON a.id = v.automation_id
WHERE v.id = ANY(%(ids)s::uuid[])
"""


@dataclass(frozen=True, slots=True)
class LivePlan:
    """A plan with the facts about its workflow that templates may see, or the reason there is none."""

    plan: Plan | None
    workflow: Mapping[str, Any]
    error: str = ""


_plans: OrderedDict[str, LivePlan] = OrderedDict()


def find_handler(kind: str) -> StepHandler | None:
    """Return the handler of a node type: a registered step, or a connector's action `connector.action`.

    This is where names are understood: `for_each` may be written `for-each`, `slack.send_message` also
    `slack-send-message`, and a step by one of its aliases. Graphs and records keep what was written.
    """
    return find_step(kind) or find_action(kind)


def load(version_ids: Iterable[str]) -> dict[str, LivePlan]:
    """Return the plans of these versions, reading and compiling those not cached; absent versions are absent."""
    wanted = set(version_ids)
    missing = [version_id for version_id in wanted if version_id not in _plans]
    if missing:
        for version_id, graph, number, automation_id, name, slug in sql.execute(_VERSIONS, {"ids": missing}):
            workflow = {"id": automation_id, "name": name, "slug": slug, "version": number}
            _plans[version_id] = _compile(orjson.loads(graph), workflow)
        while len(_plans) > max(KEEP, len(wanted)):
            _plans.popitem(last=False)
    found = {version_id: _plans[version_id] for version_id in wanted if version_id in _plans}
    for version_id in found:
        _plans.move_to_end(version_id)
    return found


def forget() -> None:
    """Drop every cached plan: handlers changed, or tests begin anew."""
    _plans.clear()


def _compile(graph: Any, workflow: Mapping[str, Any]) -> LivePlan:
    try:
        return LivePlan(compile_graph(graph, find_handler), workflow)
    except InvalidGraph as error:
        problem = error.details[0]
        return LivePlan(None, workflow, f"{problem.field}: {problem.message}")
