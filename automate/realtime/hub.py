"""The hub: one for each event loop, between the channel layer and everybody who is connected to this process.

It has one channel, whatever the number of connections. Messages are passed on in the order of their numbers, each
once; what the layer lost is read from the database, when a later message shows that it is missing or, at the latest,
at the next look a second later. So a layer that is down costs time and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg

from automate.realtime import history, layers, sender, snapshot, truth
from automate.realtime.messages import ENDS, Message
from automate.realtime.presence import REFRESH_SECONDS, Presence
from automate.realtime.reader import Reader
from automate.realtime.subscriptions import Subscription

logger = logging.getLogger(__name__)

LINGER_SECONDS = 5.0
"""How long a workflow is listened to after the last one looked away."""
FIRST_LOOK_SECONDS = 0.25
"""When the database is first looked at after somebody came: a commit may have overlapped with their arrival."""
LOOK_SECONDS = 1.0
LOOK_SHARE = 20
"""Of the time, looks take one part in so many, unless that would make watchers wait."""
LONGEST_PAUSE_SECONDS = 1.5
LAYER_SECONDS = 2.0
"""How long the layer may take to join a group."""
LAYER_PAUSE_SECONDS = 0.5
KNOWN_LIMIT = 5_000
"""Executions of one workflow whose numbers are remembered."""
REPAIR_WINDOWS = 5
"""Windows of missing messages that are read; beyond that, connections read the state instead."""


class Topic:
    """One workflow that is watched here; `known` is the number of the last message passed on, by execution."""

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

    @property
    def open_ids(self) -> list[str]:
        """Executions known to go on, the latest last."""
        return [execution_id for execution_id in self.known if execution_id not in self.over]

    def saw_begin(self, execution_id: str) -> bool:
        """Tell whether an execution began while this was watched; its id carries its time (RFC 9562, 5.7)."""
        return (UUID(execution_id).int >> 80) / 1000 >= self.began_at - 1.0


@dataclass(slots=True)
class Gap:
    """What of an execution was not passed on: the numbers after `last`, up to `wanted` at least."""

    topic: Topic
    last: int
    wanted: int


class Hub:
    """Everybody who looks on from one event loop."""

    def __init__(self) -> None:
        self.reader = Reader()
        self.presence = Presence(self.reader)
        self._topics: dict[str, Topic] = {}
        self._behind: dict[str, Gap] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._receiving: asyncio.Task[None] | None = None
        self._repairing: asyncio.Task[None] | None = None
        self._channel: str | None = None
        self._look_at = 0.0
        self._refresh_at = 0.0
        self._states: dict[tuple[str, str | None], asyncio.Task[dict[str, Any]]] = {}
        self._next_states: dict[tuple[str, str | None], asyncio.Task[dict[str, Any]]] = {}

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
        key = (subscription.workflow_id, subscription.execution_id)
        if key in self._states:
            # That read has begun already: it may not see what happened since. All who come now share the next one.
            if key not in self._next_states:
                self._next_states[key] = asyncio.create_task(self._read_next(key))
            state = await asyncio.shield(self._next_states[key])
        else:
            self._states[key] = asyncio.create_task(self._read_state(key))
            state = await asyncio.shield(self._states[key])
        if state["execution_id"] is not None:
            subscription.knows(state["execution_id"], state["seq"])
        return state

    async def history(self, execution_id: str, after: int) -> list[Message]:
        """Return the next messages of an execution after a number, as many as are read at once."""
        since = {execution_id: after}
        rows = await self.reader.fetch(history.READ, history.params(since))
        found = history.tell(rows, since)
        return found[execution_id][1] if execution_id in found else []

    async def close(self) -> None:
        """Stop listening and close every connection; whoever is subscribed hears nothing more."""
        for task in [*self._tasks, self._looking, self._receiving, self._repairing]:
            if task is not None:
                task.cancel()
        self._topics.clear()
        await self.reader.close()

    # State

    async def _read_state(self, key: tuple[str, str | None]) -> dict[str, Any]:
        try:
            workflow_id, execution_id = key
            rows = await self.reader.fetch(snapshot.READ, snapshot.params(workflow_id, execution_id))
        finally:
            del self._states[key]
        state = snapshot.state_of(workflow_id, rows)
        topic = self._topics.get(workflow_id)
        if topic is not None and state["execution_id"] is not None:
            self._know(topic, state["execution_id"], state["seq"])
        return state

    def _know(self, topic: Topic, execution_id: str, seq: int) -> None:
        """Begin to follow an execution, so that a hole in its numbers shows; others may not have its beginning yet."""
        if execution_id not in topic.known:
            if topic.saw_begin(execution_id) and seq:
                self._fall_behind(topic, execution_id, 0, seq)
            else:
                topic.note(execution_id, seq)

    async def _read_next(self, key: tuple[str, str | None]) -> dict[str, Any]:
        while key in self._states:
            await asyncio.wait([self._states[key]])
        self._states[key] = self._next_states.pop(key)
        return await self._read_state(key)

    # Opening and closing of topics

    async def _open(self, topic: Topic) -> None:
        """Say, before anything is read, that the workflow is watched; a layer that is down is joined later."""
        topic.began_at = await self.presence.watch([topic.workflow_id])
        await self._join(topic)

    async def _join(self, topic: Topic) -> None:
        layer = layers.current()
        try:
            async with asyncio.timeout(LAYER_SECONDS):
                if self._channel is None:
                    layers.receive_here()
                    self._channel = await layer.new_channel()
                    self._receiving = asyncio.create_task(self._receive_on(layer, self._channel))
                await layer.group_add(sender.group_of(topic.workflow_id), self._channel)
            topic.has_group = True
        except Exception as error:  # noqa: BLE001 - any layer's own errors; the next look tries again
            logger.warning("realtime.layer_unreachable", extra={"error": f"{type(error).__name__}: {error}"})

    async def _receive_on(self, layer: Any, channel: str) -> None:
        while True:
            try:
                envelope = await layer.receive(channel)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - any layer's own errors
                logger.warning("realtime.layer_lost", extra={"error": f"{type(error).__name__}: {error}"})
                for topic in self._topics.values():
                    topic.has_group = False
                await asyncio.sleep(LAYER_PAUSE_SECONDS)
                continue
            heard = self._topics.get(envelope.get("workflow_id", ""))
            if envelope.get("type") == sender.TYPE and heard is not None:
                self._hear(heard, [Message(*one) for one in envelope["messages"]])

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
            if topic.has_group and self._channel is not None:
                try:
                    async with asyncio.timeout(LAYER_SECONDS):
                        await layers.current().group_discard(
                            sender.group_of(topic.workflow_id), self._channel
                        )
                except Exception as error:  # noqa: BLE001 - any layer's own errors; what still comes is ignored
                    logger.warning("realtime.layer_unreachable", extra={"error": str(error)})

    # Passing on

    def _hear(self, topic: Topic, said: Iterable[Message]) -> None:
        """Pass on what follows what is known; what does not is read from the database."""
        fresh: list[Message] = []
        for message in said:
            if message.is_fleeting:
                fresh.append(message)
                continue
            last = topic.known.get(message.execution_id)
            if last is None:
                last = 0 if topic.saw_begin(message.execution_id) else message.seq - 1
            if message.seq <= last:
                continue
            if message.seq > last + 1 or message.execution_id in self._behind:
                self._fall_behind(topic, message.execution_id, last, message.seq)
                continue
            topic.note(message.execution_id, message.seq)
            self._note_end(topic, message)
            fresh.append(message)
        self._pass_on(topic, fresh)

    def _pass_on(self, topic: Topic, said: list[Message]) -> None:
        if said:
            for subscription in topic.subscriptions:
                subscription.push(said)

    def _note_end(self, topic: Topic, message: Message) -> None:
        if message.kind in ENDS:
            topic.over.add(message.execution_id)
        else:
            topic.over.discard(message.execution_id)

    def _fall_behind(self, topic: Topic, execution_id: str, last: int, wanted: int) -> None:
        gap = self._behind.setdefault(execution_id, Gap(topic, last, wanted))
        gap.wanted = max(gap.wanted, wanted)
        if self._repairing is None or self._repairing.done():
            self._repairing = asyncio.create_task(self._repair())

    async def _repair(self) -> None:
        """Read what is missing, a window at a time, and pass it on."""
        windows = 0
        while self._behind:
            since = {execution_id: gap.last for execution_id, gap in self._behind.items()}
            try:
                rows = await self.reader.fetch(history.READ, history.params(since))
            except psycopg.Error as error:
                logger.warning("realtime.unreadable", extra={"error": str(error)})
                self._behind.clear()  # the next look finds it again
                return
            found = history.tell(rows, since)
            windows += 1
            for execution_id in since:
                said = found[execution_id][1] if execution_id in found else []
                self._fill(
                    execution_id, self._behind.pop(execution_id), said, is_last=windows >= REPAIR_WINDOWS
                )

    def _fill(self, execution_id: str, gap: Gap, said: list[Message], *, is_last: bool) -> None:
        topic = gap.topic
        if not said:
            # Nothing has these numbers: rows of an older release, or rows that are gone.
            topic.note(execution_id, max(gap.wanted, topic.known.get(execution_id, 0)))
            return
        topic.note(execution_id, said[-1].seq)
        self._note_end(topic, said[-1])
        self._pass_on(topic, said)
        if said[-1].seq >= gap.wanted:
            return
        if not is_last:
            self._behind[execution_id] = Gap(topic, said[-1].seq, gap.wanted)
            return
        topic.note(execution_id, gap.wanted)
        for subscription in topic.subscriptions:
            subscription.ask_state()

    # Looking

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
                await self._join(topic)
        topics = [
            topic for topic in self._topics.values() if topic.opened is not None and topic.opened.done()
        ]
        if not topics:
            return 0.0
        started = time.monotonic()
        watched = {topic.workflow_id: topic for topic in topics}
        for workflow_id, execution_id, seq, is_over in await truth.positions(self.reader, topics):
            if workflow_id in watched:
                self._compare(watched[workflow_id], execution_id, seq, is_over)
        return time.monotonic() - started

    def _compare(self, topic: Topic, execution_id: str, seq: int, is_over: bool) -> None:
        last = topic.known.get(execution_id)
        if last is None and not topic.saw_begin(execution_id):
            topic.note(execution_id, seq)
        elif seq > (last or 0):
            self._fall_behind(topic, execution_id, last or 0, seq)
        elif is_over:
            topic.over.add(execution_id)

    async def _stop_listening(self) -> None:
        """Nobody is left: give back the channel and the connection."""
        receiving, self._receiving, self._channel = self._receiving, None, None
        if receiving is not None:
            receiving.cancel()
        await self.reader.close()


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def current() -> Hub:
    """Return the hub of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]
