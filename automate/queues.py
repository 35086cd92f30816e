"""Named queues: writing and reading commit with the step that does it, so each message is read exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson

from automate_core import sql
from automate_core.arrays import plain, quoted
from automate_core.errors import ErrorCodes, PermanentError, TransientError
from automate_core.redaction import redact

MAX_MESSAGES = 100_000
"""Most messages that wait in one queue."""
MAX_MESSAGE_BYTES = 256_000
MAX_BATCH = 100
"""Most messages that are written, or read, at once."""
BATCH_BYTES = 2_000_000
"""Reading stops after the message that makes the batch this large, so that it fits into a step's output."""

_HAS_ROOM = """
SELECT NOT EXISTS (SELECT 1 FROM automate_queuemessage WHERE tenant_id = %(tenant)s AND queue = %(queue)s
  ORDER BY id OFFSET %(offset)s LIMIT 1)
"""

_WRITE = """
INSERT INTO automate_queuemessage (tenant_id, queue, body, size, written_by)
SELECT %(tenant)s, %(queue)s, g.body::jsonb, g.size, %(written_by)s
FROM unnest(%(bodies)s::text[], %(sizes)s::int4[]) WITH ORDINALITY AS g(body, size, place) ORDER BY g.place
"""

# What another reader holds is passed over; it comes back when that reader's transaction fails.
_READ = """
WITH free AS MATERIALIZED (
  SELECT id, size FROM automate_queuemessage WHERE tenant_id = %(tenant)s AND queue = %(queue)s
  ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED),
running AS (SELECT id, size, sum(size) OVER (ORDER BY id) AS total FROM free),
gone AS (
  DELETE FROM automate_queuemessage m USING running r
  WHERE m.tenant_id = %(tenant)s AND m.queue = %(queue)s AND m.id = r.id AND r.total - r.size < %(bytes)s
  RETURNING m.id, m.body::text)
SELECT body FROM gone ORDER BY id
"""


class QueueFull(TransientError):
    """The queue has as many messages as it may; it takes more when some have been read."""


def write(queue: str, bodies: Sequence[Any], *, tenant_id: UUID, written_by: UUID | None = None) -> None:
    """Add messages to the end of a queue, within the transaction that is open.

    Args:
        queue: name of the queue; it need not exist.
        bodies: 1 to 100 messages, any JSON; secrets in them are hidden.
        tenant_id: whose queue it is.
        written_by: execution that writes.

    Raises:
        QueueFull: there is no room for them.
        PermanentError: a message is larger than 256,000 bytes.
    """
    texts = [orjson.dumps(redact(body), option=orjson.OPT_NON_STR_KEYS) for body in bodies]
    if any(len(text) > MAX_MESSAGE_BYTES for text in texts):
        raise PermanentError(
            ErrorCodes.PAYLOAD_TOO_LARGE,
            f"A message has at most {MAX_MESSAGE_BYTES} bytes; send less, or a reference",
        )
    place = {"tenant": tenant_id, "queue": queue}
    if not sql.execute(_HAS_ROOM, {**place, "offset": MAX_MESSAGES - len(texts)})[0][0]:
        raise QueueFull(
            f"The queue {queue!r} has no room for {len(texts)} more; it holds {MAX_MESSAGES} messages at most",
            performed=False,
        )
    sizes = plain(len(text) for text in texts)
    bodies_text = quoted(text.decode() for text in texts)
    sql.execute(_WRITE, {**place, "bodies": bodies_text, "sizes": sizes, "written_by": written_by})


def read(queue: str, *, limit: int, tenant_id: UUID) -> list[Any]:
    """Take up to `limit` messages from the front of a queue, within the transaction that is open.

    Messages another transaction is taking are passed over. At about 2 MB fewer are taken.
    """
    params = {"tenant": tenant_id, "queue": queue, "limit": limit, "bytes": BATCH_BYTES}
    return [orjson.loads(row[0]) for row in sql.execute(_READ, params)]
