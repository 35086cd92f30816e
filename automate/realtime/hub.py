"""The hub: one for each event loop, between the channel layer and everybody who is connected to this process.

It has one channel, whatever the number of connections. Messages are passed on in the order of their numbers, each
once; what the layer lost is read from the database, when a later message shows that it is missing or, at the latest,
at the next look a second later. So a layer that is down costs time and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any
from weakref import WeakKeyDictionary

import psycopg

from automate.realtime import history, truth
from automate.realtime.gaps import Gaps
from automate.realtime.messages import Message
from automate.realtime.presence import REFRESH_SECONDS, Presence
from automate.realtime.reader import Reader
from automate.realtime.reception import Reception
from automate.realtime.states import States
from automate.realtime.subscriptions import Subscription
from automate.realtime.topics import Topic

logger = logging.getLogger(__name__)

LINGER_SECONDS = 5.0
"""How long a workflow is listened to after the last one looked away."""
FIRST_LOOK_SECONDS = 0.25
"""When the database is first looked at after somebody came: a commit may have overlapped with their arrival."""
LOOK_SECONDS = 1.0
LOOK_SHARE = 20
"""Of the time, looks take one part in so many, unless that would make watchers wait."""
LONGEST_PAUSE_SECONDS = 1.5


class Hub:
    """Everybody who looks on from one event loop."""

    def __init__(self) -> None:
        self.reader = Reader()
        self.presence = Presence(self.reader)
        self._topics: dict[str, Topic] = {}
        self._gaps = Gaps(self.reader)
        self._reception = Reception(self._topics, self._gaps.hear)
        self._states = States(self.reader)
        self._looking: asyncio.Task[None] | None = None
        self._look_at = 0.0
        self._refresh_at = 0.0

    async def subscribe(self, workflow_id: str, execution_id: str | None = None) -> Subscription:
        """Begin to look on; what happens after this returns reaches the subscription.

        Raises:
            psycopg.Error: the database cannot be reached.
        """
        topic = self._topics.get(workflow_id)
        if topic is None:
            topic = self._topics[workflow_id] = Topic(workflow_id)
            topic.opened = asyncio.create_task(self._open(topic))
        subscription = Subscription(workflow_id, execution_id)
        topic.subscriptions.add(subscription)
        try:
            assert topic.opened is not None
            await asyncio.shield(topic.opened)
        except BaseException:
            self.unsubscribe(subscription)
            self._start_looking()  # nobody else may ever come to have the rest tidied up
            raise
        self._look_at = min(self._look_at, time.monotonic() + FIRST_LOOK_SECONDS)
        self._start_looking()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop looking on."""
        topic = self._topics.get(subscription.workflow_id)
        if topic is not None:
            topic.subscriptions.discard(subscription)
            if not topic.subscriptions:
                topic.empty_since = time.monotonic()
                if topic.opened is not None and topic.opened.done() and topic.opened.exception():
                    del self._topics[topic.workflow_id]

    async def state(self, subscription: Subscription) -> dict[str, Any]:
        """Return the state for a subscription, read after this was called; those who ask together share a read.

        Raises:
            psycopg.Error: the database cannot be reached.
        """
        state = await self._states.read(subscription.workflow_id, subscription.execution_id)
        if state["execution_id"] is not None:
            subscription.knows(state["execution_id"], state["seq"])
            topic = self._topics.get(subscription.workflow_id)
            if topic is not None:
                self._gaps.follow(topic, state["execution_id"], state["seq"])
        return state

    async def history(self, execution_id: str, after: int) -> list[Message]:
        """Return the next messages of an execution after a number, as many as are read at once."""
        since = {execution_id: after}
        rows = await self.reader.fetch(history.READ, history.params(since))
        found = history.tell(rows, since)
        return found[execution_id][1] if execution_id in found else []

    async def close(self) -> None:
        """Stop listening and close every connection; whoever is subscribed hears nothing more."""
        if self._looking is not None:
            self._looking.cancel()
        self._topics.clear()
        await self._stop_listening()

    async def _open(self, topic: Topic) -> None:
        """Say, before anything is read, that the workflow is watched; a layer that is down is joined later."""
        topic.began_at = await self.presence.watch([topic.workflow_id])
        await self._reception.join(topic)

    async def _close_topics(self) -> None:
        """Leave the workflows nobody has watched for a while."""
        before = time.monotonic() - LINGER_SECONDS
        left = [
            topic for topic in self._topics.values() if not topic.subscriptions and topic.empty_since < before
        ]
        if not left:
            return
        for topic in left:
            del self._topics[topic.workflow_id]
        await self.presence.unwatch([topic.workflow_id for topic in left])
        for topic in left:
            await self._reception.leave(topic)

    def _start_looking(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_on())

    async def _look_on(self) -> None:
        """While anybody looks on: keep the notes fresh, rejoin the layer, compare with the database."""
        while self._topics or not self.presence.is_empty or self.presence.is_unsettled:
            pause = self._look_at - time.monotonic()
            if pause > 0:
                await asyncio.sleep(min(pause, 0.1))
                continue
            taken = 0.0
            try:
                taken = await self._look()
            except psycopg.Error as error:
                logger.warning("realtime.unreadable", extra={"error": str(error)})
            except Exception:
                logger.exception("realtime.look_failed")
            self._look_at = time.monotonic() + min(
                max(LOOK_SECONDS, LOOK_SHARE * taken), LONGEST_PAUSE_SECONDS
            )
        self._looking = None
        await self._stop_listening()

    async def _look(self) -> float:
        """Look once; return how long the database took."""
        await self._close_topics()
        if time.monotonic() >= self._refresh_at:
            self._refresh_at = time.monotonic() + REFRESH_SECONDS
            await self.presence.refresh(list(self._topics))
        elif self.presence.is_unsettled:
            await self.presence.settle_seats()
        for topic in list(self._topics.values()):
            if not topic.has_group:
                await self._reception.join(topic)
        topics = [
            topic for topic in self._topics.values() if topic.opened is not None and topic.opened.done()
        ]
        if not topics:
            return 0.0
        started = time.monotonic()
        watched = {topic.workflow_id: topic for topic in topics}
        for workflow_id, execution_id, seq, is_over in await truth.positions(self.reader, topics):
            if workflow_id in watched:
                self._gaps.compare(watched[workflow_id], execution_id, seq, is_over=is_over)
        return time.monotonic() - started

    async def _stop_listening(self) -> None:
        """Nobody is left: give back the channel and the connection."""
        self._reception.stop()
        self._gaps.close()
        await self.reader.close()


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def current() -> Hub:
    """Return the hub of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]
