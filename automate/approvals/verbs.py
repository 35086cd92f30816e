"""Deciding: one vote a voter, counted under the approval's lock, and one decision an approval."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from automate.approvals.assignees import Assignees, may_vote
from automate.approvals.states import state_of
from automate.enums import ApprovalStatus, Decision
from automate.executions import signals
from automate.executions.signals import Answer, NothingWaits
from automate.models import Approval, ApprovalVote
from automate_connectors import validation
from automate_core import audit
from automate_core.context import tenant_scope
from automate_core.errors import AccessDenied, Conflict, Problem, ValidationFailed
from automate_core.redaction import redact

MAX_COMMENT_LENGTH = 5_000
UNCHANGED: Final = object()
"""What a vote passes for data it leaves as it is."""


class NotAssigned(AccessDenied):
    """You are not among those who may decide this."""


class AlreadyClosed(Conflict):
    """The approval is not open any more."""


class AlreadyVoted(Conflict):
    """You have voted already; a vote is final."""


class DataChanged(Conflict):
    """The data is not what you saw: somebody changed it since. Look at it again."""


def decide(
    approval: Approval,
    *,
    by: Any,
    decision: str,
    data: Any = UNCHANGED,
    comment: str = "",
    seen: str | None = None,
) -> Approval:
    """Count a user's vote, and when it settles the matter let the workflow go on; return the approval as it is now.

    Args:
        approval: what is decided; it is read again under its lock.
        by: the user who votes.
        decision: approve or reject.
        data: what the approval's data is to be, in place of all of it; UNCHANGED leaves it.
        comment: text of at most 5,000 characters.
        seen: digest of the data the voter decided on; refused when the data is another by now. None skips that.

    Raises:
        NotAssigned: the user is not among the assignees, or no longer.
        AlreadyClosed, AlreadyVoted, DataChanged: see there.
        ValidationFailed: the comment or the data is not acceptable.
    """
    _check(decision, data, comment)
    with tenant_scope(approval.tenant_id), transaction.atomic():
        held = Approval.objects.select_for_update().get(pk=approval.pk)
        if not may_vote(by, Assignees.of(held.assignees), held.tenant_id):
            raise NotAssigned
        _refuse_closed(held)
        votes = list(held.votes.order_by("id"))
        before = {"status": held.status, "votes": len(votes), "data": held.data}
        if any(one.voter_id == by.pk for one in votes):
            raise AlreadyVoted
        if seen is not None and seen != digest(held.data):
            raise DataChanged
        cast = _cast(held, by, decision, data, comment, votes)
        outcome = _outcome(held, [*votes, cast])
        if outcome is not None:
            _close(held, outcome, [*votes, cast])
        audit.record(
            actor=f"user:{by.pk}",
            action=f"approval.{cast.decision}",
            target=f"approval:{held.pk}",
            before=before,
            after={"status": held.status, "comment": cast.comment, "data": cast.data},
        )
    return held


def digest(data: Any) -> str:
    """Return what tells one state of the data from another: hex SHA-256 over its canonical JSON."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _check(decision: str, data: Any, comment: str) -> None:
    problems = []
    if decision not in Decision.values:
        problems.append(Problem("decision", f"must be {' or '.join(Decision.values)}, not {decision!r:.50}"))
    if len(comment) > MAX_COMMENT_LENGTH or "\x00" in comment:
        problems.append(Problem("comment", f"must have at most {MAX_COMMENT_LENGTH} characters and no NUL"))
    if data is not UNCHANGED and decision == Decision.REJECT:
        problems.append(Problem("data", "is not taken with a rejection"))
    if problems:
        raise ValidationFailed.of(problems)


def _refuse_closed(held: Approval) -> None:
    state = state_of(held)
    if state != ApprovalStatus.PENDING:
        raise AlreadyClosed(f"The approval is {state}; nothing can be decided any more")


def _cast(
    held: Approval, by: Any, decision: str, given: Any, comment: str, votes: list[ApprovalVote]
) -> ApprovalVote:
    data = held.data if given is UNCHANGED else redact(given)
    is_changed = data != held.data
    if is_changed:
        _refuse_edit(held, votes)
    if decision == Decision.APPROVE and held.form is not None:
        _refuse_unfit(held.form, data)
    if is_changed:
        held.data = data
        held.save(update_fields=["data"])
    return ApprovalVote.objects.create(
        tenant_id=held.tenant_id,
        approval=held,
        voter=by,
        voter_name=by.get_username(),
        decision=decision,
        comment=str(redact(comment)),
        data=data if is_changed else None,
        created_at=timezone.now(),
    )


def _refuse_edit(held: Approval, votes: list[ApprovalVote]) -> None:
    if held.form is None:
        raise _wrong_data("", "cannot be changed: the approval has no form")
    if any(one.decision == Decision.APPROVE for one in votes):
        raise Conflict("Others approved the data as it is; approve it unchanged, or reject it")


def _refuse_unfit(form: Mapping[str, Any], data: Any) -> None:
    try:
        found = validation.problems(form, data)
    except validation.InvalidSchema as error:
        raise _wrong_data("", f"cannot be checked: {error.message}") from error
    if found:
        raise ValidationFailed.of([_in_data(one.field, one.message) for one in found])


def _wrong_data(where: str, message: str) -> ValidationFailed:
    return ValidationFailed.of([_in_data(where, message)])


def _in_data(where: str, message: str) -> Problem:
    return Problem(f"data{'' if not where or where.startswith('[') else '.'}{where}", message)


def _outcome(held: Approval, votes: list[ApprovalVote]) -> ApprovalStatus | None:
    """Return how the votes settle the matter; None while they do not."""
    approvals = sum(one.decision == Decision.APPROVE for one in votes)
    rejections = len(votes) - approvals
    if approvals >= held.required:
        return ApprovalStatus.APPROVED
    if held.reject_on == "first":
        return ApprovalStatus.REJECTED if rejections else None
    # When everybody has voted nothing can change any more.
    if rejections * 2 > held.voters or len(votes) >= held.voters:
        return ApprovalStatus.REJECTED
    return None


def _close(held: Approval, outcome: ApprovalStatus, votes: list[ApprovalVote]) -> None:
    held.status, held.closed_at = outcome, timezone.now()
    held.save(update_fields=["status", "closed_at"])
    try:
        signals.answer_path(held.execution_id, held.path, Answer(_output(held, votes), outcome.lower()))
    except NothingWaits as error:
        raise AlreadyClosed("The workflow does not wait for this approval any more") from error


def _output(held: Approval, votes: list[ApprovalVote]) -> dict[str, Any]:
    last = votes[-1]
    return {
        "decision": held.status.lower(),
        "by": last.voter_name,
        "comment": last.comment,
        "data": held.data,
        "votes": [
            {
                "by": one.voter_name,
                "decision": one.decision,
                "comment": one.comment,
                "at": one.created_at.isoformat(),
            }
            for one in votes
        ],
    }
