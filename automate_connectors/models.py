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
    rate_limit = models.JSONField(
        null=True,
        blank=True,
        help_text='Calls over it wait: {"limit": 10, "per_seconds": 1}, and "burst" for that many at once.',
    )
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


class ConnectionPace(models.Model):
    """Until when the calls of a connection with a rate limit are handed out; written by `pace` alone."""

    connection = models.OneToOneField(
        Connection, on_delete=models.CASCADE, primary_key=True, related_name="+", db_constraint=False
    )
    taken_until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.connection_id} until {self.taken_until}"


class ConnectionTurn(models.Model):
    """A call that waits for its turn; `holder` is the idempotency key of its step."""

    connection = models.ForeignKey(
        Connection, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    holder = models.CharField(max_length=128)
    at = models.DateTimeField()
    is_exchanged = models.BooleanField(default=False, db_default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connection", "holder"], name="automate_connection_turn_once")
        ]
        indexes = [models.Index(fields=["connection", "at"], name="automate_connection_turns")]

    def __str__(self) -> str:
        return f"{self.holder} at {self.at}"
