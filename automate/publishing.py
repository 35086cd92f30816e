"""Makes a graph and its trigger the live version of a workflow, in the transaction of the verb that asks for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import orjson
from django.utils import timezone

from automate.drawings import split, whole
from automate.enums import TriggerType
from automate.models import Automation, Trigger, WorkflowVersion
from automate.timetable import Timetable
from automate.triggers import trigger_spec


def publish(
    automation: Automation, graph: dict[str, Any], kind: str, config: dict[str, Any], user: Any
) -> None:
    """Make a new live version with its trigger, unless it equals the one that is live."""
    digest = _digest(graph, kind, config)
    live = automation.live_version
    if live is not None and _digest(split(live.graph)[0], live.trigger_type, live.trigger_config) == digest:
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


def digest_of(content: Any) -> str:
    """Return the SHA-256 of JSON content, hexadecimal, whatever the order of its keys.

    A number beyond 64 bits counts as the float it was sent as: jsonb gives 1e300 back as an integer of 301 digits.
    """
    try:
        text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        text = orjson.dumps(orjson.loads(json.dumps(content)), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()


def _digest(graph: Mapping[str, Any], kind: str, config: Mapping[str, Any]) -> str:
    return digest_of({"graph": whole(graph), "trigger_type": kind, "trigger_config": config})


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
