"""Development mode: one node is filled in, run alone, and what came of it is kept. Its effects are real."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from automate.drawings import drawn_graph
from automate.graph.loops import BODY_HANDLE
from automate.graph.nodes import Compiled
from automate.models import Automation
from automate.runtime.alone import InvalidNode, Outcome, Trial, compile_node, run_alone
from automate.runtime.plans import find_handler
from automate.waits.links import resume_links
from automate.waits.steps import WaitForWebhookStep
from automate_core import audit
from automate_core.context import current_trace_id
from automate_core.errors import PermanentError
from automate_core.ids import uuid7
from automate_core.redaction import redact
from automate_core.secrets import collect_secrets
from automate_core.steps import Wait, folded
from automate_studio.canvas import graph_edit, node_data, records, sessions
from automate_studio.canvas.errors import MESSAGE, InvalidWorkflow, by_node
from automate_studio.canvas.sessions import Session

DEFAULT_ROUTE = "default"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who tries a node out: the name for the audit trail, the user if there is one, the key of the request if any."""

    id: str
    user: Any = None
    request_key: str | None = None


def execute_and_save(
    automation: Automation,
    node_id: str,
    *,
    form_values: Mapping[str, Any] | None,
    input_data: Mapping[str, Any] | None,
    session_name: str | None,
    caller: Caller,
) -> dict[str, Any]:
    """Fill in a node, run it, and keep what it was run with and what it gave; return what the canvas is told.

    Everything commits together: the form, the records, the session, and the writes of a database step. A node that
    fails is an answer like any other, and undoes its own writes only.

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
        TooManyCalls: too many nodes are being tried out in this process.
    """
    graph = drawn_graph(automation)
    drawn = graph_edit.find_node(graph, node_id)
    node = {**drawn, "config": drawn.get("config") or {} if form_values is None else dict(form_values)}
    compiled = _compiled(graph, node)
    given = records.input_of(automation, graph, node_id) if input_data is None else dict(input_data)
    name = session_name or sessions.new_name()
    with transaction.atomic(), collect_secrets() as seen:
        session = sessions.enter(automation, name, owner=caller.id)
        trial = Trial(
            tenant_id=automation.tenant_id,
            session_id=session.id,
            node_id=node_id,
            idempotency_key=_key(session, node_id, caller.request_key),
            trace_id=current_trace_id(),
            scope=_scope(automation, graph, node_id, given, session),
            state=dict(session.state_of(node_id)),
        )
        outcome = _run(compiled, trial, session)
        output = _output(outcome)
        if node["config"] != (drawn.get("config") or {}):
            graph_edit.change_node(
                automation, node_id, form_values=node["config"], by=caller.id, user=caller.user
            )
        facts = {"node": node_id, "type": node["type"], "success": outcome.has_succeeded}
        audit.record(actor=caller.id, action="node.execute", target=f"workflow:{automation.pk}", after=facts)
        node_data.save(
            automation, node_id, form_values=node["config"], input_data=given, output_data=output["data"]
        )
        return {
            "success": outcome.has_succeeded,
            "node_id": node_id,
            "node_type": node["type"],
            "input_data": redact(given, seen),
            "form_values": node["config"],
            "output": output,
            "session_id": name,
            **_failure(outcome),
        }


def _compiled(graph: Mapping[str, Any], node: Mapping[str, Any]) -> Compiled:
    number = next(place for place, held in enumerate(graph["nodes"]) if held["id"] == node["id"])
    try:
        return compile_node(node, f"graph.nodes[{number}]")
    except InvalidNode as error:
        raise InvalidWorkflow.of(by_node(graph, error.details), MESSAGE) from error


