"""Development mode: one node is filled in, run alone, and what came of it is kept. Its effects are real."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from automate.drawings import drawn_graph
from automate.graph.nodes import Compiled
from automate.models import Automation
from automate.runtime.alone import (
    LONGEST_CALL_SECONDS,
    InvalidNode,
    Outcome,
    Trial,
    calls_outside,
    compile_node,
    run_alone,
)
from automate_core import audit
from automate_core.context import current_trace_id
from automate_core.errors import ErrorCodes, NotFound, PermanentError
from automate_core.ids import uuid7
from automate_core.redaction import redact
from automate_core.secrets import collect_secrets
from automate_core.steps import Wait
from automate_studio.canvas import graph_edit, node_data, records, sessions, trial_scope
from automate_studio.canvas.errors import MESSAGE, InvalidWorkflow, by_node
from automate_studio.canvas.sessions import Session

DEFAULT_ROUTE = "default"
SAVING_SECONDS = 15.0
"""How long, after the longest call, a session is held for what came of it to be saved."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who tries a node out: the name for the audit trail, the user if there is one, the key of the request if any."""

    id: str
    user: Any = None
    request_key: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A node in a session that is held for it, ready to be run and saved."""

    automation: Automation
    node: Mapping[str, Any]
    compiled: Compiled
    given: Mapping[str, Any]
    session: Session
    trial: Trial
    caller: Caller

    def told(self, outcome: Outcome, seen: Sequence[str] = ()) -> dict[str, Any]:
        """Return what the canvas is told about it, without the secrets that were seen."""
        told = {
            "success": outcome.has_succeeded,
            "node_id": self.node["id"],
            "node_type": self.node["type"],
            "input_data": redact(self.given, seen),
            "form_values": self.node["config"],
            "output": _output(outcome),
            "session_id": self.session.name,
        }
        if not outcome.has_succeeded:
            told |= {"error": outcome.error_message, "code": outcome.error_code}
        return told


LOST = Outcome(
    error_code=str(ErrorCodes.OUTCOME_UNKNOWN),
    error_message="The server stopped while the node ran; look whether it did what it does before you run it again",
)
"""What came of a node as far as anybody knows whose process went away while it called outside."""


def begin(
    automation: Automation,
    node_id: str,
    *,
    form_values: Mapping[str, Any] | None,
    input_data: Mapping[str, Any] | None,
    session_name: str | None,
    caller: Caller,
) -> Attempt | dict[str, Any]:
    """Fill in a node and run it, and return what the canvas is told; of one that calls outside, what `finish` takes.

    All of a node that calls nobody commits together: the form, the records, the session, and the writes of a
    database step. One that fails is an answer like any other, and undoes its own writes only. The form of a node
    that calls outside is kept before the call, and its session is leased: no transaction waits for a network.

    Args:
        automation: the workflow.
        node_id: id of the node in the drawn graph.
        form_values: its config; what is drawn when None.
        input_data: what templates see as `input`, and under the ids of nodes as their outputs; what the nodes before
            it gave last when None.
        session_name: the session to go on with, or to begin under that name; a new one when None.
        caller: who does it.

    Raises:
        NotFound: the workflow has no such node.
        InvalidWorkflow: the node cannot run like this, with every problem of its form.
        SessionBusy: another call in the session takes too long.
    """
    graph = drawn_graph(automation)
    drawn = graph_edit.find_node(graph, node_id)
    form = drawn.get("config") or {}
    node = {**drawn, "config": form if form_values is None else dict(form_values)}
    compiled = _compiled(graph, node)
    given = records.input_of(automation, graph, node_id) if input_data is None else dict(input_data)
    is_outside = calls_outside(compiled)
    with transaction.atomic():
        session = sessions.enter(
            automation,
            session_name or sessions.new_name(),
            owner=caller.id,
            lease_seconds=_longest(compiled) + SAVING_SECONDS if is_outside else None,
        )
        trial = Trial(
            tenant_id=automation.tenant_id,
            session_id=session.id,
            node_id=node_id,
            idempotency_key=_key(session, node_id, caller.request_key),
            trace_id=current_trace_id(),
            scope=trial_scope.scope_of(automation, graph, node_id, given, session),
            state=dict(session.state_of(node_id)),
        )
        attempt = Attempt(automation, node, compiled, given, session, trial, caller)
        told = None if is_outside else _run_inside(attempt)
        if node["config"] != form:
            graph_edit.change_node(
                automation, node_id, form_values=node["config"], by=caller.id, user=caller.user
            )
        return attempt if told is None else told


def finish(attempt: Attempt) -> dict[str, Any]:
    """Make the call of a node that calls outside, keep what came of it, and return what the canvas is told.

    Raises:
        NotFound: the workflow was deleted while the node ran.
        TooManyCalls: too many nodes are being tried out in this process; nothing was done.
    """
    try:
        with collect_secrets() as seen:
            outcome = run_alone(attempt.compiled, attempt.trial)
            with transaction.atomic():
                if not Automation.all_tenants.filter(pk=attempt.automation.pk).exists():
                    raise NotFound(f"Workflow {attempt.automation.slug!r} was deleted")
                return _keep(attempt, _remembered(attempt, outcome), seen)
    finally:
        sessions.release(attempt.session)


def _run_inside(attempt: Attempt) -> dict[str, Any]:
    """Run a node that calls nobody, in the transaction that keeps what came of it."""
    with collect_secrets() as seen:
        try:
            with transaction.atomic():
                outcome = run_alone(attempt.compiled, attempt.trial)
                if outcome.has_succeeded:
                    _remember(attempt, outcome)
        except PermanentError as error:
            outcome = _failed(error)
        return _keep(attempt, outcome, seen)


def _remembered(attempt: Attempt, outcome: Outcome) -> Outcome:
    """Keep in the session what a call left behind; what it did is done, but one that cannot be kept has failed."""
    try:
        if outcome.has_succeeded:
            _remember(attempt, outcome)
        return outcome
    except PermanentError as error:
        return _failed(error)


def _remember(attempt: Attempt, outcome: Outcome) -> None:
    """Keep in the session what the node set and needs again; raises PermanentError."""
    session = attempt.session
    if outcome.result is not None:
        session.variables.update(redact(dict(outcome.result.variables)))
    session.nodes[attempt.trial.node_id] = attempt.trial.state
    sessions.leave(session)


def _failed(error: PermanentError) -> Outcome:
    return Outcome(error_code=str(error.code), error_message=error.message)


def _keep(attempt: Attempt, outcome: Outcome, seen: Sequence[str]) -> dict[str, Any]:
    """Record what came of a node, and return what the canvas is told."""
    automation, node = attempt.automation, attempt.node
    told = attempt.told(outcome, seen)
    facts = {"node": node["id"], "type": node["type"], "success": outcome.has_succeeded}
    audit.record(
        actor=attempt.caller.id, action="node.execute", target=f"workflow:{automation.pk}", after=facts
    )
    node_data.save(
        automation,
        node["id"],
        form_values=node["config"],
        input_data=attempt.given,
        output_data=told["output"]["data"],
    )
    return told


def _compiled(graph: Mapping[str, Any], node: Mapping[str, Any]) -> Compiled:
    number = next(place for place, held in enumerate(graph["nodes"]) if held["id"] == node["id"])
    try:
        return compile_node(node, f"graph.nodes[{number}]")
    except InvalidNode as error:
        raise InvalidWorkflow.of(by_node(graph, error.details), MESSAGE) from error


def _longest(compiled: Compiled) -> float:
    return min(compiled.timeout_seconds, LONGEST_CALL_SECONDS)


def _key(session: Session, node_id: str, request_key: str | None) -> str:
    """Return the key an outside call sends: another one each time, but the same for a repeated request."""
    return hashlib.sha256(f"{session.id}/{node_id}/{request_key or uuid7()}".encode()).hexdigest()


def _output(outcome: Outcome) -> dict[str, Any]:
    if outcome.result is not None:
        return {"data": outcome.result.output, "route": outcome.result.route or DEFAULT_ROUTE}
    if outcome.wait is not None:
        return {"data": redact(outcome.wait.output), "route": None, "waiting": _waiting(outcome.wait)}
    return {"data": None, "route": None}


def _waiting(wait: Wait) -> dict[str, Any]:
    """Return what a node would wait for; nothing that would let anybody answer."""
    until = wait.until.isoformat() if wait.until is not None else None
    return {"for": _waits_for(wait), "seconds": wait.seconds, "until": until, "event_type": wait.event_type}


def _waits_for(wait: Wait) -> str:
    if wait.event_type is not None:
        return "event"
    if wait.token_hash is not None:
        return "webhook"
    return "answer" if wait.awaits else "time"
