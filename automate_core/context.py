"""What a piece of work carries with it: its tenant, its trace id, and the execution that caused it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Cause:
    """The execution from inside which something is emitted, and how deep the chain is."""

    execution_id: UUID
    depth: int


_tenant: ContextVar[UUID | None] = ContextVar("automate_tenant", default=None)
_trace: ContextVar[str | None] = ContextVar("automate_trace", default=None)
_cause: ContextVar[Cause | None] = ContextVar("automate_cause", default=None)

_TRACE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def tenant_in_context() -> UUID | None:
    """Return the tenant id put in context by `tenant_scope`, if any."""
    return _tenant.get()


@contextmanager
def tenant_scope(tenant_id: UUID) -> Iterator[None]:
    """Run the block as one tenant: managers filter by it and new rows belong to it."""
    token = _tenant.set(tenant_id)
    try:
        yield
    finally:
        _tenant.reset(token)


def current_trace_id() -> str:
    """Return the trace id in context; a new one when there is none."""
    return _trace.get() or new_trace_id()


def trace_in_context() -> str | None:
    """Return the trace id in context, if any."""
    return _trace.get()


@contextmanager
def trace_scope(trace_id: str) -> Iterator[None]:
    """Run the block under one trace id: logs, rows and responses carry it."""
    token = _trace.set(trace_id)
    try:
        yield
    finally:
        _trace.reset(token)


def new_trace_id() -> str:
    """Return a random trace id in the W3C form: 32 lowercase hex digits."""
    return secrets.token_hex(16)


def accepted_trace_id(trace_id: str | None, traceparent: str | None = None) -> str:
    """Return the caller's trace id if it is well formed, else that of `traceparent`, else a new one.

    Args:
        trace_id: value of `X-Trace-ID`; 1 to 64 letters, digits, `_.:-`.
        traceparent: value of the W3C Trace Context header `traceparent`, version 00.
    """
    if trace_id and _TRACE_ID.fullmatch(trace_id):
        return trace_id
    match = _TRACEPARENT.fullmatch(traceparent or "")
    return match[1] if match else new_trace_id()


def current_cause() -> Cause | None:
    """Return the execution this code runs inside of, if any."""
    return _cause.get()


@contextmanager
def cause_scope(cause: Cause) -> Iterator[None]:
    """Run the block as part of an execution: events emitted inside name it as their cause."""
    token = _cause.set(cause)
    try:
        yield
    finally:
        _cause.reset(token)
