"""Registers the nodes of this package."""

from __future__ import annotations

from automate.nodes.counter import CounterStep
from automate.nodes.delay import DelayStep
from automate.nodes.queue import QueueReaderStep, QueueWriterStep
from automate.nodes.string_iterator import StringIteratorStep
from automate.nodes.webhook import WebhookStep
from automate_core.steps import step_registry

NODES = (CounterStep, DelayStep, QueueReaderStep, QueueWriterStep, StringIteratorStep, WebhookStep)


def register_nodes() -> None:
    """Register each node once."""
    for handler in NODES:
        if handler.type not in step_registry:
            step_registry.register(handler.type, handler())
