"""The approval step: asks people, and goes on as they decide."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from automate.approvals.assignees import Assignees, assignee_problems, checked, voters
from automate.emission import emit
from automate.models import Approval
from automate.waits.steps import timeout_of, timeout_problems
from automate_connectors import validation
from automate_core import sql
from automate_core.errors import PermanentError, Problem
from automate_core.redaction import redact
from automate_core.steps import Effect, StepContext, StepHandler, Wait, step_registry

REQUESTED = "approval.requested"
SOURCE = "approval"
MAX_TITLE_LENGTH = 255
MAX_MESSAGE_LENGTH = 50_000
REJECT_ON = ("first", "majority")


class NobodyToAsk(PermanentError):
    """Too few assignees may vote."""


class ApprovalStep(StepHandler):
    """Asks assignees to approve or reject, holding no worker; they may edit the data as the form allows.

    The approval, the event `approval.requested` and the step's wait commit together.
    """

    type = "approval"
    label = "Ask for approval"
    effect = Effect.DATABASE
    routes = ("approved", "rejected", "timeout")
    side_routes = frozenset({"rejected"})
    is_consent = True
    route_aliases = {"main": "approved"}
    raw_fields = frozenset({"form"})
    config_schema = {
        "type": "object",
        "required": ["title", "assignees"],
        "properties": {
            "title": {"type": "string", "title": "Title", "description": "What is asked, in one line."},
            "message": {"type": "string", "title": "Message", "description": "What helps to decide."},
            "assignees": {
                "type": "object", "title": "Assignees", "description": "Who may decide: members of the tenant.",
                "properties": {
                    "users": {
                        "type": ["array", "string"], "items": {"type": "string"}, "title": "Users",
                        "description": "Names of users.",
                    },
                    "groups": {
                        "type": ["array", "string"], "items": {"type": "string"}, "title": "Groups",
                        "description": "Names of groups.",
                    },
                    "permission": {
                        "type": "string", "title": "Permission", "description": "Whoever has it, as app.codename.",
                    },
                },
            },
            "form": {
                "type": "object", "title": "Form", "description": "JSON Schema within which data may be changed.",
                "x-depends-on": {"data": None},
            },
            "data": {"title": "Data", "description": "What is to be approved; handed on as decided."},
            "required": {
                "type": ["integer", "string"], "minimum": 1, "default": 1, "title": "Approvals",
                "description": "How many must approve.",
            },
            "reject_on": {
                "enum": list(REJECT_ON), "default": "first", "title": "Rejected by",
                "description": "The first rejection, or a majority of those who may vote.",
            },
            "deadline_seconds": {
                "type": ["number", "string"], "exclusiveMinimum": 0, "title": "Deadline",
                "description": "Seconds to decide in; then it leaves by timeout. It waits for ever when absent.",
            },
        },
    }  # fmt: skip

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Check everything that does not depend on templates."""
        found = []
        if not isinstance(config.get("title"), str) or not config["title"]:
            found.append(Problem("title", "is required: what is asked"))
        if not isinstance(config.get("message", ""), str):
            found.append(Problem("message", "must be a text"))
        found += assignee_problems(config.get("assignees"))
        required = config.get("required", 1)
        if not isinstance(required, str) and not _is_count(required):
            found.append(Problem("required", "must be a whole number of at least 1"))
        if config.get("reject_on", "first") not in REJECT_ON:
            found.append(Problem("reject_on", f"must be {' or '.join(REJECT_ON)}"))
        found += _form_problems(config.get("form"))
        return [*found, *timeout_problems(config, "deadline_seconds")]

    def run(self, config: Mapping[str, Any], context: StepContext) -> Wait:
        """Store the question and wait for its answer."""
        approval, electorate = _question(config, context)
        approval.save(force_insert=True)
        emit(REQUESTED, _requested(approval, electorate), source=SOURCE, tenant_id=context.tenant_id)
        return Wait(until=approval.deadline, awaits=True)

    def run_alone(self, config: Mapping[str, Any], context: StepContext, state: dict[str, Any]) -> Wait:
        """Check the question and say how long it would wait, asking nobody: no execution would hear the answer."""
        approval, _ = _question(config, context)
        return Wait(until=approval.deadline, awaits=True)


