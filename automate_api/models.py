"""API keys, and the stored answers that make a repeated mutation harmless."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from automate_core.ids import uuid7
from automate_core.models import Role, TenantOwned


class ApiKey(TenantOwned):
    """A credential of one tenant; only its SHA-256 digest is kept.

    The secret part is 256 random bits, so a fast hash is enough: there is no guessable password to slow down.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.VIEWER)
    prefix = models.CharField(max_length=12, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        base_manager_name = "all_tenants"
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    def is_usable(self, now: datetime) -> bool:
        """Tell whether the key is neither revoked nor expired at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class IdempotencyRecord(TenantOwned):
    """The first response to a mutation that carried an idempotency key, committed with the mutation.

    `digest` is SHA-256 over (tenant, principal, method, path, key); `fingerprint` over the request's body.
    Until `held_until` the request is still being answered, and what is kept is provisional.
    """

    id = models.BigAutoField(primary_key=True)
    digest = models.CharField(max_length=64)
    fingerprint = models.CharField(max_length=64)
    method = models.CharField(max_length=8)
    route = models.TextField()
    status = models.PositiveSmallIntegerField()
    content_type = models.CharField(max_length=100)
    body = models.BinaryField()
    held_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "digest"], name="automate_idempotency_once"),
        ]
        indexes = [models.Index(fields=["created_at"], name="automate_idempotency_age")]

    def __str__(self) -> str:
        return f"{self.method} {self.route} {self.status}"
