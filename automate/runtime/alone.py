"""Runs one node alone, outside any execution: the same handler, templates, guards and limits, for who tries it out."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connections, transaction

from automate.graph.nodes import Compiled, draft_node
from automate.runtime.effects import hide_secrets, plain_result
from automate.runtime.plans import find_handler
from automate.runtime.retry import RetryPolicy, judge
from automate.runtime.scope import json_text
from automate_core.context import tenant_scope, trace_scope
from automate_core.errors import AutomateError, ErrorCodes, Problem, TransientError, ValidationFailed
from automate_core.secrets import collect_secrets
from automate_core.steps import Effect, StepContext, StepResult, Wait

logger = logging.getLogger(__name__)

LONGEST_CALL_SECONDS = 60.0
"""Longest a node tried out alone may take, whatever it asks for: somebody waits for it."""
CALLS = 16
"""Outside calls a process makes at once for nodes tried out, those that never return included."""
_ONCE = RetryPolicy(max_attempts=1)

_slots = threading.BoundedSemaphore(CALLS)


class InvalidNode(ValidationFailed):
    """The node is not filled in as its type demands."""


class TooManyCalls(TransientError):
    """Too many nodes are being tried out; try again shortly."""

    code = ErrorCodes.SERVICE_UNAVAILABLE


@dataclass(frozen=True, slots=True)
class Trial:
    """Where a node is tried out: what it sees, and who it is to the outside.

    `state` is what the node keeps from call to call; it may be changed.
    """

    tenant_id: UUID
    session_id: UUID
    node_id: str
    idempotency_key: str
    trace_id: str
    scope: Mapping[str, Any]
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a node: a result, what it would wait for, or an error; without secrets."""

    result: StepResult | None = None
    wait: Wait | None = None
    error_code: str = ""
    error_message: str = ""

    @property
    def has_succeeded(self) -> bool:
        """Whether the node did what it is for, or would wait as it should."""
        return not self.error_code


def compile_node(node: Mapping[str, Any], where: str = "") -> Compiled:
    """Return a node ready to run; raises InvalidNode with every problem, fields beginning with `where`."""
    problems: list[Problem] = []
    draft = draft_node(
        where, node, find_handler, lambda name, message: problems.append(Problem(name, message))
    )
    if draft is None or draft.compiled is None:
        raise InvalidNode.of(problems)
    return draft.compiled


def calls_outside(compiled: Compiled) -> bool:
    """Tell whether a node may wait for somebody else, so that no transaction should be open while it runs."""
    return compiled.effect not in (Effect.PURE, Effect.DATABASE)


def run_alone(compiled: Compiled, trial: Trial) -> Outcome:
    """Run a node now and return what came of it; nothing is recorded.

    What it does to the world it really does. A database step's writes belong to the transaction around this call,
    and are undone when it fails. An outside call has a connection of its own, and is given up after the node's
    timeout, at most 60 seconds.

    Raises:
        TooManyCalls: no slot is free for an outside call.
    """
    with tenant_scope(trial.tenant_id), trace_scope(trial.trace_id), collect_secrets() as seen:
        try:
            if compiled.effect is not Effect.DATABASE:
                return _outcome(compiled, trial, seen)
            with transaction.atomic():
                return _outcome(compiled, trial, seen)
        except TooManyCalls:
            raise
        except Exception as error:
            # Told to whoever tries the node out.
            hide_secrets(error, seen)
            if not isinstance(error, AutomateError):
                logger.warning("node.crashed", exc_info=error, extra={"node_type": compiled.type})
            verdict = judge(error, tries=1, effect=compiled.effect, policy=_ONCE)
            return Outcome(error_code=verdict.code, error_message=verdict.message)


def _outcome(compiled: Compiled, trial: Trial, seen: Sequence[str]) -> Outcome:
    """Run the node; raises when it fails, or gives what could not be recorded."""
    result = plain_result(_perform(compiled, trial), compiled.type, seen)
    if isinstance(result, Wait):
        return Outcome(wait=result)
    json_text(result.output)
    return Outcome(result)


def _perform(compiled: Compiled, trial: Trial) -> StepResult | Wait:
    config = {**compiled.template.render(trial.scope), **compiled.raw}
    timeout = min(compiled.timeout_seconds, LONGEST_CALL_SECONDS)
    context = StepContext(
        tenant_id=trial.tenant_id,
        execution_id=trial.session_id,
        path=trial.node_id,
        attempt=1,
        idempotency_key=trial.idempotency_key,
        trace_id=trial.trace_id,
        scope=trial.scope,
        prepared=compiled.prepared,
        timeout_seconds=timeout,
    )

    def call() -> StepResult | Wait:
        return compiled.handler.run_alone(config, context, trial.state)

    return _call_outside(call, timeout) if calls_outside(compiled) else call()


def _call_outside(call: Callable[[], StepResult | Wait], timeout: float) -> StepResult | Wait:
    """Make a call on a thread of its own, with a connection of its own, and give it up when it takes too long."""
    if not _slots.acquire(blocking=False):
        raise TooManyCalls(performed=False, retry_after_seconds=1)
    outcome: list[StepResult | Wait | BaseException] = []
    carried = contextvars.copy_context()

    def work() -> None:
        try:
            outcome.append(carried.run(call))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            outcome.append(error)
        finally:
            connections.close_all()
            _slots.release()

    thread = threading.Thread(target=work, name="automate-trial", daemon=True)
    thread.start()
    thread.join(timeout)
    if not outcome:
        raise TransientError(
            ErrorCodes.TIMEOUT, f"The call did not answer within {timeout:g} s", performed=None
        )
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]
