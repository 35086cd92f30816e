"""Executions that are watched: who hears of their end, once, and never a workflow of its own."""

from __future__ import annotations

import pytest
from django.utils import timezone

from automate.enums import ExecutionStatus
from automate.events import emit_event, run_workflow
from automate.executions import watchers
from automate.executions.control import cancel
from automate.executions.watchers import announce, is_watched
from automate.models import Event, Execution, Trigger
from automate.workflows import update_workflow
from automate_core.context import tenant_scope
from automate_core.models import DEFAULT_TENANT_ID, Tenant
from tests.factories.engine import drain, node, workflow

pytestmark = pytest.mark.django_db(transaction=True)

TENANT = str(DEFAULT_TENANT_ID)


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch):
    # What is read in a test stays fresh until its end, however slow the machine.
    monkeypatch.setattr(watchers, "FRESH_SECONDS", 3600.0)
    watchers.forget()
    yield
    watchers.forget()


def watching(slug="watcher", **config):
    return workflow(
        node("said", "transform", {"output": "{{ event.payload }}"}),
        slug=slug,
        trigger_type="execution",
        trigger_config=config,
    )


def watched(slug="orders"):
    return workflow(node("a", "merge"), slug=slug, trigger_type="manual", trigger_config={})


def ended(automation, status="FAILED", **more):
    given = {"finished_at": timezone.now(), "started_at": timezone.now(), **more}
    return Execution.objects.create(automation=automation, status=status, **given)


def test_failure_is_told_with_what_is_known_of_it():
    made = watched()
    watching(on="failed")
    failed = ended(
        made,
        error_code="PERMANENT_ERROR",
        error_summary="a: no",
        output={"n": 1},
        depth=2,
        trace_id="trace-1",
    )
    assert announce([failed.id]) == 1
    event = Event.objects.get()
    assert (event.type, event.source, event.cause_execution_id, event.depth, event.trace_id) == (
        "execution.failed.orders",
        "execution",
        failed.id,
        3,
        "trace-1",
    )
    payload = event.payload
    assert payload.pop("duration_seconds") >= 0
    for name in ("created_at", "started_at", "finished_at"):
        assert payload.pop(name) == getattr(Execution.objects.get(), name).isoformat()
    assert payload == {
        "execution_id": str(failed.id),
        "workflow": "orders",
        "workflow_id": str(made.id),
        "workflow_name": "orders",
        "status": "FAILED",
        "error": {"code": "PERMANENT_ERROR", "message": "a: no"},
        "output": {"n": 1},
        "output_left_out": False,
    }
    drain()
    heard = Execution.objects.get(automation__slug="watcher")
    assert (heard.status, heard.cause_execution_id, heard.depth) == ("SUCCESS", failed.id, 3)
    assert heard.steps.get().output_data["execution_id"] == str(failed.id)


@pytest.mark.parametrize(
    ("on", "heard"),
    [
        ("finished", {"SUCCESS", "FAILED", "CANCELLED"}),
        ("succeeded", {"SUCCESS"}),
        ("failed", {"FAILED"}),
        ("cancelled", {"CANCELLED"}),
    ],
)
def test_trigger_hears_of_the_ends_it_names_and_no_others(on, heard):
    made = watched()
    watching(on=on)
    ends = [ended(made, status) for status in ("SUCCESS", "FAILED", "CANCELLED")]
    assert announce([one.id for one in ends]) == len(heard)
    drain()
    told = Execution.objects.filter(automation__slug="watcher").values_list("cause_execution_id", flat=True)
    assert {one.status for one in ends if one.id in told} == heard


@pytest.mark.parametrize(
    ("glob", "heard"),
    [(None, ["a_b", "axb", "orders"]), ("orders", ["orders"]), ("a_*", ["a_b"]), ("a?b", ["a_b", "axb"])],
)
def test_glob_of_slugs_picks_the_workflows(glob, heard):
    made = [watched(slug) for slug in ("orders", "a_b", "axb")]
    watching(on="finished", **({"workflow": glob} if glob else {}))
    assert sorted(one.slug for one in made if is_watched(TENANT, str(one.id))) == heard
    announce([ended(one).id for one in made])
    drain()
    told = Execution.objects.filter(automation__slug="watcher").values_list(
        "event__payload__workflow", flat=True
    )
    assert sorted(told) == heard


def test_nobody_watching_means_no_event_and_no_question_twice(django_assert_num_queries):
    made = watched()
    assert announce([ended(made).id]) == 0
    with django_assert_num_queries(0):
        assert not is_watched(TENANT, str(made.id))
        assert not is_watched(TENANT, str(made.id))