def _run(compiled: Compiled, trial: Trial, session: Session) -> Outcome:
    """Run the node and keep in the session what it set and needs again; one that keeps too much has failed."""
    try:
        with transaction.atomic():
            outcome = run_alone(compiled, trial)
            if outcome.has_succeeded:
                if outcome.result is not None:
                    session.variables.update(redact(dict(outcome.result.variables)))
                session.nodes[trial.node_id] = trial.state
                sessions.leave(session)
            return outcome
    except PermanentError as error:
        return Outcome(error_code=str(error.code), error_message=error.message)


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


def _failure(outcome: Outcome) -> dict[str, Any]:
    if outcome.has_succeeded:
        return {}
    return {"error": outcome.error_message, "code": outcome.error_code}


def _key(session: Session, node_id: str, request_key: str | None) -> str:
    """Return the key an outside call sends: another one each time, but the same for a repeated request."""
    return hashlib.sha256(f"{session.id}/{node_id}/{request_key or uuid7()}".encode()).hexdigest()


def _scope(
    automation: Automation,
    graph: Mapping[str, Any],
    node_id: str,
    given: Mapping[str, Any],
    session: Session,
) -> dict[str, Any]:
    """Return what the node's templates and rules see."""
    known = {held["id"] for held in graph["nodes"]}
    outputs = records.outputs_of(automation, _before(graph, node_id))
    outputs |= {key: value for key, value in given.items() if key in known}
    live = automation.live_version
    scope: dict[str, Any] = {
        "event": {"id": None, "type": "manual", "source": "", "payload": given},
        "input": given,
        "variables": session.variables,
        "steps": {key: {"output": output, "status": "SUCCESS"} for key, output in outputs.items()},
        "execution": {"id": str(session.id), "trace_id": current_trace_id()},
        "workflow": {
            "id": str(automation.pk),
            "name": automation.name,
            "slug": automation.slug,
            "version": live.number if live else 0,
        },
    }
    links = {held["id"] for held in graph["nodes"] if folded(str(held["type"])) == WaitForWebhookStep.type}
    if links:
        scope["resume"] = resume_links(session.id, "", links)
    for loop in _loops_around(graph, node_id):
        facts = outputs.get(loop)
        if isinstance(facts, Mapping) and "index" in facts:
            scope["index"] = facts["index"]
            scope["loop"] = {"results": [], "last": None, **facts}
            if "item" in facts:
                scope["item"] = facts["item"]
    return scope


def _before(graph: Mapping[str, Any], node_id: str) -> set[str]:
    """Return the nodes some way leads from to this one."""
    found: set[str] = set()
    waiting = [node_id]
    while waiting:
        for source in graph_edit.sources_of(graph, waiting.pop()):
            if source not in found and isinstance(source, str):
                found.add(source)
                waiting.append(source)
    return found - {node_id}


def _loops_around(graph: Mapping[str, Any], node_id: str) -> Iterator[str]:
    """Yield the loops whose body a node is in, the outermost first."""
    following: dict[Any, list[Any]] = {}
    for edge in graph["edges"]:
        source, target = graph_edit.ends(edge)
        following.setdefault(source, []).append(target)
    bodies: dict[str, set[Any]] = {}
    for node in graph["nodes"]:
        handler = find_handler(str(node["type"]))
        if handler is None or not handler.is_loop:
            continue
        heads = [
            graph_edit.ends(edge)[1]
            for edge in graph["edges"]
            if graph_edit.ends(edge)[0] == node["id"] and edge.get("source_handle") == BODY_HANDLE
        ]
        bodies[node["id"]] = _reached(heads, following, without=node["id"])
    around = [loop for loop, body in bodies.items() if node_id in body]
    yield from sorted(around, key=lambda loop: len(bodies[loop]), reverse=True)


def _reached(heads: list[Any], following: Mapping[Any, list[Any]], *, without: str) -> set[Any]:
    found: set[Any] = set()
    waiting = list(heads)
    while waiting:
        key = waiting.pop()
        if key != without and key not in found:
            found.add(key)
            waiting.extend(following.get(key, ()))
    return found
