"""What may be done to a workflow: create, update, delete, restore a version. A changed graph is a new version."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.text import slugify

from automate.enums import TriggerType
from automate.graph import graph_problems
from automate.models import Automation, Trigger, WorkflowVersion
from automate.runtime.plans import find_handler
from automate.timetable import Timetable
from automate.triggers import trigger_problems, trigger_spec
from automate_core import audit
from automate_core.errors import NotFound, Problem, ValidationFailed
from automate_core.models import current_tenant_id

EMPTY_GRAPH: dict[str, Any] = {"nodes": [], "edges": []}

_UNSET: Any = object()


def problems(
    *, graph: Any = None, trigger_type: Any = TriggerType.MANUAL, trigger_config: Any = None
) -> list[Problem]:
    """Return everything wrong with a workflow's graph and trigger; fields are as in the REST body."""
    found = [
        Problem(f"graph.{problem.field}".rstrip("."), problem.message)
        for problem in (graph_problems(graph, find_handler) if graph is not None else [])
    ]
    return found + trigger_problems(trigger_type, {} if trigger_config is None else trigger_config)


def create_workflow(
    *,
    name: str,
    slug: str | None = None,
    description: str = "",
    enabled: bool = True,
    trigger_type: str = TriggerType.MANUAL.value,
    trigger_config: Mapping[str, Any] | None = None,
    graph: Mapping[str, Any] | None = None,
    by: str,
    user: Any = None,
) -> Automation:
    """Create an automation with its first version, in the tenant in context.

    Args:
        name: what people call it.
        slug: unique in the tenant; made from the name when None.
        enabled: whether its triggers start executions.
        trigger_type: webhook, event, schedule, manual, model or execution.
        trigger_config: the trigger's settings; `automate.triggers.KEYS` has those of each type.
        graph: `{"nodes": [...], "edges": [...]}`.
        by: who does it, for the audit trail.
        user: the user who does it, when there is one.

    Raises:
        ValidationFailed: with every wrong field.
    """
    found = _name_problems(name, slug)
    found += problems(graph=graph, trigger_type=trigger_type, trigger_config=trigger_config)
    if found:
        raise ValidationFailed.of(found)
    automation = Automation(
        tenant_id=current_tenant_id(),
        name=name,
        slug=slug or _free_slug(name),
        description=description,
        enabled=enabled,
    )
    try:
        with transaction.atomic():
            automation.save(force_insert=True)
            _publish(automation, dict(graph or EMPTY_GRAPH), trigger_type, dict(trigger_config or {}), user)
            audit.record(
                actor=by,
                action="workflow.create",
                target=f"workflow:{automation.id}",
                after=_facts(automation),
            )
    except IntegrityError as error:
        raise _slug_taken(automation.slug) from error
    return automation


def update_workflow(
    automation: Automation,
    *,
    by: str,
    user: Any = None,
    name: str = _UNSET,
    slug: str = _UNSET,
    description: str = _UNSET,
    enabled: bool = _UNSET,
    trigger_type: str = _UNSET,
    trigger_config: Mapping[str, Any] = _UNSET,
    graph: Mapping[str, Any] = _UNSET,
) -> Automation:
    """Change what is given and nothing else; a new version arises only when graph or trigger differ.

    Raises:
        ValidationFailed: with every wrong field.
    """
    with transaction.atomic():
        automation = Automation.all_tenants.select_for_update().get(pk=automation.pk)
        live = automation.live_version
        before = _facts(automation)
        new_graph = _pick(graph, live.graph if live else EMPTY_GRAPH)
        new_type = _pick(trigger_type, live.trigger_type if live else TriggerType.MANUAL.value)
        new_config = _pick(trigger_config, live.trigger_config if live else {})
        found = _name_problems(_pick(name, automation.name), None if slug is _UNSET else slug)
        found += problems(graph=new_graph, trigger_type=new_type, trigger_config=new_config)
        if found:
            raise ValidationFailed.of(found)
        automation.name = _pick(name, automation.name)
        automation.slug = _pick(slug, automation.slug)
        automation.description = _pick(description, automation.description)
        automation.enabled = _pick(enabled, automation.enabled)
        try:
            with transaction.atomic():
                automation.save()
        except IntegrityError as error:
            raise _slug_taken(automation.slug) from error
        _publish(automation, dict(new_graph), new_type, dict(new_config), user)
        audit.record(
            actor=by,
            action="workflow.update",
            target=f"workflow:{automation.id}",
            before=before,
            after=_facts(automation),
        )
    return automation