def register_approval_step() -> None:
    """Register the step."""
    if ApprovalStep.type not in step_registry:
        step_registry.register(ApprovalStep.type, ApprovalStep())


def _question(config: Mapping[str, Any], context: StepContext) -> tuple[Approval, list[Any]]:
    """Return the approval to store and those who may vote; raises PermanentError."""
    asked = assignee_problems(config["assignees"])
    if asked:
        raise PermanentError(f"{asked[0].field} {asked[0].message}")
    assignees = checked(_assignees(config["assignees"]))
    electorate = voters(assignees, context.tenant_id)
    approval = Approval(
        tenant_id=context.tenant_id,
        execution_id=context.execution_id,
        path=context.path,
        attempt=context.attempt,
        assignees=assignees.as_data(),
        voters=len(electorate),
        required=_required(config.get("required", 1), len(electorate)),
        deadline=_deadline(timeout_of(config, "deadline_seconds")),
        title=_title(config["title"]),
        message=_text("message", config.get("message", ""), MAX_MESSAGE_LENGTH),
        reject_on=config.get("reject_on", "first"),
        form=config.get("form"),
        data=redact(config.get("data")),
    )
    return approval, electorate


def _requested(approval: Approval, electorate: list[Any]) -> dict[str, Any]:
    """Return the payload of the event: enough to tell people, and nothing that lets anybody decide."""
    return {
        "approval_id": str(approval.pk),
        "title": approval.title,
        "message": approval.message,
        "execution_id": str(approval.execution_id),
        "path": approval.path,
        "assignees": approval.assignees,
        "voters": [user.get_username() for user in electorate],
        "emails": [email for user in electorate if (email := getattr(user, "email", ""))],
        "required": approval.required,
        "deadline": approval.deadline.isoformat() if approval.deadline else None,
    }


def _assignees(given: Mapping[str, Any]) -> Assignees:
    """Read rendered assignees; a template may have made one name of a list."""
    lists = {name: [given[name]] for name in ("users", "groups") if isinstance(given.get(name), str)}
    return Assignees.of({**given, **lists})


def _required(value: Any, electorate: int) -> int:
    try:
        required = int(value)
    except (TypeError, ValueError):
        raise PermanentError(f"required must be a whole number, not {value!r:.100}") from None
    if required < 1:
        raise PermanentError(f"required must be at least 1, not {required}")
    if required > electorate:
        raise NobodyToAsk(
            f"{required} approval(s) are required and {electorate} of the assignees may vote; they must be active "
            "and members of the tenant"
        )
    return required


def _deadline(seconds: float | None) -> datetime | None:
    if seconds is None:
        return None
    row = sql.execute("SELECT clock_timestamp() + make_interval(secs => %(seconds)s)", {"seconds": seconds})[
        0
    ]
    moment: datetime = row[0]
    return moment


def _title(value: Any) -> str:
    """Return the title in one line, fit for the subject of a message."""
    title = " ".join(_text("title", value, MAX_TITLE_LENGTH).split())
    if not title:
        raise PermanentError("title is empty; say what is asked")
    return title


def _text(name: str, value: Any, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise PermanentError(f"{name} must be a text of at most {longest} characters")
    return str(redact(value))[:longest]


def _form_problems(form: Any) -> list[Problem]:
    if form is None:
        return []
    if not isinstance(form, Mapping):
        return [Problem("form", "must be a JSON Schema")]
    try:
        validation.problems(form, {})
    except validation.InvalidSchema as error:
        return [Problem("form", error.message)]
    return []


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
