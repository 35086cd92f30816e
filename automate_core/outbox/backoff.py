"""How long to wait before trying again."""

from __future__ import annotations

import random


def full_jitter(
    attempt: int, *, initial_seconds: float = 1.0, max_seconds: float = 300.0, draw: float | None = None
) -> float:
    """Return seconds to wait after the 1-based `attempt` failed: exponential, with full jitter.

    uniform(0, min(max, initial * 2 ** (attempt - 1))), as in the AWS architecture note
    "Exponential Backoff And Jitter". `draw` in [0, 1) replaces the random number.
    """
    ceiling = min(max_seconds, initial_seconds * 2.0 ** min(attempt - 1, 32))
    return ceiling * (random.random() if draw is None else draw)  # noqa: S311 - spreads load, guards nothing