def delete_workflow(automation: Automation, *, by: str) -> None:
    """Delete an automation with its versions, triggers and executions; running ones are dropped by their workers."""
    with transaction.atomic():
        target, before = f"workflow:{automation.id}", _facts(automation)
        automation.delete()
        audit.record(actor=by, action="workflow.delete", target=target, before=before)


def restore_version(automation: Automation, number: int, *, by: str, user: Any = None) -> Automation:
    """Make the graph and trigger of an earlier version live again, as a new version; raises NotFound."""
    version = automation.versions.filter(number=number).first()
    if version is None:
        raise NotFound(f"Workflow {automation.slug!r} has no version {number}")
    return update_workflow(
        automation,
        by=by,
        user=user,
        graph=version.graph,
        trigger_type=version.trigger_type,
        trigger_config=version.trigger_config,
    )


def _publish(
    automation: Automation, graph: dict[str, Any], kind: str, config: dict[str, Any], user: Any
) -> None:
    """Make a new live version with its trigger, unless it equals the one that is live."""
    content = {"graph": graph, "trigger_type": kind, "trigger_config": config}
    digest = hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
    live = automation.live_version
    if live is not None and live.content_hash == digest:
        return
    last = automation.versions.order_by("-number").values_list("number", flat=True).first() or 0
    version = WorkflowVersion.all_tenants.create(
        tenant_id=automation.tenant_id,
        automation=automation,
        number=last + 1,
        graph=graph,
        trigger_type=kind,
        trigger_config=config,
        content_hash=digest,
        created_by=user if getattr(user, "pk", None) else None,
    )
    trigger_changed = live is None or (live.trigger_type, live.trigger_config) != (kind, config)
    if trigger_changed:
        _replace_trigger(automation, kind, config)
    automation.live_version = version
    automation.save(update_fields=["live_version", "updated_at"])


def _replace_trigger(automation: Automation, kind: str, config: dict[str, Any]) -> None:
    """Change the automation's trigger in place, so that what it started keeps pointing at it."""
    trigger = Trigger.all_tenants.filter(automation=automation).first()
    if trigger is None:
        trigger = Trigger(automation=automation, tenant_id=automation.tenant_id)
    spec = trigger_spec(kind, config, automation_id=str(automation.id))
    trigger.type, trigger.config, trigger.rule = spec.type, spec.config, spec.rule
    trigger.event_type, trigger.source = spec.event_type, spec.source
    trigger.next_fire_at = None
    if kind == TriggerType.SCHEDULE:
        fire = Timetable.parse(config, seed=str(trigger.id)).next_after(timezone.now())
        trigger.next_fire_at = fire.due if fire else None
    trigger.save()


def _name_problems(name: Any, slug: Any) -> list[Problem]:
    found = []
    if not isinstance(name, str) or not name.strip() or len(name) > 200:
        found.append(Problem("name", "must be a text of 1 to 200 characters"))
    if slug is not None and (not isinstance(slug, str) or slugify(slug) != slug or not 1 <= len(slug) <= 100):
        found.append(Problem("slug", "must be 1 to 100 lowercase letters, digits, hyphens or underscores"))
    return found


def _free_slug(name: str) -> str:
    stem = slugify(name)[:90] or "workflow"
    taken = set(Automation.objects.filter(slug__startswith=stem).values_list("slug", flat=True))
    if stem not in taken:
        return stem
    return next(slug for number in range(2, len(taken) + 3) if (slug := f"{stem}-{number}") not in taken)


def _slug_taken(slug: str) -> ValidationFailed:
    return ValidationFailed.of([Problem("slug", f"{slug!r} is already used by another workflow")])


def _facts(automation: Automation) -> dict[str, Any]:
    live = automation.live_version
    return {
        "name": automation.name,
        "slug": automation.slug,
        "enabled": automation.enabled,
        "version": live.number if live else None,
        "content_hash": live.content_hash if live else None,
    }


def _pick(given: Any, otherwise: Any) -> Any:
    return otherwise if given is _UNSET else given
