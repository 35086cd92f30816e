"""One workflow that is watched here: who looks on, and how far each of its executions was told."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from uuid import UUID

from automate.realtime.messages import ENDS, Message
from automate.realtime.subscriptions import Subscription

KNOWN_LIMIT = 5_000
"""Executions of one workflow whose numbers are remembered."""


class Topic:
    """Whoever watches a workflow from this process; `known` is the number of the last message told, by execution."""

    def __init__(self, workflow_id: str) -> None:
        self.workflow_id = workflow_id
        self.subscriptions: set[Subscription] = set()
        self.known: OrderedDict[str, int] = OrderedDict()
        self.over: set[str] = set()
        self.began_at = time.time()
        self.empty_since = 0.0
        self.has_group = False
        self.opened: asyncio.Task[None] | None = None

    def note(self, execution_id: str, seq: int) -> None:
        """Remember how far an execution was told."""
        self.known[execution_id] = seq
        self.known.move_to_end(execution_id)
        if len(self.known) > KNOWN_LIMIT:
            forgotten, _ = self.known.popitem(last=False)
            self.over.discard(forgotten)

    def note_end(self, message: Message) -> None:
        """Remember whether an execution is over with a message."""
        if message.kind in ENDS:
            self.over.add(message.execution_id)
        else:
            self.over.discard(message.execution_id)

    @property
    def open_ids(self) -> list[str]:
        """Executions known to go on, the latest last."""
        return [execution_id for execution_id in self.known if execution_id not in self.over]

    def saw_begin(self, execution_id: str) -> bool:
        """Tell whether an execution began while this was watched; its id carries its time (RFC 9562, 5.7)."""
        return (UUID(execution_id).int >> 80) / 1000 >= self.began_at - 1.0

    def tell(self, said: Sequence[Message]) -> None:
        """Pass messages on to everybody who looks on."""
        if said:
            for subscription in self.subscriptions:
                subscription.push(said)

    def ask_state(self) -> None:
        """Have everybody who looks on read the state anew."""
        for subscription in self.subscriptions:
            subscription.ask_state()
