"""When a delivery that failed is tried again."""

from __future__ import annotations

import random

SCHEDULE_SECONDS = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 36_000)
"""How long each attempt comes after the one before, as in the specification of Standard Webhooks."""
MAX_ATTEMPTS = len(SCHEDULE_SECONDS)
JITTER = 0.1


def delay_after(attempt: int, *, draw: float | None = None) -> float:
    """Return the seconds to wait after the 1-based `attempt` failed, give or take 10 %.

    Args:
        attempt: 1 to MAX_ATTEMPTS; none follows the last, for which 0 is returned.
        draw: in [0, 1); replaces the random number.
    """
    if attempt >= MAX_ATTEMPTS:
        return 0.0
    drawn = random.random() if draw is None else draw  # noqa: S311 - spreads load, guards nothing
    return SCHEDULE_SECONDS[attempt] * (1 - JITTER + 2 * JITTER * drawn)
