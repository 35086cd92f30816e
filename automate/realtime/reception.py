"""This process's one channel in the layer: joins the groups of watched workflows and passes on what is heard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from automate.realtime import layers, sender
from automate.realtime.messages import Message
from automate.realtime.topics import Topic

logger = logging.getLogger(__name__)

LAYER_SECONDS = 2.0
"""How long the layer may take to join a group."""
LAYER_PAUSE_SECONDS = 0.5

Hear = Callable[[Topic, list[Message]], None]


class Reception:
    """The channel, made for the first workflow and given back after the last."""

    def __init__(self, topics: Mapping[str, Topic], hear: Hear) -> None:
        self._topics = topics
        self._hear = hear
        self._channel: str | None = None
        self._receiving: asyncio.Task[None] | None = None

    async def join(self, topic: Topic) -> None:
        """Begin to hear of a workflow; a layer that is down is left for a later try."""
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

    async def leave(self, topic: Topic) -> None:
        """Hear no more of a workflow."""
        if not topic.has_group or self._channel is None:
            return
        try:
            async with asyncio.timeout(LAYER_SECONDS):
                await layers.current().group_discard(sender.group_of(topic.workflow_id), self._channel)
        except Exception as error:  # noqa: BLE001 - any layer's own errors; what still comes is ignored
            logger.warning("realtime.layer_unreachable", extra={"error": str(error)})

    def stop(self) -> None:
        """Give back the channel."""
        receiving, self._receiving, self._channel = self._receiving, None, None
        if receiving is not None:
            receiving.cancel()

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
            try:
                self._take(envelope)
            except (AttributeError, KeyError, TypeError) as error:
                logger.warning(
                    "realtime.payload_ignored", extra={"error": f"{type(error).__name__}: {error}"}
                )

    def _take(self, envelope: Any) -> None:
        heard = self._topics.get(envelope.get("workflow_id", ""))
        if envelope.get("type") == sender.TYPE and heard is not None:
            self._hear(heard, [Message(*one) for one in envelope["messages"]])
