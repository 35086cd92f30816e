"""Who looks on: which process has people watching which workflow, and how many connections each caller holds."""

from __future__ import annotations

from django.db import models


class LiveWatch(models.Model):
    """Somebody connected to a process watches a workflow; the process keeps the row from expiring."""

    automation_id = models.UUIDField()
    process = models.UUIDField()
    expires_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "live watches"
        constraints = [
            models.UniqueConstraint(fields=["automation_id", "process"], name="automate_livewatch_once")
        ]

    def __str__(self) -> str:
        return f"{self.automation_id} from {self.process}"


class LiveSeat(models.Model):
    """How many live connections of one caller a process serves; the process keeps the row from expiring."""

    caller = models.CharField(max_length=100)
    process = models.UUIDField()
    seats = models.PositiveIntegerField()
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["caller", "process"], name="automate_liveseat_once")]

    def __str__(self) -> str:
        return f"{self.caller}: {self.seats} at {self.process}"
