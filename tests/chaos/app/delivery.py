"""An outbox kind whose deliveries are written down in the order they happen."""

from __future__ import annotations

from automate_core import sql
from automate_core.errors import PermanentError
from automate_core.outbox.base import ClaimedItem
from automate_core.outbox.handlers import ItemHandler

DELIVERED = "CREATE TABLE IF NOT EXISTS chaos_delivered (at bigserial PRIMARY KEY, key text, n int)"


class OrderedHandler(ItemHandler):
    """Writes down each delivery; an item that says so cannot be delivered at all."""

    kinds = ("chaos_ordered",)

    def deliver(self, item: ClaimedItem) -> None:
        """Note the delivery in a commit of its own, as an outside system would."""
        if item.payload.get("dead"):
            raise PermanentError("This one cannot be delivered")
        sql.execute("INSERT INTO chaos_delivered (key, n) VALUES (%s, %s)", (item.key, item.payload["n"]))
