"""Named queues of a tenant: what one workflow leaves for another to take."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from automate_core.models import TenantOwned


class QueueMessage(TenantOwned):
    """A message that nobody has read yet; reading deletes it. Written by `automate.queues` alone.

    `size` is the length of the body as JSON, in bytes. Ids are handed out in the order of writing.
    """

    queue = models.CharField(max_length=100)
    body = models.JSONField(null=True)
    size = models.PositiveIntegerField()
    written_by = models.UUIDField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "queue", "id"], name="automate_queuemessage_place")
        ]

    def __str__(self) -> str:
        return f"{self.queue} #{self.pk}"
