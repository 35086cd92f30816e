"""Executions and the record of their steps."""

from __future__ import annotations

from uuid import UUID

from django.db import models
from django.db.models.functions import Now

from automate.enums import EffectClass, ExecutionStatus, StepStatus
from automate_core.ids import uuid7
from automate_core.models import Tenant, TenantOwned, current_tenant_id


class Execution(TenantOwned):
    """One run of one workflow version.

    Status is written only by `automate.executions` and the statements beside it. `version` is pinned when the
    execution starts. `seq` counts what happened to it, in order, and `marks` says which numbers were about the
    execution itself (see `automate.executions.marks`); `pokes` counts what was said to it from outside,
    so that its worker knows when to look. `held_at` is set while it waits for a place under a limit, `paused_at`
    while a person holds it. `max_attempts` is how often its steps are tried that name no policy; None leaves that
    to the engine. `event_type` is the type of its event, empty without one; the database fills it in where
    it was not given. `parent_execution_id` and `parent_path` name the step that waits for its end.
    """

    # That the tenant is there follows from the automation's: the keys of both are compared together.
    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.CASCADE,
        related_name="+",
        editable=False,
        db_constraint=False,
        db_index=False,
    )
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    automation = models.ForeignKey(
        "automate.Automation",
        on_delete=models.CASCADE,
        related_name="executions",
        db_constraint=False,
        db_index=False,
    )
    version = models.ForeignKey(
        "automate.WorkflowVersion",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    event = models.ForeignKey(
        "automate.Event",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="executions",
        db_constraint=False,
        db_index=False,
    )
    event_type = models.CharField(max_length=255, default="", db_default="", blank=True, editable=False)
    trigger = models.ForeignKey(
        "automate.Trigger",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    replay_of = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="replays",
        db_constraint=False,
        db_index=False,
    )
    status = models.CharField(
        max_length=9,
        choices=ExecutionStatus.choices,
        default=ExecutionStatus.QUEUED,
        db_default=ExecutionStatus.QUEUED,
    )
    attempt = models.PositiveSmallIntegerField(default=1, db_default=1)
    max_attempts = models.PositiveSmallIntegerField(null=True, blank=True)
    context = models.JSONField(default=dict, blank=True)
    priority = models.SmallIntegerField(default=0, db_default=0)
    key = models.CharField(max_length=255, null=True, blank=True)
    trace_id = models.CharField(max_length=64, default="", db_default="", blank=True)
    cause_execution_id = models.UUIDField(null=True, blank=True)
    depth = models.PositiveSmallIntegerField(default=0, db_default=0)
    seq = models.PositiveIntegerField(default=0, db_default=0)
    marks = models.TextField(default="", db_default="", blank=True)
    error_code = models.CharField(max_length=64, default="", db_default="", blank=True)
    error_summary = models.TextField(default="", db_default="", blank=True)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    held_at = models.DateTimeField(null=True, blank=True)
    output = models.JSONField(null=True, blank=True)
    pokes = models.PositiveIntegerField(default=0, db_default=0)
    parent_execution_id = models.UUIDField(null=True, blank=True)
    parent_path = models.CharField(max_length=1000, default="", db_default="", blank=True)

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [
            models.UniqueConstraint(
                fields=["event", "trigger"],
                condition=models.Q(replay_of__isnull=True, event__isnull=False, trigger__isnull=False),
                name="automate_execution_once",
            ),
            models.UniqueConstraint(fields=["tenant", "id"], name="automate_execution_in_tenant"),
            models.CheckConstraint(
                condition=models.Q(status__in=["SUCCESS", "FAILED", "CANCELLED"], finished_at__isnull=False)
                | (
                    ~models.Q(status__in=["SUCCESS", "FAILED", "CANCELLED"])
                    & models.Q(finished_at__isnull=True)
                ),
                name="automate_execution_finished",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "-created_at", "-id"], name="automate_execution_recent"),
            # What follows the order is read from the index instead of the table, when a list is narrowed by it too.
            models.Index(
                fields=["tenant", "status", "-created_at", "-id", "event_type"],
                name="automate_execution_by_status",
            ),
            models.Index(
                fields=["tenant", "event_type", "-created_at", "-id", "status"],
                condition=~models.Q(event_type=""),
                name="automate_execution_by_event",
            ),
            models.Index(
                fields=["automation", "-created_at", "-id"],
                include=["tenant"],
                name="automate_execution_runs",
            ),
            models.Index(
                fields=["automation", "status", "-created_at", "-id", "event_type"],
                include=["tenant"],
                name="automate_execution_by_outcome",
            ),
            models.Index(
                fields=["automation", "event_type", "-created_at", "-id", "status"],
                include=["tenant"],
                condition=~models.Q(event_type=""),
                name="automate_execution_by_cause",
            ),
            models.Index(
                fields=["trace_id", "-created_at", "-id", "tenant", "status", "automation", "event_type"],
                condition=~models.Q(trace_id=""),
                name="automate_execution_by_trace",
            ),
            models.Index(fields=["event"], name="automate_execution_event"),
            models.Index(
                fields=["replay_of"],
                condition=models.Q(replay_of__isnull=False),
                name="automate_execution_replays",
            ),
            models.Index(
                fields=["parent_execution_id"],
                condition=models.Q(parent_execution_id__isnull=False),
                name="automate_execution_children",
            ),
            models.Index(
                fields=["automation", "key", "-priority", "id"],
                condition=models.Q(held_at__isnull=False),
                name="automate_execution_held",
            ),
            models.Index(
                fields=["automation", "key"],
                condition=models.Q(key__isnull=False, finished_at__isnull=True, held_at__isnull=True),
                name="automate_execution_placed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.status}"

    def natural_tenant_id(self) -> UUID:
        """Return the automation's tenant: an execution belongs where its automation does."""
        return self.automation.tenant_id if self.automation_id else current_tenant_id()


class StepRun(TenantOwned):
    """One attempt of one step, addressed by (execution, path, attempt).

    `seq` is the execution's count when the step last changed, `marks` every change with its count. A WAITING step is
    woken at `wake_at`, by whoever presents the token whose hash is `wake_token`, or by an event of type `wake_event`
    that `wake_rule` accepts; what it is told then is its `answer`. `wake_event` is empty again once it no longer waits.
    No index may mention what changes when a step ends, its status least of all: then its row changes in place.
    """

    # As of an execution's, from the execution's.
    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.CASCADE,
        related_name="+",
        editable=False,
        db_constraint=False,
        db_index=False,
    )
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="steps", db_constraint=False, db_index=False
    )
    path = models.CharField(max_length=1000)
    node_key = models.CharField(max_length=200)
    node_type = models.CharField(max_length=128)
    attempt = models.PositiveSmallIntegerField(default=1)
    status = models.CharField(max_length=9, choices=StepStatus.choices)
    effect = models.CharField(max_length=12, choices=EffectClass.choices)
    route = models.CharField(max_length=64, default="", db_default="", blank=True)
    input_data = models.JSONField(null=True, blank=True)
    output_data = models.JSONField(null=True, blank=True)
    variables = models.JSONField(null=True, blank=True)
    error_code = models.CharField(max_length=64, default="", db_default="", blank=True)
    error_message = models.TextField(default="", db_default="", blank=True)
    seq = models.PositiveIntegerField(default=0)
    marks = models.TextField(default="", db_default="", blank=True)
    wake_at = models.DateTimeField(null=True, blank=True)
    wake_token = models.CharField(max_length=64, null=True, blank=True)
    wake_event = models.CharField(max_length=255, null=True, blank=True)
    wake_rule = models.JSONField(null=True, blank=True)
    answer = models.JSONField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [
            models.UniqueConstraint(fields=["execution", "path", "attempt"], name="automate_steprun_once"),
            models.UniqueConstraint(
                fields=["wake_token"],
                condition=models.Q(wake_token__isnull=False),
                name="automate_steprun_wake_token_once",
            ),
        ]
        indexes = [
            models.Index(
                fields=["tenant", "wake_event"],
                condition=models.Q(wake_event__gt=""),
                name="automate_steprun_listeners",
            ),
            models.Index(
                fields=["execution"],
                condition=models.Q(node_type__in=("respond", "http-response", "http_response")),
                name="automate_steprun_answers",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.path} #{self.attempt} {self.status}"
