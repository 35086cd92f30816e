"""Slots: what one subscription may have, what failing ones may have together, and who asks again when."""

from __future__ import annotations

from automate.subscriptions.slots import LONGEST_WAIT_SECONDS, PER_SUBSCRIPTION, Slots


def test_take_gives_one_subscription_its_share_and_leaves_the_rest() -> None:
    slots = Slots(20)
    assert [slots.take("a", failing=False) for _ in range(PER_SUBSCRIPTION + 1)].count(
        True
    ) == PER_SUBSCRIPTION
    assert slots.take("b", failing=False)


def test_take_gives_all_slots_and_no_more() -> None:
    slots = Slots(10)
    assert [slots.take(f"s{n}", failing=False) for n in range(11)] == [True] * 10 + [False]
    slots.give_back("s3", took_seconds=0.1)
    assert slots.take("other", failing=False)


def test_take_gives_a_failing_subscription_one_slot() -> None:
    slots = Slots(10)
    assert [slots.take("a", failing=True), slots.take("a", failing=True)] == [True, False]
    slots.give_back("a", took_seconds=0.1)
    assert slots.take("a", failing=True)


def test_take_keeps_half_of_the_slots_from_failing_subscriptions() -> None:
    slots = Slots(10)
    assert [slots.take(f"dead{n}", failing=True) for n in range(10)].count(True) == 5
    assert [slots.take(f"well{n}", failing=False) for n in range(6)] == [True] * 5 + [False]


def test_wait_sets_those_that_ask_apart_by_what_calls_take() -> None:
    slots = Slots(10)
    for _ in range(200):
        slots.take("slow", failing=True)
        slots.give_back("slow", took_seconds=10.0)
    waits = [slots.wait("slow", failing=True) for _ in range(5)]
    assert [round(wait) for wait in waits] == [10, 20, 30, 40, 50]
    far = [slots.wait("slow", failing=True) for _ in range(50)]
    assert all(0.75 * LONGEST_WAIT_SECONDS <= wait <= 1.25 * LONGEST_WAIT_SECONDS for wait in far)


def test_wait_of_one_subscription_is_not_that_of_another() -> None:
    slots = Slots(10)
    slots.take("slow", failing=False)
    slots.give_back("slow", took_seconds=60.0)
    for _ in range(20):
        slots.wait("slow", failing=False)
    assert slots.wait("quick", failing=False) == 0.05
