"""Performs outside calls on threads, so that one slow answer holds up nothing but its own execution."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection, transaction

from automate.runtime.calls import Call
from automate_core.context import Cause, cause_scope, tenant_scope, trace_scope
from automate_core.errors import AutomateError, PermanentError, Problem, TransientError
from automate_core.outbox.base import LeaseLost
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
        commit: Callable[[Call, StepResult | Wait], None],
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
                # Recorded only if the lease was renewed in the meantime; the step is then tried again.
                raise TransientError("The lease ended before the call", performed=False)
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
            try:
                if call.node.effect is Effect.DATABASE:
                    return self._in_transaction(call, seen)
                return plain_result(call.node.handler.run(call.config, context), call.node.type, seen)
            except Exception as error:
                hide_secrets(error, seen)
                raise
            finally:
                context.live.close()
                _keep_connection_usable()

    def _in_transaction(self, call: Call, seen: Sequence[str]) -> StepResult | Wait:
        """Run a database step; an error that comes after its commit does not make it fail."""
        result: StepResult | Wait | None = None
        committed: list[bool] = []
        try:
            with transaction.atomic():
                transaction.on_commit(lambda: committed.append(True))
                result = plain_result(call.node.handler.run(call.config, call.context), call.node.type, seen)
                self._commit(call, result)
        except (OperationalError, InterfaceError) as error:
            if result is not None and not committed:
                # Whether the commit reached the server is on record; the next worker to hold the lease reads it.
                raise LeaseLost("The database went away while the step committed") from error
            if not committed:
                raise
            logger.exception("step.after_commit_failed", extra={"step": call.node.key})
        except Exception:
            if not committed:
                raise
            logger.exception("step.after_commit_failed", extra={"step": call.node.key})
        assert result is not None
        return result


def plain_result(result: Any, kind: str, seen: Sequence[str]) -> StepResult | Wait:
    """Return the result as JSON would give it back, secrets removed: what is recorded is what later steps see."""
    if isinstance(result, Wait):
        return result
    if not isinstance(result, StepResult):
        raise PermanentError(f"{kind} returned {type(result).__name__}; return a StepResult or a Wait")
    try:
        output = orjson.loads(orjson.dumps(result.output))
    except TypeError:
        # Lone surrogates and numbers beyond 64 bits are JSON all the same; redaction makes them storable.
        try:
            output = json.loads(json.dumps(result.output))
        except (TypeError, ValueError, RecursionError) as error:
            raise PermanentError(f"The step's output is not JSON: {error}") from error
    variables = redact(dict(result.variables), seen) if result.variables else {}
    return StepResult(redact(output, seen), result.route, variables)


def hide_secrets(error: Exception, seen: Sequence[str]) -> None:
    """Remove secrets resolved during the call from an error that is about to be recorded and logged."""
    if not seen:
        return
    error.args = tuple(redact(item, seen) if isinstance(item, str) else item for item in error.args)
    if isinstance(error, AutomateError):
        error.message = redact(error.message, seen)
        error.details = tuple(Problem(one.field, redact(one.message, seen)) for one in error.details)


def _keep_connection_usable() -> None:
    try:
        connection.close_if_unusable_or_obsolete()
    except DatabaseError:
        connection.close()
