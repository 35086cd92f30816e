"""The words for states and kinds, one meaning each."""

from __future__ import annotations

from django.db import models

from automate_core.steps import Effect as Effect


class ExecutionStatus(models.TextChoices):
    """Where an execution stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing can happen to the execution any more."""
        return self in TERMINAL


class StepStatus(models.TextChoices):
    """Where one attempt of a step stands."""

    RUNNING = "RUNNING"
    WAITING = "WAITING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"


class TriggerType(models.TextChoices):
    """What can start an automation."""

    WEBHOOK = "webhook"
    EVENT = "event"
    SCHEDULE = "schedule"
    MANUAL = "manual"
    MODEL = "model"
    EXECUTION = "execution"


class ApprovalStatus(models.TextChoices):
    """Where an approval stands."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"


class Decision(models.TextChoices):
    """What a voter says."""

    APPROVE = "approve"
    REJECT = "reject"


class EffectClass(models.TextChoices):
    """`automate_core.steps.Effect` as choices of a column."""

    PURE = "pure"
    DATABASE = "database"
    IDEMPOTENT = "idempotent"
    AT_MOST_ONCE = "at_most_once"


TERMINAL = frozenset({ExecutionStatus.SUCCESS, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED})
