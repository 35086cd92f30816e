"""Events and the webhook sources they come from."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from automate_core.ids import uuid7
from automate_core.models import TenantOwned


class Event(TenantOwned):
    """An immutable fact: something happened.

    Pruning blanks the payload of an event that has a dedupe key and keeps the row: its key stays taken.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    type = models.CharField(max_length=255)
    source = models.CharField(max_length=100, default="", db_default="", blank=True)
    payload = models.JSONField(default=dict)
    dedupe_key = models.CharField(max_length=255, null=True, blank=True)
    trace_id = models.CharField(max_length=64, default="", db_default="", blank=True)
    cause_execution_id = models.UUIDField(null=True, blank=True)
    depth = models.PositiveSmallIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(db_default=Now())
    pruned_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "dedupe_key", "source"],
                condition=models.Q(dedupe_key__isnull=False),
                name="automate_event_dedupe",
            ),
            models.UniqueConstraint(fields=["tenant", "id"], name="automate_event_in_tenant"),
        ]
        indexes = [
            models.Index(fields=["tenant", "-created_at", "-id"], name="automate_event_recent"),
            models.Index(fields=["tenant", "type", "-created_at", "-id"], name="automate_event_kind"),
            models.Index(fields=["tenant", "source", "-created_at", "-id"], name="automate_event_from"),
            models.Index(
                fields=["tenant", "source", "type", "-created_at", "-id"], name="automate_event_kind_from"
            ),
            # What follows the order is read from the index instead of the table, when a list is narrowed by it too.
            models.Index(
                fields=["trace_id", "-created_at", "-id", "tenant", "type", "source"],
                condition=~models.Q(trace_id=""),
                name="automate_event_by_trace",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class WebhookSource(TenantOwned):
    """A place webhooks come from: how they are signed, and how their events are named.

    `slug` is in the route, so it is unique across tenants: the sender knows nothing of tenants. A delivery waits up
    to `answer_seconds` for what a workflow responds; without them it is answered as soon as its event is durable.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(max_length=100, unique=True)
    preset = models.CharField(max_length=32, default="generic")
    secret_name = models.CharField(max_length=128)
    previous_secret_name = models.CharField(max_length=128, default="", blank=True)
    type_header = models.CharField(max_length=100, default="", blank=True)
    type_field = models.CharField(max_length=200, default="", blank=True)
    answer_seconds = models.FloatField(null=True, blank=True)
    is_enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(answer_seconds__isnull=True) | models.Q(answer_seconds__range=(0.1, 60.0)),
                name="automate_webhooksource_answer_seconds",
            ),
        ]

    def __str__(self) -> str:
        return self.slug
