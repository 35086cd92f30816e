"""What a linter says: a finding with its code, its place and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is: an error keeps the workflow from running, a warning does not."""

    WARNING = "warning"
    ERROR = "error"

    def reaches(self, other: Severity) -> bool:
        """Tell whether this is at least as bad as `other`."""
        return self is Severity.ERROR or other is Severity.WARNING


class Codes(StrEnum):
    """Machine-readable names of what the linter finds."""

    INVALID = "invalid"
    UNREACHABLE = "unreachable"
    ROUTES_UNCONNECTED = "routes_unconnected"
    UNUSED_OUTPUT = "unused_output"
    MISSING_TIMEOUT = "missing_timeout"
    WAIT_WITHOUT_TIMEOUT = "wait_without_timeout"
    RETRY_NOT_IDEMPOTENT = "retry_not_idempotent"
    UNGUARDED_CALL_IN_LOOP = "unguarded_call_in_loop"
    UNKNOWN_PATH = "unknown_path"
    STEP_NOT_BEFORE = "step_not_before"
    UNKNOWN_SECRET = "unknown_secret"  # noqa: S105
    UNKNOWN_CONNECTION = "unknown_connection"
    UNKNOWN_WORKFLOW = "unknown_workflow"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found: `field` is as in the REST body, `node` the node's id or empty, `message` what to do."""

    code: str
    node: str
    field: str
    message: str
    severity: Severity = Severity.WARNING

    def as_dict(self) -> dict[str, str]:
        """Return the shape used in the `warnings` of a check and in the command's JSON."""
        return {
            "code": str(self.code),
            "node": self.node,
            "field": self.field,
            "message": self.message,
            "severity": str(self.severity),
        }
