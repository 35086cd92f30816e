"""Connections: configured credentials for connectors, with secrets as references only."""

from __future__ import annotations

from django.db import models

from automate_core.ids import uuid7
from automate_core.models import TenantOwned


class Connection(TenantOwned):
    """A tenant's configured access to one outside system; `automate_connectors.connections` writes it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.SlugField(max_length=100)
    connector = models.CharField(max_length=64)
    config = models.JSONField(default=dict, blank=True)
    is_enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="automate_connection_name_once")
        ]
        indexes = [models.Index(fields=["tenant", "connector"], name="automate_connection_kind")]

    def __str__(self) -> str:
        return f"{self.name} ({self.connector})"
