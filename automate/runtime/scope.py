"""What a step sees, the key it sends, and how its data is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

from automate.executions.rows import ExecutionRow
from automate_core.errors import ErrorCodes, PermanentError

MAX_OUTPUT_BYTES = 4_000_000


def idempotency_key(execution_id: str | UUID, path: str) -> str:
    """Return the key every attempt of a step sends: hex sha256 of "execution id/path"."""
    return hashlib.sha256(f"{execution_id}/{path}".encode()).hexdigest()


def new_scope(*, event: Mapping[str, Any], row: ExecutionRow, workflow: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain data a run's templates and rules see, before any step."""
    return {
        "event": event,
        "input": event["payload"],
        "variables": {},
        "steps": {},
        "execution": {"id": row.id, "trace_id": row.trace_id},
        "workflow": workflow,
    }


def json_text(value: Any) -> str | None:
    """Return a step's data as JSON text; raises PermanentError when it is not JSON or too large."""
    if value is None:
        return None
    try:
        encoded = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise PermanentError(f"The step's data is not JSON: {error}") from error
    if len(encoded) > MAX_OUTPUT_BYTES:
        raise PermanentError(
            ErrorCodes.PAYLOAD_TOO_LARGE,
            f"The step's data is {len(encoded)} bytes; at most {MAX_OUTPUT_BYTES} are kept",
        )
    return encoded.decode()
