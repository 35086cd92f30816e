"""Approvals: what a waiting step asks of people, and their votes."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import Now

from automate.enums import ApprovalStatus, Decision
from automate.models.execution import Execution
from automate_core.ids import uuid7
from automate_core.models import TenantOwned


class Approval(TenantOwned):
    """A question a step puts to people, addressed as the step is: by (execution, path, attempt).

    Status is written only by `automate.approvals`. PENDING is what is stored, not always what is true: a deadline
    passes and an execution is cancelled without anybody writing here, so readers ask for the state
    (`automate.approvals.states`). `assignees` says who may vote, `voters` how many that were when it was asked, and
    `required` how many of them have to approve. `data` is what voters may edit as far as `form`, a JSON Schema, allows.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="approvals", db_constraint=False, db_index=False
    )
    path = models.CharField(max_length=1000)
    attempt = models.PositiveSmallIntegerField(default=1)
    status = models.CharField(max_length=9, choices=ApprovalStatus.choices, default=ApprovalStatus.PENDING)
    title = models.CharField(max_length=255)
    message = models.TextField(default="", blank=True)
    assignees = models.JSONField(default=dict)
    voters = models.PositiveIntegerField(default=1)
    required = models.PositiveIntegerField(default=1)
    reject_on = models.CharField(max_length=8, default="first")
    form = models.JSONField(null=True, blank=True)
    data = models.JSONField(null=True, blank=True)
    deadline = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [
            models.UniqueConstraint(fields=["execution", "path", "attempt"], name="automate_approval_once"),
            models.UniqueConstraint(fields=["tenant", "id"], name="automate_approval_in_tenant"),
            models.CheckConstraint(
                condition=models.Q(status="PENDING", closed_at__isnull=True)
                | (~models.Q(status="PENDING") & models.Q(closed_at__isnull=False)),
                name="automate_approval_closed",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "status", "-id"], name="automate_approval_status"),
            GinIndex(fields=["assignees"], opclasses=["jsonb_path_ops"], name="automate_approval_assigned"),
            models.Index(KeyTransform("permission", "assignees"), name="automate_approval_permission"),
        ]

    def __str__(self) -> str:
        return f"{self.title} {self.status}"

    def natural_tenant_id(self) -> UUID:
        """Return the execution's tenant."""
        return self.execution.tenant_id


class ApprovalVote(TenantOwned):
    """What one person said to an approval; `data` is what they changed the data to, null when they did not."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    approval = models.ForeignKey(
        Approval, on_delete=models.CASCADE, related_name="votes", db_constraint=False, db_index=False
    )
    voter = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="automate_votes"
    )
    voter_name = models.CharField(max_length=255)
    decision = models.CharField(max_length=7, choices=Decision.choices)
    comment = models.TextField(default="", blank=True)
    data = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [
            models.UniqueConstraint(fields=["approval", "voter"], name="automate_approvalvote_once"),
        ]

    def __str__(self) -> str:
        return f"{self.voter_name}: {self.decision}"

    def natural_tenant_id(self) -> UUID:
        """Return the approval's tenant."""
        return self.approval.tenant_id
