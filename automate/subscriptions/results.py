"""How the calls of subscriptions ended, as their rows show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from automate_core import sql
from automate_core.arrays import plain, quoted
from automate_core.outbox.base import ClaimedItem

# Locked in one order: two workers with the same subscriptions wait and never deadlock.
_NOTE = """
WITH given AS (
  SELECT * FROM unnest(%(ids)s::uuid[], %(statuses)s::int2[], %(errors)s::text[], %(oks)s::bool[], %(failures)s::int4[])
    AS g(id, status, error, ok, failures)),
locked AS MATERIALIZED (
  SELECT w.id FROM automate_webhooksubscription w WHERE w.id = ANY(%(ids)s::uuid[]) ORDER BY w.id FOR UPDATE)
UPDATE automate_webhooksubscription w SET
  last_status = g.status, last_error = g.error, last_attempt_at = statement_timestamp(),
  last_success_at = CASE WHEN g.ok THEN statement_timestamp() ELSE w.last_success_at END,
  failures = CASE WHEN g.error = '' THEN 0 ELSE w.failures + g.failures END
FROM given g JOIN locked USING (id) WHERE w.id = g.id
"""


@dataclass(frozen=True, slots=True)
class Result:
    """How one attempt ended.

    Attributes:
        status: what was answered, None for nothing.
        error: what is wrong with it, empty for nothing.
        is_final: whether trying again is of no use.
    """

    item: ClaimedItem
    subscription_id: str
    status: int | None
    error: str
    is_final: bool = False

    @property
    def ok(self) -> bool:
        """Whether the event was delivered."""
        return not self.error


def note(results: Sequence[Result]) -> None:
    """Write the last of each subscription's results to its row, in one statement."""
    last = {result.subscription_id: result for result in results}
    delivered = {result.subscription_id for result in results if result.ok}
    failed = [result.subscription_id for result in results if not result.ok]
    sql.execute(
        _NOTE,
        {
            "ids": plain(last),
            "statuses": plain(result.status for result in last.values()),
            "errors": quoted(result.error[:500] for result in last.values()),
            "oks": plain(one in delivered for one in last),
            "failures": plain(failed.count(one) for one in last),
        },
    )
