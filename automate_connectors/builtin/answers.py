"""What an HTTP status means for a step: success, try again later, or never."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from automate_core.errors import PermanentError, Problem, TransientError
from automate_core.http import Response
from automate_core.redaction import redact_text
from automate_core.revealed import revealed_secrets

EXCERPT = 500
"""Characters of a failed response's body kept with the error."""

# The server did not take the request on: too many requests (429), too early (425), gave up waiting (408).
_NOT_PERFORMED = frozenset({408, 425, 429})
# A gateway lost sight of the request: what is behind it may have done it or not.
_OUTCOME_UNKNOWN = frozenset({502, 504})


def raise_for_status(response: Response, *, accepted: Collection[int] = ()) -> None:
    """Raise for a status of 400 or more that is not accepted.

    Raises:
        TransientError: 408, 425, 429 and 5xx, with the wait asked for by Retry-After.
        PermanentError: any other; repeating the request as it is will not help.
    """
    status = response.status
    if status < 400 or status in accepted:
        return
    # Redacted before it is cut: half a secret is not found any more, and still worth having.
    excerpt = redact_text(response.text(), revealed_secrets())[:EXCERPT].strip()
    message = f"The server answered with status {status}"
    details = [Problem("response", excerpt)] if excerpt else []
    if status not in _NOT_PERFORMED and status < 500:
        raise PermanentError(message, details=details, status=status, body=excerpt)
    performed = False if status in _NOT_PERFORMED else None if status in _OUTCOME_UNKNOWN else True
    raise TransientError(
        message,
        details=details,
        status=status,
        body=excerpt,
        performed=performed,
        retry_after_seconds=retry_after_seconds(
            response.headers.get("retry-after", ""), now=datetime.now(UTC)
        ),
    )


def retry_after_seconds(value: str, *, now: datetime) -> float | None:
    """Return the wait in seconds a Retry-After header asks for (RFC 9110, section 10.2.3), if it does."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, IndexError, TypeError):
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())
