"""Subscriptions to a receiver on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from automate.models import WebhookSubscription
from automate.subscriptions import verbs
from tests.factories.receiver import Receiver


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    """Start a receiver that the outbound guard lets through."""
    started = Receiver()
    settings.AUTOMATE = {**settings.AUTOMATE, "HTTP_ALLOW": [started.address]}
    yield started
    started.stop()


@pytest.fixture
def subscribed(receiver: Receiver) -> Callable[..., WebhookSubscription]:
    """Return a function that subscribes a path of the receiver."""

    def make(path: str = "/hook", event_type: str = "order.created") -> WebhookSubscription:
        url = verbs.checked_callback_url(receiver.url(path))
        return verbs.subscribe(event_type=event_type, callback_url=url, by="test").subscription

    return make
