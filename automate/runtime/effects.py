"""Performs outside calls on threads, so that one slow answer holds up nothing but its own execution."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from django.db import Error as DatabaseError
from django.db import connection, transaction

from automate.runtime.run import Call
from automate_core.context import Cause, cause_scope, tenant_scope, trace_scope
from automate_core.errors import AutomateError, PermanentError
from automate_core.redaction import redact
from automate_core.secrets import collect_secrets
from automate_core.steps import Effect, StepResult, Wait

logger = logging.getLogger(__name__)

Deliver = Callable[[Call, "StepResult | Wait | Exception"], None]


class Effects:
    """A fixed number of slots for outside calls.

    Args:
        slots: calls at the same time.
        deliver: called on the effect's thread with the call and its result or error.
        commit: writes a database step's success inside the open transaction; raises when the lease is lost.
        allowed: tells, just before a call, whether the lease still runs.
    """

    def __init__(
        self,
        slots: int,
        *,
        deliver: Deliver,
        commit: Callable[[Call, StepResult], None],
        allowed: Callable[[Call], bool],
    ) -> None:
        self.slots = slots
        self._busy = 0
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="automate-effect")
        self._deliver, self._commit, self._allowed = deliver, commit, allowed

    @property
    def free(self) -> int:
        """Slots without a call, abandoned calls counted as busy until they return."""
        return self.slots - self._busy

    def start(self, call: Call) -> None:
        """Begin a call whose intent is committed."""
        with self._lock:
            self._busy += 1
        self._pool.submit(self._perform, call)

    def close(self) -> None:
        """Stop taking calls; running ones are left to end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _perform(self, call: Call) -> None:
        outcome: StepResult | Wait | Exception
        try:
            if not self._allowed(call):
                return
            outcome = self._call(call)
        except AutomateError as error:
            outcome = error
        except Exception as error:
            logger.exception("step.crashed", extra={"step": call.node.key, "execution": call.run.row.id})
            outcome = error
        finally:
            with self._lock:
                self._busy -= 1
        self._deliver(call, outcome)

    def _call(self, call: Call) -> StepResult | Wait:
        context = call.context
        cause = Cause(context.execution_id, call.run.row.depth + 1)
        with (
            tenant_scope(context.tenant_id),
            trace_scope(context.trace_id),
            cause_scope(cause),
            collect_secrets() as seen,
        ):
            if call.node.effect is Effect.DATABASE:
                return self._in_transaction(call)
            try:
                result = call.node.handler.run(call.config, context)
            except AutomateError as error:
                if seen:
                    error.message = str(redact(error.message, seen))
                raise
            finally:
                _keep_connection_usable()
        return _plain(result, seen)

    def _in_transaction(self, call: Call) -> StepResult:
        try:
            with transaction.atomic():
                result = call.node.handler.run(call.config, call.context)
                if isinstance(result, Wait):
                    raise PermanentError("A database step cannot wait")
                plain = _plain(result, ())
                assert isinstance(plain, StepResult)
                self._commit(call, plain)
            return plain
        finally:
            _keep_connection_usable()


def _plain(result: StepResult | Wait, seen: Any) -> StepResult | Wait:
    """Return the result as JSON would give it back, secrets removed: what is recorded is what later steps see."""
    if isinstance(result, Wait):
        return result
    try:
        output = orjson.loads(orjson.dumps(result.output))
    except (TypeError, ValueError) as error:
        raise PermanentError(f"The step's output is not JSON: {error}") from error
    return StepResult(redact(output, seen), result.route, result.variables)


def _keep_connection_usable() -> None:
    try:
        connection.close_if_unusable_or_obsolete()
    except DatabaseError:
        connection.close()
