"""Automations, their immutable workflow versions, and what triggers them."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from automate.enums import TriggerType
from automate_core.ids import uuid7
from automate_core.models import TenantOwned


class Automation(TenantOwned):
    """What a user names and switches on; `live_version` is the graph new executions run.

    `draft` is a graph that is drawn but does not compile yet, `layout` where nodes are drawn, by node id. Both are
    written by `automate.workflows` alone.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=100)
    description = models.TextField(default="", blank=True)
    enabled = models.BooleanField(default=True)
    live_version = models.ForeignKey(
        "WorkflowVersion", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    draft = models.JSONField(null=True, blank=True, editable=False)
    layout = models.JSONField(default=dict, db_default={}, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "slug"], name="automate_automation_slug_once"),
            models.UniqueConstraint(fields=["tenant", "id"], name="automate_automation_in_tenant"),
        ]
        indexes = [models.Index(fields=["tenant", "-created_at", "-id"], name="automate_automation_recent")]

    def __str__(self) -> str:
        return self.slug


class WorkflowVersion(TenantOwned):
    """One graph with its trigger as it was saved; never changed. `content_hash` is sha256 of its canonical JSON."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    automation = models.ForeignKey(
        Automation, on_delete=models.CASCADE, related_name="versions", db_constraint=False
    )
    number = models.PositiveIntegerField()
    graph = models.JSONField()
    trigger_type = models.CharField(max_length=16, choices=TriggerType.choices, default=TriggerType.MANUAL)
    trigger_config = models.JSONField(default=dict, blank=True)
    content_hash = models.CharField(max_length=64, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [
            models.UniqueConstraint(fields=["automation", "number"], name="automate_version_number_once"),
            models.UniqueConstraint(fields=["tenant", "id"], name="automate_version_in_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.automation_id} v{self.number}"


class Trigger(TenantOwned):
    """Which events or times start an automation.

    `event_type` (a glob), `source` and `rule` narrow what matches; a schedule's `next_fire_at` is its clock.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    automation = models.ForeignKey(
        Automation, on_delete=models.CASCADE, related_name="triggers", db_constraint=False
    )
    type = models.CharField(max_length=16, choices=TriggerType.choices, default=TriggerType.MANUAL)
    config = models.JSONField(default=dict, blank=True)
    event_type = models.CharField(max_length=255, default="", blank=True)
    source = models.CharField(max_length=100, default="", blank=True)
    rule = models.JSONField(null=True, blank=True)
    is_enabled = models.BooleanField(default=True)
    next_fire_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [models.UniqueConstraint(fields=["tenant", "id"], name="automate_trigger_in_tenant")]
        indexes = [
            models.Index(
                fields=["next_fire_at"],
                condition=models.Q(type="schedule", is_enabled=True, next_fire_at__isnull=False),
                name="automate_trigger_due",
            ),
            models.Index(
                fields=["type", "tenant"],
                condition=models.Q(type__in=["model", "execution"], is_enabled=True),
                name="automate_trigger_watching",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_type or '-'}"


class RoutingRevision(models.Model):
    """A number per tenant that database triggers change whenever its automations or triggers change.

    Dispatch reads it with the events, and reloads its routing table when the number differs.
    """

    tenant_id = models.UUIDField(primary_key=True)
    revision = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.tenant_id} r{self.revision}"
