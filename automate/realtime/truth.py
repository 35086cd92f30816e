"""How far executions have come according to the database, for hubs to compare with what they passed on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from automate.realtime.reader import Reader

NEWEST = 20
"""Newest executions of each watched workflow that are looked at, beside the open ones that are followed."""
FOLLOWED = 200
"""Open executions of each watched workflow that are followed."""

_POSITIONS = """
WITH looked_at AS (
  SELECT x.id FROM unnest(%(workflows)s::uuid[]) AS w(id) CROSS JOIN LATERAL (
    SELECT x.id FROM automate_execution x WHERE x.automation_id = w.id
    ORDER BY x.created_at DESC, x.id DESC LIMIT %(newest)s) AS x
  UNION SELECT id FROM unnest(%(followed)s::uuid[]) AS f(id))
SELECT x.automation_id::text, x.id::text, CASE WHEN x.finished_at IS NOT NULL THEN x.seq ELSE greatest(x.seq, coalesce((
    SELECT max(s.seq) FROM automate_steprun s WHERE s.execution_id = x.id), 0)) END, x.finished_at IS NOT NULL
FROM looked_at l JOIN automate_execution x ON x.id = l.id
"""


class Followed(Protocol):
    """A workflow and what is known of its executions: the number told last, and which are over."""

    workflow_id: str

    @property
    def open_ids(self) -> Sequence[str]:
        """Executions known to go on, the latest last."""


async def positions(reader: Reader, topics: Sequence[Followed]) -> list[tuple[str, str, int, bool]]:
    """Return (workflow, execution, number of the last thing that happened, whether it is over)."""
    params = {
        "workflows": [topic.workflow_id for topic in topics],
        "newest": NEWEST,
        "followed": [execution_id for topic in topics for execution_id in topic.open_ids[-FOLLOWED:]],
    }
    return [(row[0], row[1], row[2], row[3]) for row in await reader.fetch(_POSITIONS, params)]
