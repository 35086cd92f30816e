"""Each invariant of a chaos run can fail: a planted violation is found, and by that invariant alone."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db import transaction

from automate_core import sql
from automate_core.ids import uuid7
from automate_core.models import DEFAULT_TENANT_ID, Tenant
from tests.chaos import invariants

pytestmark = pytest.mark.django_db

LEASE = 10.0
LONG_AGO = "clock_timestamp() - interval '1 hour'"


@pytest.fixture(autouse=True)
def _prepared():
    invariants.prepare()
    yield
    # The database would refuse some of what is planted, at the end of the transaction: it has none.
    transaction.set_rollback(True)


def event(**columns):
    return _insert("automate_event", {"type": "order", "payload": "{}", **columns})


def automation(**columns):
    row = {
        "name": "A",
        "slug": "a",
        "description": "",
        "enabled": True,
        "created_at": "now",
        "updated_at": "now",
    }
    return _insert("automate_automation", {**row, **columns})


def trigger(**columns):
    row = {"type": "event", "config": "{}", "event_type": "order", "source": "", "is_enabled": True}
    return _insert("automate_trigger", {**row, "created_at": "2020-01-01", **columns})


def version(**columns):
    row = {"number": 1, "graph": "{}", "trigger_type": "event", "trigger_config": "{}", "content_hash": ""}
    return _insert("automate_workflowversion", {**row, "created_at": "now", **columns})


def execution(status="SUCCESS", **columns):
    finished = "now" if status in ("SUCCESS", "FAILED") else None
    row = {"automation_id": uuid7(), "context": "{}", "status": status, "finished_at": finished}
    return _insert("automate_execution", {**row, **columns})


def step(execution_id, status="SUCCESS", **columns):
    row = {
        "execution_id": execution_id, "path": "s", "node_key": "s", "node_type": "set", "attempt": 1,
        "status": status, "effect": "pure", "seq": 1,
    }  # fmt: skip
    return _insert("automate_steprun", {**row, **columns})


def item(kind="execution", **columns):
    row = {"tenant_id": DEFAULT_TENANT_ID, "kind": kind, "payload": "{}", "available_at": "now", **columns}
    names = ", ".join(row)
    values = ", ".join(f"%({name})s" for name in row)
    return sql.execute(f"INSERT INTO automate_core_outboxitem ({names}) VALUES ({values}) RETURNING id", row)[
        0
    ][0]


def carried(execution_id):
    return item(payload=f'{{"execution_id": "{execution_id}"}}', available_at="infinity")


def ledger(execution_id, mode, step="s", keys=1, requests=1, effects=1):
    return {
        "execution": str(execution_id), "mode": mode, "step": step, "keys": keys, "requests": requests,
        "effects": effects,
    }  # fmt: skip


def other_tenant() -> UUID:
    return Tenant.objects.create(slug="other", name="Other").id


def _insert(table, columns):
    row = {"id": uuid7(), "tenant_id": DEFAULT_TENANT_ID, **columns}
    names, values = ", ".join(row), ", ".join(f"%({name})s" for name in row)
    sql.execute(f"INSERT INTO {table} ({names}) VALUES ({values})", row)
    return row["id"]


def undispatched_event():
    item("event", payload=f'{{"event_id": "{event()}"}}', available_at="2020-01-01")


def listener_whose_deadline_nobody_keeps():
    step(execution("WAITING"), "WAITING", wake_event="order.paid", wake_at="now")


def execution_that_waits_for_nothing():
    step(execution("WAITING"), "WAITING", wake_at="now")


def answer_nobody_takes():
    execution_id = execution("WAITING")
    step(execution_id, "WAITING", wake_event="order.paid", answer='{"output": 1}')
    # It waits for something else as well, so that only the answer is overlooked.
    step(execution_id, "WAITING", path="other", wake_event="order.paid")


def limited(limit=1):
    automation_id = automation()
    graph = f'{{"settings": {{"concurrency": {{"limit": {limit}}}}}}}'
    version_id = version(automation_id=automation_id, graph=graph)
    sql.execute("UPDATE automate_automation SET live_version_id = %s", [version_id])
    return automation_id


def held_beside_a_free_place():
    automation_id = limited(2)
    carried(execution("RUNNING", automation_id=automation_id, key="k"))
    execution("QUEUED", automation_id=automation_id, key="k", held_at="now")


def held_without_a_limit():
    execution("QUEUED", automation_id=automation(), key="k", held_at="now")


def let_in_over_the_limit():
    automation_id = limited(1)
    carried(execution("RUNNING", automation_id=automation_id, key="k"))
    late = execution("QUEUED", automation_id=automation_id, key="k", held_at="now")
    sql.execute("UPDATE automate_execution SET held_at = NULL WHERE id = %s", [late])
    carried(late)


def caller_never_told():
    caller = execution("WAITING")
    step(caller, "WAITING", wake_event="")
    execution(parent_execution_id=caller, parent_path="s")


def event_that_started_nothing():
    event()
    trigger(automation_id=automation())


def execution_nobody_carries_on():
    execution("RUNNING")


def execution_overdue():
    item(payload=f'{{"execution_id": "{execution("QUEUED")}"}}', available_at="2020-01-01")


def old_lease():
    item_id = item()
    sql.execute(
        f"UPDATE automate_core_outboxitem SET status = 'CLAIMED', lease_owner = 'w', lease_renewed_at = {LONG_AGO},"
        f" lease_expires_at = {LONG_AGO} WHERE id = %s",
        [item_id],
    )


def event_run_twice():
    sql.execute("DROP INDEX automate_execution_once")
    same = {"event_id": event(), "trigger_id": uuid7()}
    execution(**same)
    execution(**same)


def step_succeeded_twice():
    execution_id = execution()
    step(execution_id)
    step(execution_id, attempt=2)


def success_with_open_step():
    step(execution(), "WAITING")


def success_after_a_failed_step():
    step(execution(), "FAILED")


def success_after_a_failure_in_a_good_iteration():
    execution_id = execution()
    step(execution_id, path="loop", node_type="for_each", output_data='{"count": 1, "failed": 0}')
    step(execution_id, path="loop[0]", node_type="for_each")
    step(execution_id, "FAILED", path="loop[0]/s")


def success_after_a_cancelled_step_in_a_good_iteration():
    execution_id = execution()
    step(execution_id, path="loop[0]", node_type="while")
    step(execution_id, "CANCELLED", path="loop[0]/s")


def loop_without_one_of_its_iterations():
    execution_id = execution()
    step(execution_id, path="loop", node_type="for_each", output_data='{"count": 2, "failed": 0}')
    step(execution_id, path="loop[0]", node_type="for_each")


def loop_with_an_uncounted_failure():
    execution_id = execution()
    step(execution_id, path="loop", node_type="for_each", output_data='{"count": 2, "failed": 2}')
    step(execution_id, path="loop[0]", node_type="for_each")
    step(execution_id, "FAILED", path="loop[1]", node_type="for_each")


def failed_with_a_call_in_the_air():
    step(execution("FAILED"), "RUNNING")


def epoch_fallen():
    item_id = item(lease_epoch=5)
    sql.execute("UPDATE automate_core_outboxitem SET lease_epoch = 4 WHERE id = %s", [item_id])


def claimed_too_often():
    item(attempts=4, max_attempts=3)


def execution_of_another_tenants_automation():
    execution(automation_id=automation(tenant_id=other_tenant()))


def wrote_twice():
    execution_id = execution()
    step(execution_id, path="note", node_type="chaos_note")
    for _ in range(2):
        sql.execute("INSERT INTO chaos_noted VALUES (%s, 'note')", [execution_id])


def wrote_without_success():
    execution_id = execution("FAILED")
    step(execution_id, "FAILED", path="note", node_type="chaos_note", error_code="WORKER_LOST")
    sql.execute("INSERT INTO chaos_noted VALUES (%s, 'note')", [execution_id])


def succeeded_without_writing():
    step(execution(), path="note", node_type="chaos_note")


def key_changed():
    execution_id = execution()
    step(execution_id)
    return [ledger(execution_id, "idempotent", keys=2)]


def idempotent_effect_twice():
    execution_id = execution()
    step(execution_id)
    return [ledger(execution_id, "idempotent", effects=2)]


def other_effect_twice():
    execution_id = execution()
    step(execution_id)
    return [ledger(execution_id, "at_most_once", effects=2)]


def success_unknown_to_the_ledger():
    step(execution(), node_type="http.request")


def effect_failed_in_silence():
    execution_id = execution("FAILED")
    step(execution_id, "FAILED", error_code="WORKER_LOST")
    return [ledger(execution_id, "at_most_once")]


PLANTED = {
    "an event nobody dispatched waits for a future time or is a dead letter": [undispatched_event],
    "an event with a matching trigger has an execution or its outbox item": [event_that_started_nothing],
    "an unfinished execution has an outbox item that carries it on, or waits for an answer, a place or a person": [
        execution_nobody_carries_on,
        execution_that_waits_for_nothing,
        listener_whose_deadline_nobody_keeps,
    ],
    "an answered step goes on": [answer_nobody_takes],
    "nobody is held while its key has a free place": [held_beside_a_free_place, held_without_a_limit],
    "a place under a limit is given only when one is free": [let_in_over_the_limit],
    "every finished child's parent step is answered": [caller_never_told],
    "an unfinished execution is not overdue": [execution_overdue],
    "no lease is older than twice the lease": [old_lease],
    "an event starts an automation's trigger once": [event_run_twice],
    "a step succeeds at most once": [step_succeeded_twice],
    "a successful execution has only finished steps": [success_with_open_step],
    "a successful execution's steps ended well or their failure was handled": [
        success_after_a_failed_step,
        success_after_a_failure_in_a_good_iteration,
        success_after_a_cancelled_step_in_a_good_iteration,
    ],
    "a loop that succeeded counts what became of its iterations": [
        loop_without_one_of_its_iterations,
        loop_with_an_uncounted_failure,
    ],
    "a finished execution has no call without an outcome": [failed_with_a_call_in_the_air],
    "a lease epoch never falls": [epoch_fallen],
    "no item is claimed more often than allowed": [claimed_too_often],
    "no row refers to another tenant's": [execution_of_another_tenants_automation],
    "a database step wrote once when it succeeded, else nothing": [
        wrote_twice,
        wrote_without_success,
        succeeded_without_writing,
    ],
    "a repeatable step has one key and took effect once": [key_changed, idempotent_effect_twice],
    "a step that must not be repeated took effect at most once": [other_effect_twice],
    "a successful call is in the ledger": [success_unknown_to_the_ledger],
    "an effect without a success is flagged as of unknown outcome": [effect_failed_in_silence],
}


def broken(entries):
    invariants.load_ledger(entries or [])
    return [line.split(": ")[1] for line in invariants.violations(LEASE)]


def test_every_invariant_has_a_planted_violation():
    assert set(PLANTED) == set(invariants.INVARIANTS)


@pytest.mark.parametrize(
    ("name", "plant"), [(name, plant) for name, plants in PLANTED.items() for plant in plants]
)
def test_invariant_finds_a_planted_violation(name, plant):
    assert broken(plant()) == [name]


def test_invariants_hold_for_sound_records():
    done, unknown, waiting = execution(), execution("FAILED"), execution("WAITING")
    step(done, "FAILED", path="call", error_code="WORKER_LOST")
    step(done, path="call", attempt=2, node_type="http.request")
    step(done, path="note", node_type="chaos_note")
    sql.execute("INSERT INTO chaos_noted VALUES (%s, 'note')", [done])
    step(unknown, "FAILED", path="mail", error_code="OUTCOME_UNKNOWN")
    step(waiting, "WAITING")
    carried(waiting)
    workflow = automation()
    trigger(automation_id=workflow)
    execution(automation_id=workflow, event_id=event(), version_id=version(automation_id=workflow))
    assert (
        broken([ledger(done, "idempotent", "call", requests=2), ledger(unknown, "at_most_once", "mail")])
        == []
    )


def test_invariants_hold_for_what_waits_without_an_outbox_item():
    listening, paused = execution("WAITING"), execution("RUNNING", paused_at="now")
    step(listening, "WAITING", wake_event="order.paid")
    step(listening, "FAILED", path="call", wake_at="now", error_code="TIMEOUT")
    step(listening, path="call", attempt=2)
    step(paused, "WAITING", path="delay", wake_at="now")
    step(paused, "WAITING", path="asked", wake_event="", answer='{"output": 1}')
    caller = execution("WAITING")
    step(caller, "WAITING", wake_event="", answer='{"output": 1}')
    carried(caller)
    execution(parent_execution_id=caller, parent_path="s")
    full, asked = limited(1), automation(slug="b")
    carried(execution("WAITING", automation_id=full, key="k"))
    execution("QUEUED", automation_id=full, key="k", held_at="now")
    execution("QUEUED", automation_id=asked, key="k", held_at="now")
    item("admit", payload=f'{{"automation_id": "{asked}", "key": "k"}}')
    assert broken([]) == []


def test_invariants_hold_for_failures_that_were_handled():
    execution_id = execution()
    step(execution_id, "FAILED", path="risky", route="error", error_code="TEMPLATE_ERROR")
    step(execution_id, "FAILED", path="spare", route="continue", error_code="TEMPLATE_ERROR")
    step(execution_id, path="loop", node_type="for_each", output_data='{"count": 3, "failed": 1}')
    step(execution_id, path="loop[0]", node_type="for_each")
    step(execution_id, "FAILED", path="loop[1]", node_type="for_each")
    step(execution_id, "FAILED", path="loop[1]/charge", error_code="TIMEOUT")
    step(execution_id, "CANCELLED", path="loop[1]/wait")
    step(execution_id, path="loop[2]", node_type="for_each", route="continue")
    step(execution_id, "CANCELLED", path="loop[2]/wait")
    step(execution_id, path="early", node_type="for_each", output_data='{"count": 4, "failed": 0}')
    step(execution_id, path="early[0]", node_type="for_each", route="break")
    assert broken([]) == []
