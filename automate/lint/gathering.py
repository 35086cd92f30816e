"""Gathers what the linter needs to know of a tenant, and lints workflows as they are stored or offered."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from automate.enums import TriggerType
from automate.lint.facts import Facts, KnownConnection, Sample
from automate.lint.findings import Codes, Finding, Severity
from automate.lint.linter import lint_graph
from automate.models import Automation, Event, Execution
from automate.rules import CompiledRule, compile_rule
from automate.runtime.plans import find_handler
from automate.triggers import TriggerSpec, trigger_problems, trigger_spec
from automate_connectors import registry
from automate_connectors.models import Connection
from automate_core.errors import AutomateError
from automate_core.models import Secret

LOOKED_AT = 1_000
"""How many of the tenant's last events are looked at for one that the trigger matches."""

TRIED = 50
"""How many of those whose type and source match are tried against the trigger's rule."""


def stored_facts() -> Facts:
    """Return what is stored in the tenant in context, without a sample: the same for all its workflows."""
    rows = Connection.objects.values_list("name", "connector", "is_enabled")
    workflows = dict(Automation.objects.values_list("slug", "id"))
    return Facts(
        secrets=frozenset(Secret.objects.values_list("name", flat=True)),
        connections={name: KnownConnection(connector, is_on) for name, connector, is_on in rows},
        workflows=frozenset(workflows),
        workflow_ids=frozenset(map(str, workflows.values())),
        bound=frozenset(key for key in registry if registry.get_connector(key).requires_connection),
    )


def lint_workflow(
    automation: Automation, *, graph: Any, trigger_type: Any, trigger_config: Any, facts: Facts | None = None
) -> list[Finding]:
    """Return the findings about a workflow of the tenant in context with this graph and trigger.

    Args:
        automation: the workflow; graph and trigger need not be the saved ones.
        graph: as in the REST body, like `trigger_type` and `trigger_config`.
        facts: from `stored_facts`, when it is asked for many workflows.
    """
    problems = trigger_problems(trigger_type, trigger_config)
    found = [
        Finding(Codes.INVALID, "", problem.field, problem.message, Severity.ERROR) for problem in problems
    ]
    sample = (
        None
        if found
        else last_sample(
            automation, trigger_spec(trigger_type, trigger_config, automation_id=str(automation.pk))
        )
    )
    return found + lint_graph(graph, find_handler, replace(facts or stored_facts(), sample=sample))


def last_sample(automation: Automation, spec: TriggerSpec) -> Sample | None:
    """Return the payload of the last event such a trigger matches, or of the last run by hand; None without one."""
    if spec.type == TriggerType.MANUAL:
        context = automation.executions.filter(event=None, replay_of=None).order_by("-id")
        last = context.values_list("context", flat=True).first()
        return None if last is None else Sample(last, "the input of the last run")
    if spec.type == TriggerType.SCHEDULE:
        return _last_fire(automation)
    rule = _compiled(spec.rule)
    for event in _candidates(spec):
        if rule is None or _holds(rule, event):
            return _sample(event)
    return None


def _last_fire(automation: Automation) -> Sample | None:
    fires = Execution.objects.filter(automation=automation, event__source=TriggerType.SCHEDULE.value)
    last = fires.select_related("event").order_by("-id").first()
    return _sample(last.event) if last is not None and last.event is not None else None


def _candidates(spec: TriggerSpec) -> Iterator[Event]:
    """Yield the last events of the trigger's type and source, newest first."""
    kept = Event.objects.filter(pruned_at=None).order_by("-id")
    kind = spec.event_type
    if kind and not any(mark in kind for mark in "*?["):
        kept = kept.filter(type=kind)
    pattern = re.compile(fnmatch.translate(kind or "*"))
    ids = [
        event_id
        for event_id, type_, source in kept.values_list("id", "type", "source")[:LOOKED_AT]
        if pattern.match(type_) and spec.source in ("", source)
    ]
    yield from Event.objects.filter(id__in=ids[: TRIED if spec.rule is not None else 1]).order_by("-id")


def _compiled(rule: Any) -> CompiledRule | None:
    return None if rule is None else compile_rule(rule)


def _holds(rule: CompiledRule, event: Event) -> bool:
    payload = event.payload if isinstance(event.payload, Mapping) else {}
    facts = {"id": str(event.id), "type": event.type, "source": event.source, "payload": payload}
    try:
        return rule.evaluate({**payload, **facts, "event": facts, "input": payload})
    except AutomateError:
        return False


def _sample(event: Event) -> Sample:
    return Sample(event.payload, f"the last event {event.type} ({event.id})")