def test_trigger_of_this_process_counts_at_once_and_a_switched_off_workflow_does_not():
    made = watched()
    assert not is_watched(TENANT, str(made.id))
    watcher = watching(on="failed")
    assert is_watched(TENANT, str(made.id))
    update_workflow(watcher, by="test", enabled=False)
    watchers.forget()
    assert not is_watched(TENANT, str(made.id))
    Trigger.objects.all().delete()
    assert not is_watched(TENANT, str(made.id))


def test_workflow_never_watches_itself():
    watcher = watching(on="finished")
    other = watching("other", on="failed")
    assert is_watched(TENANT, str(watcher.id))
    failed = ended(watcher)
    assert announce([failed.id]) == 1
    drain()
    told = Execution.objects.filter(cause_execution_id=failed.id).values_list("automation__slug", flat=True)
    assert list(told) == ["other"]
    other.delete()
    watchers.forget()
    assert not is_watched(TENANT, str(watcher.id))


def test_end_told_twice_is_one_event_and_an_end_after_a_revival_another():
    made = watched()
    watching(on="failed")
    failed = ended(made, seq=4)
    assert [announce([failed.id]), announce([failed.id, failed.id])] == [1, 0]
    Execution.objects.filter(pk=failed.pk).update(seq=6)
    assert announce([failed.id]) == 1
    assert Event.objects.count() == 2


def test_execution_that_is_still_open_is_not_told_of():
    made = watched()
    watching(on="finished")
    running = Execution.objects.create(automation=made, status=ExecutionStatus.RUNNING)
    assert announce([running.id]) == 0


def test_watchers_of_another_tenant_hear_nothing():
    made = watched()
    with tenant_scope(Tenant.objects.create(slug="other", name="Other").id):
        watching(on="finished")
    assert not is_watched(TENANT, str(made.id))
    assert announce([ended(made).id]) == 0


def test_chain_that_is_too_long_ends_with_a_warning(caplog, settings):
    settings.AUTOMATE = {"MAX_CAUSATION_DEPTH": 3}
    made = watched()
    watching(on="failed")
    deep, shallow = ended(made, depth=3), ended(made, depth=2)
    assert announce([deep.id, shallow.id]) == 1
    assert [record.message for record in caplog.records] == ["watchers.too_deep"]
    assert Event.objects.get().cause_execution_id == shallow.id


def test_long_output_is_left_out():
    made = watched()
    watching(on="succeeded")
    announce([ended(made, "SUCCESS", output={"text": "x" * watchers.OUTPUT_LIMIT_BYTES}).id])
    payload = Event.objects.get().payload
    assert (payload["output"], payload["output_left_out"]) == (None, True)


def test_rule_narrows_further():
    made = watched()
    watching(on="failed", rule={"==": [{"var": "event.payload.error.code"}, "TIMEOUT"]})
    for code in ("TIMEOUT", "PERMANENT_ERROR"):
        announce([ended(made, error_code=code).id])
    drain()
    heard = Execution.objects.filter(automation__slug="watcher")
    assert [one.event.payload["error"]["code"] for one in heard] == ["TIMEOUT"]


def test_failing_workflow_starts_its_watcher_by_itself():
    workflow(
        node("a", "transform", {"output": "{{ event.payload.nope }}"}), trigger_config={"event_type": "go"}
    )
    watching(on="failed")
    emit_event("go", {})
    drain()
    drain()
    heard = Execution.objects.get(automation__slug="watcher")
    failed = Execution.objects.get(automation__slug="orders")
    assert (heard.status, heard.cause_execution_id, heard.depth) == ("SUCCESS", failed.id, 1)
    assert heard.steps.get().output_data["error"]["code"] == "TEMPLATE_ERROR"


def test_watchers_that_fail_themselves_come_to_an_end(settings):
    settings.AUTOMATE = {"MAX_CAUSATION_DEPTH": 4}
    wrong = node("a", "transform", {"output": "{{ event.payload.nope }}"})
    workflow(wrong, trigger_config={"event_type": "go"})
    for slug in ("first", "second"):
        workflow(wrong, slug=slug, trigger_type="execution", trigger_config={"on": "failed"})
    emit_event("go", {})
    for _ in range(10):
        drain()
    depths = list(Execution.objects.order_by("depth").values_list("depth", flat=True))
    # Both hear of the first failure; from then on each hears of the other only.
    assert depths == [0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert set(Execution.objects.values_list("status", flat=True)) == {"FAILED"}


def test_cancelled_execution_is_told_of():
    made = watched()
    watching(on="cancelled")
    held = Execution.objects.get(pk=run_workflow(made.slug, {}))
    cancel(held, by="test")
    drain()
    assert Execution.objects.get(automation__slug="watcher").cause_execution_id == held.id
