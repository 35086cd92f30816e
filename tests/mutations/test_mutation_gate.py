"""The mutation gate: break a promise on purpose, and see its check turn red."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import DatabaseError, connection, transaction

from automate import emission
from automate.executions import record
from automate_core import sql
from automate_core.models import OutboxItem
from automate_core.outbox import reaper, statements
from tests.mutations import checks

pytestmark = pytest.mark.django_db(transaction=True)

Mutation = Callable[[pytest.MonkeyPatch], None]


def replace(module: object, name: str, old: str, new: str, patch: pytest.MonkeyPatch) -> None:
    """Replace text in a module's SQL; the text must be there, or the mutation would test nothing."""
    text = getattr(module, name)
    assert old in text, f"{name} no longer contains {old!r}"
    patch.setattr(module, name, text.replace(old, new))


def without_epoch_check_in_the_store(patch: pytest.MonkeyPatch) -> None:
    for name in ("COMPLETE", "RETRY", "FAIL", "RELEASE", "RENEW"):
        replace(statements, name, " AND o.lease_epoch = mine.epoch", "", patch)


def without_epoch_check_in_the_record(patch: pytest.MonkeyPatch) -> None:
    replace(record, "_FENCE", " AND o.lease_epoch = fence.epoch", "", patch)


def without_epoch_raised_at_claim(patch: pytest.MonkeyPatch) -> None:
    for name in ("CLAIM", "CLAIM_SUSPECT"):
        replace(statements, name, "lease_epoch = o.lease_epoch + 1", "lease_epoch = o.lease_epoch", patch)


def attempts_counted_at_failure(patch: pytest.MonkeyPatch) -> None:
    for name in ("CLAIM", "CLAIM_SUSPECT"):
        replace(statements, name, "attempts = o.attempts + 1, ", "", patch)
    for name in ("RETRY", "FAIL"):
        replace(
            statements, name, "error = mine.error", "error = mine.error, attempts = o.attempts + 1", patch
        )


def select_then_update_in_the_reaper(patch: pytest.MonkeyPatch) -> None:
    def reap(self: reaper.OutboxReaper) -> int:
        due = sql.execute(
            f"SELECT id FROM {statements.TABLE} WHERE status = 'CLAIMED' AND lease_expires_at < clock_timestamp()"
        )
        with transaction.atomic():
            return OutboxItem.all_tenants.filter(id__in=[row[0] for row in due]).update(
                status="PENDING", suspect=True, lease_owner="", lease_renewed_at=None, lease_expires_at=None
            )

    patch.setattr(reaper.OutboxReaper, "_reap", reap)


def leases_on_a_slow_workers_clock(patch: pytest.MonkeyPatch) -> None:
    now = f"to_timestamp({time.time() - 3600})"
    for name in ("CLAIM", "CLAIM_SUSPECT"):
        replace(statements, name, "= clock.now,", f"= {now},", patch)
        replace(statements, name, "= clock.now + make", f"= {now} + make", patch)


def renewals_on_a_fast_workers_clock(patch: pytest.MonkeyPatch) -> None:
    replace(statements, "RENEW", "clock_timestamp()", f"to_timestamp({time.time() + 3600})", patch)


def without_on_conflict_of_events(patch: pytest.MonkeyPatch) -> None:
    conflict = "ON CONFLICT (tenant_id, source, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING"
    replace(emission, "EMIT", conflict, "", patch)


def without_on_conflict_of_executions(patch: pytest.MonkeyPatch) -> None:
    start = record._MADE.index("ON CONFLICT")
    replace(record, "_MADE", record._MADE[start : record._MADE.index("RETURNING")], "", patch)


STATEMENTS: list[tuple[Mutation, Callable[[], None]]] = [
    (without_epoch_check_in_the_store, checks.stale_worker_settles_nothing),
    (without_epoch_check_in_the_record, checks.stale_worker_records_nothing),
    (without_epoch_raised_at_claim, checks.stale_worker_settles_nothing),
    (attempts_counted_at_failure, checks.item_that_kills_its_worker_runs_out_of_attempts),
    (select_then_update_in_the_reaper, checks.reaper_spares_a_lease_renewed_meanwhile),
    (leases_on_a_slow_workers_clock, checks.lease_runs_on_the_databases_clock),
    (renewals_on_a_fast_workers_clock, checks.lease_runs_on_the_databases_clock),
]

UNIQUE_KEYS: list[tuple[str, Mutation, Callable[[], None]]] = [
    ("automate_event_dedupe", without_on_conflict_of_events, checks.dedupe_key_makes_one_event),
    ("automate_execution_once", without_on_conflict_of_executions, checks.event_starts_each_automation_once),
]


@contextmanager
def dropped(index: str) -> Iterator[None]:
    """Run the block without one unique index, emptying the tables before it comes back."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = %s", [index])
        (definition,) = cursor.fetchone()
        cursor.execute(f"DROP INDEX {index}")
        try:
            yield
        finally:
            cursor.execute("TRUNCATE automate_event, automate_execution, automate_steprun CASCADE")
            cursor.execute(definition)


@pytest.mark.parametrize(
    "check", sorted({check for *_, check in [*STATEMENTS, *UNIQUE_KEYS]}, key=lambda check: check.__name__)
)
def test_promise_holds(check):
    check()


@pytest.mark.parametrize(("mutation", "check"), STATEMENTS)
def test_mutated_statement_turns_its_check_red(monkeypatch, mutation, check):
    mutation(monkeypatch)
    with pytest.raises(AssertionError):
        check()


@pytest.mark.parametrize(("index", "check"), [(index, check) for index, _, check in UNIQUE_KEYS])
def test_dropped_unique_key_turns_its_check_red(index, check):
    with dropped(index), pytest.raises((AssertionError, DatabaseError)):
        check()


@pytest.mark.parametrize(("index", "mutation", "check"), UNIQUE_KEYS)
def test_unique_key_forgotten_by_code_and_database_turns_its_check_red(monkeypatch, index, mutation, check):
    mutation(monkeypatch)
    with dropped(index), pytest.raises(AssertionError):
        check()


@pytest.mark.parametrize("check", [checks.lease_runs_on_the_databases_clock])
@pytest.mark.parametrize("skew_seconds", [-3600, 3600])
def test_skewed_worker_clock_changes_no_lease(monkeypatch, check, skew_seconds):
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + skew_seconds)
    check()
