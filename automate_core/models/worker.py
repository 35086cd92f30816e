"""Worker beats: which processes drain the outbox, and when each last reaped."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class WorkerBeat(models.Model):
    """A live worker process; the row goes stale when the process does."""

    worker = models.CharField(primary_key=True, max_length=128)
    kinds = models.CharField(max_length=255, blank=True, default="")
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())
    reaped_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["seen_at"], name="automate_worker_seen")]

    def __str__(self) -> str:
        return self.worker
