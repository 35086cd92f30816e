"""Resume tokens: derived from a step's place, so that they are known before the step waits; only hashes are stored."""

from __future__ import annotations

import base64
import hashlib
from uuid import UUID

from django.db import transaction
from django.utils.crypto import salted_hmac

from automate.executions import signals
from automate.executions.signals import Answer, NothingWaits
from automate_core import audit, sql
from automate_core.context import tenant_scope
from automate_core.errors import NotFound

MARK = "rsm_"
"""What every resume token begins with; redaction knows it by that."""

_PURPOSE = "automate.waits.resume"

_IN_TIME = """
SELECT tenant_id FROM automate_steprun
WHERE wake_token = %(token)s AND status = 'WAITING' AND (wake_at IS NULL OR wake_at > clock_timestamp())
"""


class UnknownToken(NotFound):
    """Nothing waits for this link: it is wrong, was used, or ran out."""


def resume_token(execution_id: UUID | str, path: str) -> str:
    """Return the token of the step at a path of an execution.

    It is HMAC-SHA256 (RFC 2104) under a key derived from SECRET_KEY for this purpose alone, in base64url.
    """
    place = f"{UUID(str(execution_id))}/{path}"
    digest = salted_hmac(_PURPOSE, place, algorithm="sha256").digest()
    return MARK + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def token_hash(token: str) -> str:
    """Return what is stored of a token: hex SHA-256. The token is random enough to need no salt."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def resume(token: str, answer: Answer) -> str:
    """Answer the step that waits for a token, once, and return its execution's id.

    Raises:
        UnknownToken: no step waits for it; nothing tells a used or expired token from one that never was.
    """
    digest = token_hash(token)
    waiting = sql.execute(_IN_TIME, {"token": digest})
    if not waiting:
        raise UnknownToken
    with transaction.atomic(), tenant_scope(waiting[0][0]):
        try:
            execution_id = signals.answer_token(digest, answer)
        except NothingWaits:
            raise UnknownToken from None
        audit.record(
            actor="link",
            action="execution.resume_link",
            target=f"execution:{execution_id}",
            after={"token": digest[:12]},
        )
    return execution_id
