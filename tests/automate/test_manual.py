"""What is started by hand: nobody waits for another's audit entry, and no run outlives its workflow's deletion."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, transaction

from automate.manual import emit_by, run_by
from automate.models import Automation, Event, Execution
from automate.workflows import create_workflow, delete_workflow, update_workflow
from automate_core import audit_chain
from automate_core.errors import AutomateError, NotFound
from automate_core.models import AuditEntry
from tests.factories.engine import node

pytestmark = pytest.mark.django_db(transaction=True)

LIMIT_SECONDS = 60.0
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


@contextmanager
def uncommitted(work: Callable[[], object]) -> Iterator[None]:
    """Have somebody else do something in a transaction that commits when the block ends."""
    is_done, may_commit = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            work()
            is_done.set()
            may_commit.wait(LIMIT_SECONDS)
        connection.close()

    other = threading.Thread(target=hold)
    other.start()
    assert is_done.wait(LIMIT_SECONDS)
    try:
        yield
    finally:
        may_commit.set()
        other.join()


def beside(work: Callable[[], object]) -> tuple[threading.Thread, list[AutomateError]]:
    """Begin something in another thread; return once it waits for a lock, or is over."""
    failed: list[AutomateError] = []

    def run() -> None:
        try:
            work()
        except AutomateError as error:
            failed.append(error)
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        with connection.cursor() as cursor:
            cursor.execute(WAITING)
            if cursor.fetchone()[0]:
                break
    return thread, failed


@pytest.fixture
def orders() -> Automation:
    return create_workflow(name="Orders", slug="orders", graph={"nodes": [node("a", "merge")]}, by="test")


def test_emits_and_runs_of_one_tenant_wait_for_nobody(orders: Automation) -> None:
    other = create_workflow(name="Other", slug="other", graph={"nodes": [node("a", "merge")]}, by="test")
    with uncommitted(lambda: (emit_by("user:1", "order.created", {}), run_by("user:1", "orders", {}))):
        emit_by("user:2", "order.created", {})
        run_by("user:2", "orders", {})
        update_workflow(other, by="user:2", name="Others")
        assert set(AuditEntry.objects.values_list("actor", flat=True)) == {"test", "user:2"}
    assert (Event.objects.count(), Execution.objects.count(), AuditEntry.objects.count()) == (2, 2, 7)
    assert audit_chain.verify() == []


def test_deletion_takes_a_run_with_it_that_had_begun(orders: Automation) -> None:
    with uncommitted(lambda: run_by("user:1", "orders", {})):
        thread, failed = beside(lambda: delete_workflow(orders, by="user:2"))
    thread.join(LIMIT_SECONDS)
    assert failed == []
    assert (Automation.objects.count(), Execution.objects.count()) == (0, 0)


def test_run_of_a_workflow_that_is_being_deleted_is_refused(orders: Automation) -> None:
    with uncommitted(lambda: delete_workflow(orders, by="user:2")):
        thread, failed = beside(lambda: run_by("user:1", "orders", {}))
    thread.join(LIMIT_SECONDS)
    assert [type(error) for error in failed] == [NotFound]
    assert (Automation.objects.count(), Execution.objects.count()) == (0, 0)
    assert "workflow.run" not in AuditEntry.objects.values_list("action", flat=True)
