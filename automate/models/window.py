"""Windows in which a trigger gathers events (debounce) or counts them (throttle)."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from automate_core.models import TenantOwned


class WindowKind(models.TextChoices):
    """What a window is for."""

    DEBOUNCE = "debounce"
    THROTTLE = "throttle"


class TriggerWindow(TenantOwned):
    """The events of one key of one trigger in one span of time: how many came, and how many executions they started.

    A throttle's window spans `per_seconds`. A debounce's window is open until `closed_at`; it closes when no event
    has come until `closes_at`, at the latest at `closes_by`, and starts an execution of its latest event, `event_id`.
    Written by `automate.limits` alone.
    """

    trigger = models.ForeignKey(
        "automate.Trigger",
        on_delete=models.CASCADE,
        related_name="windows",
        db_constraint=False,
        db_index=False,
    )
    kind = models.CharField(max_length=8, choices=WindowKind.choices)
    key = models.CharField(max_length=255, default="", db_default="", blank=True)
    opened_at = models.DateTimeField()
    closes_at = models.DateTimeField()
    closes_by = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    event_id = models.UUIDField(null=True, blank=True)
    event_at = models.DateTimeField(null=True, blank=True)
    events = models.PositiveIntegerField(default=0, db_default=0)
    started = models.PositiveIntegerField(default=0, db_default=0)

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [
            models.UniqueConstraint(
                fields=["trigger", "key"],
                condition=models.Q(kind=WindowKind.DEBOUNCE, closed_at__isnull=True),
                name="automate_window_debounce_once",
            ),
            models.UniqueConstraint(
                fields=["trigger", "key", "opened_at"],
                condition=models.Q(kind=WindowKind.THROTTLE),
                name="automate_window_throttle_once",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "-opened_at"], name="automate_window_recent"),
            models.Index(fields=["closes_at"], name="automate_window_old"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key!r} {self.opened_at}"


class WindowedEvent(models.Model):
    """What a trigger's window decided about an event, so that an event dispatched again is not counted again."""

    trigger = models.ForeignKey(
        "automate.Trigger", on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    event_id = models.UUIDField()
    has_passed = models.BooleanField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["trigger", "event_id"], name="automate_windowed_event_once")
        ]
        indexes = [models.Index(fields=["created_at"], name="automate_windowed_event_old")]

    def __str__(self) -> str:
        return f"{self.event_id} {'passed' if self.has_passed else 'kept back'}"
