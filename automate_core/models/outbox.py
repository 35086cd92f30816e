"""Outbox items: promises to deliver, committed with the change that made them."""

from __future__ import annotations

from django.db import models
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Now

from automate_core.models.tenant import TenantOwned


class OutboxStatus(models.TextChoices):
    """Where an item stands; a delivered item is deleted."""

    PENDING = "PENDING"
    CLAIMED = "CLAIMED"
    FAILED = "FAILED"


class OutboxItem(TenantOwned):
    """One promise: `kind` names the handler, `payload` is what it needs.

    All status changes are made by `automate_core.outbox.store` and `.reaper`, guarded by id, owner and epoch.
    """

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=64)
    key = models.CharField(max_length=255, null=True, blank=True)
    priority = models.SmallIntegerField(default=0, db_default=0)
    payload = models.JSONField(default=dict)
    status = models.CharField(
        max_length=8,
        choices=OutboxStatus.choices,
        default=OutboxStatus.PENDING,
        db_default=OutboxStatus.PENDING,
    )
    available_at = models.DateTimeField(db_default=Now())
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    max_attempts = models.PositiveSmallIntegerField(default=3, db_default=3)
    suspect = models.BooleanField(default=False, db_default=False)
    lease_owner = models.CharField(max_length=128, default="", db_default="", blank=True)
    lease_epoch = models.BigIntegerField(default=0, db_default=0)
    lease_renewed_at = models.DateTimeField(null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(default="", db_default="", blank=True)
    trace_id = models.CharField(max_length=64, default="", db_default="", blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status="CLAIMED", lease_expires_at__isnull=False)
                | (~models.Q(status="CLAIMED") & models.Q(lease_expires_at__isnull=True)),
                name="automate_outbox_lease_when_claimed",
            ),
        ]
        indexes = [
            models.Index(
                fields=["tenant", "priority", "available_at", "id"],
                condition=models.Q(status="PENDING", suspect=False),
                name="automate_outbox_ready",
            ),
            models.Index(
                fields=["available_at", "id"],
                condition=models.Q(status="PENDING", suspect=True),
                name="automate_outbox_suspect",
            ),
            models.Index(
                fields=["lease_expires_at"],
                condition=models.Q(status="CLAIMED"),
                name="automate_outbox_leased",
            ),
            models.Index(
                fields=["tenant", "key", "id"],
                condition=models.Q(key__isnull=False),
                name="automate_outbox_key",
            ),
            models.Index(
                fields=["tenant", "kind", "id"],
                condition=models.Q(status="FAILED"),
                name="automate_outbox_dead",
            ),
            models.Index(
                KeyTextTransform("execution_id", "payload"),
                condition=models.Q(kind="execution"),
                name="automate_outbox_execution",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} #{self.id} {self.status}"
