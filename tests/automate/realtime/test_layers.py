"""The layer over NOTIFY carries what it is given, however long and in whatever script."""

from __future__ import annotations

import asyncio

import pytest
from django.db import connection

from automate.realtime.layers import PART_BYTES, PostgresChannelLayer
from automate_core import sql

pytestmark = pytest.mark.django_db(transaction=True)


NAME = "automate_test_layers"


@pytest.mark.parametrize("text", ["a" * 3 * PART_BYTES, "日本語🙂" * PART_BYTES, 'q"\\\n' * 5_000, "short"])
def test_message_arrives_as_it_was_sent(text: str) -> None:
    async def there_and_back() -> object:
        layer = PostgresChannelLayer(name=NAME)
        channel = await layer.new_channel()
        await layer.group_add("group", channel)
        await layer.group_send("group", {"type": "t", "text": text})
        try:
            async with asyncio.timeout(60):
                return await layer.receive(channel)
        finally:
            await layer.flush()

    assert asyncio.run(there_and_back()) == {"type": "t", "text": text}


@pytest.mark.parametrize("payload", ["", "nonsense", "whole:0:.not json", "whole:0:.[]", 'whole:0:.{"x": 1}'])
def test_payload_of_somebody_else_does_not_end_the_listening(payload: str) -> None:
    async def heard() -> object:
        layer = PostgresChannelLayer(name=NAME)
        channel = await layer.new_channel()
        await layer.group_add("group", channel)
        await asyncio.to_thread(notify, payload)
        await layer.group_send("group", {"type": "t"})
        try:
            async with asyncio.timeout(60):
                return await layer.receive(channel)
        finally:
            await layer.flush()

    assert asyncio.run(heard()) == {"type": "t"}


def notify(payload: str) -> None:
    """Notify from a thread that takes no connection along when it ends."""
    try:
        sql.execute("SELECT pg_notify(%(name)s, %(payload)s)::text", {"name": NAME, "payload": payload})
    finally:
        connection.close()
