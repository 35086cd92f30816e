"""What waits for one who looks on: all of it for whoever reads, and never more than a limit."""

from __future__ import annotations

import asyncio

import pytest

from automate.realtime.messages import Message
from automate.realtime.subscriptions import PIECE_BYTES, QUEUE_LIMIT_BYTES, Subscription, TooSlow

RUN, OTHER = "run", "other"


def said(*numbers: int, of: str = RUN, size: int = 300, kind: str = "node_started") -> list[Message]:
    return [Message(of, seq, kind, "x" * size) for seq in numbers]


def taken(subscription: Subscription) -> list[int]:
    """Return the numbers of the next piece."""

    async def take() -> list[int]:
        async with asyncio.timeout(20):
            return [one.seq for one in await subscription.next()]

    return asyncio.run(take())


def waiting_bytes(subscription: Subscription) -> int:
    return sum(len(one.text) for one in subscription._waiting)


def test_burst_is_handed_over_whole_and_in_order_a_piece_at_a_time() -> None:
    subscription = Subscription("workflow")
    burst = said(*range(1, 5_001))
    for first in range(0, len(burst), 500):
        subscription.push(burst[first : first + 500])
    pieces = []
    while subscription._waiting:
        pieces.append(taken(subscription))
    assert [seq for piece in pieces for seq in piece] == list(range(1, 5_001))
    assert max(map(len, pieces)) * 300 < PIECE_BYTES
    assert not subscription.is_lost.is_set()


def test_reader_who_goes_on_reading_may_get_more_than_the_limit_in_all() -> None:
    subscription = Subscription("workflow")
    for start in range(0, 40 * 1_000, 1_000):
        subscription.push(said(*range(start, start + 1_000), size=1_000))
        while subscription._waiting:
            taken(subscription)
    assert not subscription.is_lost.is_set()


def test_one_who_reads_nothing_is_lost_at_the_limit_and_keeps_nothing() -> None:
    subscription = Subscription("workflow")
    largest, pushed = 0, 0
    while not subscription.is_lost.is_set():
        largest = max(largest, waiting_bytes(subscription))
        subscription.push(said(*range(500), size=3_000))
        pushed += 500 * 3_000
        assert pushed < 2 * QUEUE_LIMIT_BYTES
    assert largest <= QUEUE_LIMIT_BYTES
    subscription.push(said(1, 2, 3))
    assert waiting_bytes(subscription) == 0
    with pytest.raises(TooSlow):
        taken(subscription)


def test_messages_of_other_executions_take_no_room_where_one_is_asked_for() -> None:
    subscription = Subscription("workflow", RUN)
    for _ in range(2):
        subscription.push(said(*range(500), of=OTHER, size=QUEUE_LIMIT_BYTES // 500))
    subscription.push(said(1, 2))
    assert taken(subscription) == [1, 2]


def test_what_the_state_told_is_left_out_and_comes_after_it() -> None:
    subscription = Subscription("workflow")
    subscription.push(said(1, 2, 3))
    subscription.push(said(2, kind="node_log"))
    subscription.ask_state()
    assert taken(subscription) == []
    subscription.resync = False
    subscription.knows(RUN, 2)
    assert taken(subscription) == [3, 2]
