"""Audit entries: who changed what, chained by hash so that a change to the past shows; and where each chain ends."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from automate_core.models.tenant import Tenant, TenantOwned


class AuditEntry(TenantOwned):
    """One change, written with it and sealed soon after: sealing gives it its place in the tenant's chain.

    `content_digest` covers what is said of the change, from the beginning; `digest` covers the entry and the digest
    before it. Rows are append-only: database triggers refuse UPDATE, except the one that seals, DELETE and TRUNCATE,
    so a tenant that has entries is switched off, not deleted.
    """

    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, related_name="+", editable=False, db_index=False
    )
    id = models.BigAutoField(primary_key=True)
    number = models.PositiveBigIntegerField(null=True, blank=True)
    actor = models.CharField(max_length=200)
    action = models.CharField(max_length=64)
    target = models.CharField(max_length=200)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    trace_id = models.CharField(max_length=64, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())
    # Empty in entries written before there was one: the chain's digest covers these.
    content_digest = models.CharField(max_length=64, blank=True, default="", db_default="")
    previous_digest = models.CharField(max_length=64, blank=True, default="", db_default="")
    digest = models.CharField(max_length=64, blank=True, default="", db_default="")

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
            models.Index(
                fields=["tenant", "id"], condition=models.Q(number=None), name="automate_audit_unsealed"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.target}"


class AuditHead(models.Model):
    """The end of a tenant's chain, kept beside it: entries cut off the end of the chain are missed.

    A database trigger writes it when entries are sealed, and lets it only grow.
    """

    tenant_id = models.UUIDField(primary_key=True)
    number = models.PositiveBigIntegerField()
    digest = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"{self.tenant_id} ends at {self.number}"
