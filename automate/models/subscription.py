"""Webhook subscriptions: who is told of which events, and how telling them went."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from automate_core.ids import uuid7
from automate_core.models import TenantOwned

URL_LENGTH = 1024
"""Longest callback URL, in ASCII characters; it is part of an index."""


class WebhookSubscription(TenantOwned):
    """A URL that is called with every event of a type; `event_type` may be a glob.

    Written by `automate.subscriptions` alone. `failures` counts the calls that failed since the last that did not.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    event_type = models.CharField(max_length=255)
    callback_url = models.CharField(max_length=URL_LENGTH)
    is_enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=200, default="", blank=True)
    last_status = models.PositiveSmallIntegerField(null=True, blank=True)
    last_error = models.CharField(max_length=500, default="", blank=True)
    last_attempt_at = models.DateTimeField(null=True, blank=True)
    last_success_at = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "callback_url", "event_type"], name="automate_subscription_once"
            ),
        ]
        indexes = [
            models.Index(
                fields=["tenant"], condition=models.Q(is_enabled=True), name="automate_subscription_live"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.id}"

    @property
    def secret_name(self) -> str:
        """The name of the stored secret its calls are signed with."""
        return f"subscription.{self.id}"
