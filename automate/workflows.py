"""What may be done to a workflow: create, update, draw, delete, restore a version. A changed graph is a new version.

What is drawn may be a draft: it becomes a version once it compiles. Where nodes are drawn is kept beside the versions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from automate.drawings import drawn_graph, is_position, kept_positions, position_problems, split
from automate.enums import TriggerType
from automate.graph import graph_problems
from automate.models import Automation, Execution
from automate.publishing import publish
from automate.runtime.plans import find_handler
from automate.triggers import trigger_problems
from automate.workflow_changes import facts, held_for_change
from automate_core import audit
from automate_core.errors import NotFound, Problem, ValidationFailed
from automate_core.models import current_tenant_id

EMPTY_GRAPH: dict[str, Any] = {"nodes": [], "edges": []}

_UNSET: Any = object()


def problems(
    *, graph: Any = None, trigger_type: Any = TriggerType.MANUAL, trigger_config: Any = None
) -> list[Problem]:
    """Return everything wrong with a workflow's graph and trigger; fields are as in the REST body."""
    found = [] if graph is None else drawing_problems(graph)
    return found + trigger_problems(trigger_type, {} if trigger_config is None else trigger_config)


def drawing_problems(graph: Any) -> list[Problem]:
    """Return everything that is wrong with a graph; fields begin with `graph`."""
    return [
        Problem(f"graph.{problem.field}".rstrip("."), problem.message)
        for problem in (*graph_problems(graph, find_handler), *position_problems(graph))
    ]


def draft_problems(automation: Automation) -> list[Problem]:
    """Return what keeps the workflow's draft from becoming a version; nothing when it has no draft."""
    return [] if automation.draft is None else drawing_problems(automation.draft)


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
    meaning, layout = split(graph or EMPTY_GRAPH)
    automation = Automation(
        tenant_id=current_tenant_id(),
        name=name,
        slug=slug or _free_slug(name),
        description=description,
        enabled=enabled,
        layout=layout,
    )
    try:
        with transaction.atomic():
            automation.save(force_insert=True)
            publish(automation, meaning, trigger_type, dict(trigger_config or {}), user)
            audit.record(
                actor=by,
                action="workflow.create",
                target=f"workflow:{automation.id}",
                after=facts(automation),
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

    A graph takes the place of the draft, if there is one. Nodes it gives no position to stay where they are drawn.

    Raises:
        NotFound: it was deleted.
        ValidationFailed: with every wrong field.
    """
    with held_for_change(automation, by=by, action="workflow.update") as automation:
        live = automation.live_version
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
        meaning, layout = split(new_graph)
        if graph is not _UNSET:
            automation.draft = None
            automation.layout = {**kept_positions(automation.layout, meaning), **layout}
        try:
            with transaction.atomic():
                automation.save()
        except IntegrityError as error:
            raise _slug_taken(automation.slug) from error
        publish(automation, meaning, new_type, dict(new_config), user)
    return automation


def draw(
    automation: Automation,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    *,
    by: str,
    user: Any = None,
) -> Automation:
    """Change the drawn graph: it becomes the next version if it compiles, else it is kept as the draft.

    Changes of one graph at the same time follow each other; none is lost.

    Args:
        automation: the workflow.
        change: takes the drawn graph, positions included, and returns the new one; it may raise.
        by: who does it, for the audit trail.
        user: the user who does it, when there is one.

    Raises:
        NotFound: it was deleted.
        ValidationFailed: a node has an impossible position.
    """
    with held_for_change(automation, by=by, action="workflow.draw") as automation:
        graph = change(drawn_graph(automation))
        if found := position_problems(graph):
            raise ValidationFailed.of(found)
        meaning, layout = split(graph)
        is_ready = not graph_problems(meaning, find_handler)
        automation.layout = layout
        automation.draft = None if is_ready else meaning
        automation.save()
        if is_ready:
            live = automation.live_version
            kind, config = (
                (live.trigger_type, live.trigger_config) if live else (TriggerType.MANUAL.value, {})
            )
            publish(automation, meaning, kind, dict(config), user)
    return automation


def place_node(automation: Automation, node_id: str, position: Mapping[str, Any], *, by: str) -> Automation:
    """Draw a node elsewhere; that is no new version.

    Raises:
        NotFound: the workflow was deleted, or has no such node.
        ValidationFailed: the position is none.
    """
    if not is_position(position):
        raise ValidationFailed.of([Problem("position", 'must be an object with the numbers "x" and "y"')])
    with held_for_change(automation, by=by, action="workflow.move") as automation:
        if all(node["id"] != node_id for node in drawn_graph(automation)["nodes"]):
            raise NotFound(f"Workflow {automation.slug!r} has no node {node_id!r}")
        automation.layout = {**automation.layout, node_id: dict(position)}
        automation.save(update_fields=["layout", "updated_at"])
    return automation


def settle_draft(automation: Automation, *, by: str, user: Any = None) -> Automation:
    """Make sure that what is drawn is what runs; raises ValidationFailed with what keeps the draft from running."""
    if found := draft_problems(automation):
        raise ValidationFailed.of(found, "What is drawn cannot run yet")
    return automation if automation.draft is None else draw(automation, dict, by=by, user=user)


def delete_workflow(automation: Automation, *, by: str) -> None:
    """Delete an automation with its versions, triggers and executions; running ones are dropped by their workers.

    Raises:
        NotFound: it was deleted.
    """
    with transaction.atomic():
        # Runs that start wait for this, or are deleted with the others.
        held = Automation.all_tenants.select_for_update().filter(pk=automation.pk).first()
        if held is None:
            raise NotFound(f"Workflow {automation.slug!r} was deleted")
        target, before = f"workflow:{held.id}", facts(held)
        # Django unlinks replays before it deletes; for that moment they would be the second runs of their events.
        Execution.all_tenants.filter(automation_id=held.id, replay_of__isnull=False).update(trigger=None)
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


def _pick(given: Any, otherwise: Any) -> Any:
    return otherwise if given is _UNSET else given
