"""The outbox against a model of it: any order of claims, settlements and lost workers, on the real store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from automate_core.models import OutboxItem
from automate_core.outbox import OutboxReaper, SkipLockedClaimOutboxStore, enqueue
from automate_core.outbox.base import ClaimedItem, Retry

WORKERS = ("w1", "w2")


@dataclass
class Expected:
    """What the model says about one item."""

    max_attempts: int
    status: str = "PENDING"
    attempts: int = 0
    epoch: int = 0
    suspect: bool = False
    holder: str = ""


class OutboxMachine(RuleBasedStateMachine):
    """Two workers, and a world that may take either's leases away at any moment."""

    def __init__(self) -> None:
        super().__init__()
        OutboxItem.all_tenants.all().delete()
        self.stores = {name: SkipLockedClaimOutboxStore(lease_seconds=300) for name in WORKERS}
        self.model: dict[int, Expected] = {}
        self.claims: list[tuple[str, ClaimedItem]] = []

    @rule(max_attempts=st.integers(1, 3))
    def enqueue(self, max_attempts: int) -> None:
        self.model[enqueue(kind="a", payload={}, max_attempts=max_attempts)] = Expected(max_attempts)

    @rule(worker=st.sampled_from(WORKERS), limit=st.integers(1, 4))
    def claim(self, worker: str, limit: int) -> None:
        pending = {key: item for key, item in self.model.items() if item.status == "PENDING"}
        ready = {key for key, item in pending.items() if not item.suspect}
        self.stores[worker].look_soon()
        claimed = self.stores[worker].claim_batch(worker, limit)
        if ready:
            assert len(claimed) == min(limit, len(ready))
            assert {item.id for item in claimed} <= ready
        else:
            assert len(claimed) == min(1, len(pending))
        for item in claimed:
            expected = self.model[item.id]
            assert expected.status == "PENDING"
            expected.status, expected.holder = "CLAIMED", worker
            expected.attempts += 1
            expected.epoch += 1
            assert (item.attempts, item.epoch) == (expected.attempts, expected.epoch)
            self.claims.append((worker, item))

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), how=st.sampled_from(["complete", "retry", "fail", "release"]))
    def settle(self, data: st.DataObject, how: str) -> None:
        """Settle a claim somebody once made, whether or not it still holds."""
        worker, item = self.claims.pop(data.draw(st.integers(0, len(self.claims) - 1)))
        store, expected = self.stores[worker], self.model.get(item.id)
        held = expected is not None and (expected.status, expected.holder, expected.epoch) == (
            "CLAIMED",
            worker,
            item.epoch,
        )
        if how == "complete":
            assert store.complete([item], worker) == ({item.id} if held else set())
            if held:
                del self.model[item.id]
            return
        over = expected is not None and expected.attempts >= expected.max_attempts
        after = "FAILED" if how == "fail" or (how == "retry" and over) else "PENDING"
        if how == "retry":
            assert store.retry([Retry(item, "busy")], worker) == ({item.id: after} if held else {})
        elif how == "fail":
            assert store.fail([(item, "broken")], worker) == ({item.id} if held else set())
        else:
            store.release([item], worker)
        if held:
            expected.status, expected.holder = after, ""
            expected.attempts -= how == "release"
            expected.suspect = expected.suspect and how != "retry"

    @precondition(lambda self: any(item.status == "CLAIMED" for item in self.model.values()))
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """Lose the worker of one item, without its knowing."""
        claimed = sorted(key for key, item in self.model.items() if item.status == "CLAIMED")
        key = data.draw(st.sampled_from(claimed))
        OutboxItem.all_tenants.filter(pk=key).update(lease_expires_at=timezone.now() - timedelta(hours=1))
        assert OutboxReaper().reap_stale_items() == 1
        OutboxItem.all_tenants.filter(pk=key).update(available_at=timezone.now() - timedelta(hours=1))
        expected = self.model[key]
        expected.status = "FAILED" if expected.attempts >= expected.max_attempts else "PENDING"
        expected.suspect, expected.holder = True, ""

    @rule(worker=st.sampled_from(WORKERS))
    def renew_keeps_what_is_held(self, worker: str) -> None:
        held = {key for key, item in self.model.items() if item.holder == worker}
        assert not held & self.stores[worker].renew(worker)

    @rule()
    def reaper_finds_nothing_while_leases_run(self) -> None:
        assert OutboxReaper().reap_stale_items() == 0

    @invariant()
    def database_agrees(self) -> None:
        columns = ("status", "attempts", "lease_epoch", "suspect", "lease_owner")
        rows = {row[0]: row[1:] for row in OutboxItem.all_tenants.values_list("id", *columns)}
        expected = {
            key: (item.status, item.attempts, item.epoch, item.suspect, item.holder)
            for key, item in self.model.items()
        }
        assert rows == expected
        assert all(item.attempts <= item.max_attempts for item in self.model.values())


@pytest.mark.django_db(transaction=True)
def test_outbox_does_what_its_model_says():
    bounded = settings(
        max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(OutboxMachine, settings=bounded)
