"""The error tree every package hangs its own errors on, and the codes a client may see.

AutomateError
├── ValidationFailed      the caller sent something wrong; carries a list of field problems
├── NotFound              the thing does not exist, or belongs to another tenant
├── Conflict              the thing is in a state that does not allow this
├── AccessDenied          the caller may not do this
├── TenantRequired        no tenant in context and no default tenant configured
├── TransientError        may succeed later; a retry is sensible
│   └── NotYet            not begun, for it has to wait first; not counted as a try
└── PermanentError        will never succeed; a retry is not
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class ErrorCodes(StrEnum):
    """Machine-readable codes of the `error.code` field and of failed steps."""

    VALIDATION_ERROR = "VALIDATION_ERROR"
    INVALID_REQUEST = "INVALID_REQUEST"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    CONFLICT = "CONFLICT"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    RATE_LIMITED = "RATE_LIMITED"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    INTERNAL = "INTERNAL_ERROR"
    TRANSIENT = "TRANSIENT_ERROR"
    PERMANENT = "PERMANENT_ERROR"
    TIMEOUT = "TIMEOUT"
    TEMPLATE_ERROR = "TEMPLATE_ERROR"
    RULE_ERROR = "RULE_ERROR"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    CHILD_FAILED = "CHILD_FAILED"
    LOOP_LIMIT = "LOOP_LIMIT"
    WORKER_LOST = "WORKER_LOST"
    DROPPED = "DROPPED"
    REPLACED = "REPLACED"
    TENANT_REQUIRED = "TENANT_REQUIRED"


@dataclass(frozen=True, slots=True)
class Problem:
    """One wrong field: where it is (dotted, with [n] for list items) and what to do about it.

    `node` is the id of the node of a graph the field belongs to, where errors are told node by node.
    """

    field: str
    message: str
    node: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the shape used in `error.details`."""
        return {"field": self.field, "message": self.message}


class AutomateError(Exception):
    """Something went wrong."""

    code: str = ErrorCodes.INTERNAL

    def __init__(self, *args: Any, details: Sequence[Problem] = (), **extra: Any) -> None:
        """Accept `(message)` or `(code, message)`; without a message the class docstring is the message.

        Args:
            args: nothing, one message, or a code from ErrorCodes followed by a message.
            details: problems by field, shown to the caller.
            extra: named facts kept on the error (`retry_after_seconds=...`), never secrets.
        """
        if len(args) >= 2:
            self.code = str(args[0])
            message = str(args[1])
        else:
            message = str(args[0]) if args else (self.__doc__ or "").strip().splitlines()[0]
        super().__init__(message)
        self.message = message
        self.details = tuple(details)
        self.extra: Mapping[str, Any] = extra


class ValidationFailed(AutomateError):
    """Invalid input."""

    code = ErrorCodes.VALIDATION_ERROR

    @classmethod
    def of(cls, problems: Sequence[Problem], message: str = "Invalid input") -> ValidationFailed:
        """Build the error from the problems found."""
        return cls(message, details=problems)


class NotFound(AutomateError):
    """Not found."""

    code = ErrorCodes.NOT_FOUND


class Conflict(AutomateError):
    """The current state does not allow this."""

    code = ErrorCodes.CONFLICT


class AccessDenied(AutomateError):
    """Access denied."""

    code = ErrorCodes.FORBIDDEN


class TenantRequired(AutomateError):
    """No tenant is in context and no default tenant is configured; open one with tenant_scope()."""

    code = ErrorCodes.TENANT_REQUIRED


class TransientError(AutomateError):
    """A temporary failure; trying again later may succeed."""

    code = ErrorCodes.TRANSIENT

    @property
    def performed(self) -> bool | None:
        """Whether the call took effect: False certainly not, True it was answered, None nobody knows."""
        return self.extra.get("performed")

    @property
    def retry_after_seconds(self) -> float | None:
        """The wait the other side asked for, in seconds, when it asked."""
        return self.extra.get("retry_after_seconds")


class NotYet(TransientError):
    """Nothing was done, for the call has to wait its turn; it is begun again later, not counted as a try.

    Args:
        seconds: how long to wait before beginning again.
        message: why, for whoever reads the record.
    """

    code = ErrorCodes.RATE_LIMITED

    def __init__(self, seconds: float, message: str = "") -> None:
        super().__init__(
            message or f"Has to wait {seconds:g} s", performed=False, retry_after_seconds=seconds
        )
        self.seconds = seconds


class PermanentError(AutomateError):
    """A failure that trying again cannot cure."""

    code = ErrorCodes.PERMANENT
