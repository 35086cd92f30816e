"""Slots: how many calls are made at once, shared so that slow and dead callbacks hold up only themselves."""

from __future__ import annotations

import random
import time
from collections import Counter

PER_SUBSCRIPTION = 8
"""Calls to one subscription at the same time; one that last failed gets a single one, to try."""
LONGEST_WAIT_SECONDS = 60.0
SHORTEST_WAIT_SECONDS = 0.05
_FIRST_GUESS_SECONDS = 0.1
_REMEMBERED = 1_000


class Slots:
    """A fixed number of slots; subscriptions whose last call failed may have half of them together."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._taken: Counter[str] = Counter()
        self._trying: set[str] = set()
        self._took: dict[str, float] = {}
        self._turn: dict[str, float] = {}

    def take(self, subscription: str, *, failing: bool) -> bool:
        """Take a slot for a call; return whether there was one.

        Args:
            subscription: whom the call is for.
            failing: whether the last call to it failed.
        """
        if self._taken.total() >= self.total:
            return False
        if failing:
            if self._taken[subscription] or len(self._trying) >= max(1, self.total // 2):
                return False
            self._trying.add(subscription)
        elif self._taken[subscription] >= PER_SUBSCRIPTION:
            return False
        self._taken[subscription] += 1
        return True

    def give_back(self, subscription: str, *, took_seconds: float | None = None) -> None:
        """Free a slot, noting how long the call took (None when there was none)."""
        self._taken[subscription] -= 1
        if self._taken[subscription] <= 0:
            del self._taken[subscription]
            self._trying.discard(subscription)
        if len(self._took) >= _REMEMBERED:
            self._took.clear()
        if took_seconds is not None:
            held = self._took.get(subscription, took_seconds)
            self._took[subscription] = 0.7 * held + 0.3 * took_seconds

    def wait(self, subscription: str, *, failing: bool) -> float:
        """Return the seconds after which a delivery that got no slot should ask again.

        Each one that asks gets a later turn, as far apart as the calls before it will take.
        """
        now = time.monotonic()
        if len(self._turn) > _REMEMBERED:
            self._turn = {name: at for name, at in self._turn.items() if at > now}
        spacing = self._took.get(subscription, _FIRST_GUESS_SECONDS) / (1 if failing else PER_SUBSCRIPTION)
        turn = max(now, self._turn.get(subscription, now)) + spacing
        if turn - now >= LONGEST_WAIT_SECONDS:
            return LONGEST_WAIT_SECONDS * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load
        self._turn[subscription] = turn
        return max(SHORTEST_WAIT_SECONDS, turn - now)
