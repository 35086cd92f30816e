"""The state of an approval: what is stored, corrected by what happened to its step and its deadline since."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import Case, CharField, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Now

from automate.enums import ApprovalStatus, StepStatus
from automate.models import Approval, Execution, StepRun
from automate_core import sql
from automate_core.arrays import plain

# The step of a buried execution still waits: the execution may be put back.
_CLOSE = """
UPDATE automate_approval a SET closed_at = clock_timestamp(),
  status = CASE WHEN a.deadline <= clock_timestamp() THEN 'EXPIRED' ELSE 'CANCELLED' END
WHERE a.execution_id = ANY(%(ids)s::uuid[]) AND a.status = 'PENDING' AND NOT EXISTS (
  SELECT 1 FROM automate_steprun s
  WHERE s.execution_id = a.execution_id AND s.path = a.path AND s.attempt = a.attempt AND s.status = 'WAITING')
RETURNING a.id
"""


def with_state(approvals: QuerySet[Approval]) -> QuerySet[Any]:
    """Annotate approvals with `state`: PENDING only while a vote can still make a difference."""
    asking = StepRun.all_tenants.filter(
        execution_id=OuterRef("execution_id"),
        path=OuterRef("path"),
        attempt=OuterRef("attempt"),
        status=StepStatus.WAITING,
        answer__isnull=True,
    )
    # Looked up, not joined: only what is stored as PENDING needs its execution.
    ending = Execution.all_tenants.filter(pk=OuterRef("execution_id")).filter(
        Q(cancel_requested_at__isnull=False) | Q(finished_at__isnull=False)
    )
    state = Case(
        When(~Q(status=ApprovalStatus.PENDING), then=F("status")),
        When(deadline__lte=Now(), then=Value(ApprovalStatus.EXPIRED)),
        When(Exists(ending) | ~Exists(asking), then=Value(ApprovalStatus.CANCELLED)),
        default=Value(ApprovalStatus.PENDING),
        output_field=CharField(),
    )
    return approvals.annotate(state=state)


def in_state(approvals: QuerySet[Any], state: str) -> QuerySet[Any]:
    """Narrow approvals that are annotated with their state to one state."""
    pending = Q(status=ApprovalStatus.PENDING, state=state)
    match state:
        case ApprovalStatus.APPROVED | ApprovalStatus.REJECTED:
            return approvals.filter(status=state)
        case ApprovalStatus.PENDING:
            return approvals.filter(pending)
        case _:
            # Stored as that, or not noticed yet.
            return approvals.filter(Q(status=state) | pending)


def state_of(approval: Approval) -> str:
    """Return the state of one approval now."""
    found: str = with_state(Approval.all_tenants.filter(pk=approval.pk)).values_list("state", flat=True).get()
    return found


def close_for(execution_ids: Iterable[UUID | str]) -> int:
    """Close what finished executions still asked, as EXPIRED or CANCELLED; return how many approvals that were."""
    return len(sql.execute(_CLOSE, {"ids": plain(execution_ids)}))
