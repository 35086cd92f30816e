"""Audit entries: who changed what, chained by hash so that a change to the past shows; and where each chain ends."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from automate_core.models.tenant import Tenant, TenantOwned


class AuditEntry(TenantOwned):
    """One change. `digest` covers the entry and the digest before it in the same tenant; rows are append-only.

    Database triggers refuse UPDATE, DELETE and TRUNCATE, so a tenant that has entries is switched off, not deleted.
    """

    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, related_name="+", editable=False, db_index=False
    )
    id = models.BigAutoField(primary_key=True)
    number = models.PositiveBigIntegerField()
    actor = models.CharField(max_length=200)
    action = models.CharField(max_length=64)
    target = models.CharField(max_length=200)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    trace_id = models.CharField(max_length=64, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())
    previous_digest = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)

    class Meta:
        base_manager_name = "all_tenants"
        verbose_name_plural = "audit entries"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "number"], name="automate_audit_number_once")
        ]
        indexes = [
            models.Index(fields=["trace_id"], condition=~models.Q(trace_id=""), name="automate_audit_trace"),
            models.Index(fields=["tenant", "-id"], name="automate_audit_recent"),
            models.Index(fields=["action", "-id"], name="automate_audit_action"),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.target}"


class AuditHead(models.Model):
    """The end of a tenant's chain, kept beside it: entries cut off the end of the chain are missed.

    A database trigger writes it with each entry, and lets it only grow.
    """

    tenant_id = models.UUIDField(primary_key=True)
    number = models.PositiveBigIntegerField()
    digest = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"{self.tenant_id} ends at {self.number}"
