"""Stored secrets: ciphertext only."""

from __future__ import annotations

from django.db import models

from automate_core.ids import uuid7
from automate_core.models.tenant import TenantOwned


class Secret(TenantOwned):
    """A named secret of a tenant, encrypted with AES-GCM; (tenant, name, version) is its associated data."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=128)
    version = models.PositiveIntegerField(default=1)
    key_id = models.CharField(max_length=16, editable=False)
    nonce = models.BinaryField(max_length=12, editable=False)
    ciphertext = models.BinaryField(editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="automate_secret_name_once")]

    def __str__(self) -> str:
        return self.name
