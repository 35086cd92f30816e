"""When attempts come: 0 s, 5 s, 5 m, 30 m, 2 h, 5 h, 10 h, 10 h, give or take 10 %."""

from __future__ import annotations

from automate.subscriptions.schedule import MAX_ATTEMPTS, delay_after

NOMINAL = [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000]


def test_delay_after_follows_the_schedule() -> None:
    assert [round(delay_after(attempt, draw=0.5), 6) for attempt in range(1, MAX_ATTEMPTS)] == NOMINAL


def test_delay_after_varies_by_ten_percent_either_way() -> None:
    assert [round(delay_after(n, draw=0.0), 6) for n in range(1, 8)] == [round(0.9 * s, 6) for s in NOMINAL]
    assert [round(delay_after(n, draw=1.0), 6) for n in range(1, 8)] == [round(1.1 * s, 6) for s in NOMINAL]
    assert len({delay_after(3) for _ in range(20)}) > 1


def test_delay_after_the_last_attempt_is_none() -> None:
    assert (MAX_ATTEMPTS, delay_after(MAX_ATTEMPTS)) == (8, 0.0)
