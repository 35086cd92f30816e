"""What is kept of nodes that were run one by one on the canvas, and the sessions they are run in."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from automate_core.ids import uuid7
from automate_core.models import TenantOwned


class NodeData(TenantOwned):
    """What a node of a drawn workflow was last tried out with, and what came of it, without secrets."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    automation = models.ForeignKey(
        "automate.Automation",
        on_delete=models.CASCADE,
        related_name="node_data",
        db_constraint=False,
        db_index=False,
    )
    node_id = models.CharField(max_length=200)
    form_values = models.JSONField(default=dict, blank=True)
    input_data = models.JSONField(null=True, blank=True)
    output_data = models.JSONField(null=True, blank=True)
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        base_manager_name = "all_tenants"
        verbose_name_plural = "node data"
        constraints = [
            models.UniqueConstraint(fields=["automation", "node_id"], name="automate_studio_node_once"),
            models.UniqueConstraint(fields=["tenant", "id"], name="automate_studio_node_in_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.node_id} of {self.automation_id}"


class DevelopmentSession(TenantOwned):
    """What nodes of a workflow keep from call to call while one person tries them out.

    `name` is what the client calls it; it says nothing to anybody but its `owner`. While a node calls outside, the
    session is its own: `lease` is, until `leased_until`. Written by `automate_studio.canvas.sessions` alone.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    automation = models.ForeignKey(
        "automate.Automation",
        on_delete=models.CASCADE,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    owner = models.CharField(max_length=200)
    name = models.CharField(max_length=128)
    state = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    lease = models.UUIDField(null=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "automation", "owner", "name"], name="automate_studio_session_once"
            ),
        ]
        indexes = [
            models.Index(fields=["expires_at"], name="automate_studio_session_old"),
            models.Index(fields=["tenant", "owner", "expires_at"], name="automate_studio_session_owned"),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.owner}"
