"""Triggers of the database: bulk and raw changes start workflows too, each change is told once, loops end."""

from __future__ import annotations

import io
import threading
from uuid import UUID

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models import Value
from django.db.models.functions import Concat

from automate import model_triggers
from automate.events import emit_event
from automate.model_triggers import database
from automate.models import Event, Execution
from automate_connectors.models import Connection
from automate_core.context import Cause, cause_scope
from automate_core.ids import uuid7
from automate_core.models import DEFAULT_TENANT_ID, AuditEntry, OutboxItem, Tenant
from automate_core.steps import Effect
from tests.factories.engine import EVENT, drain, node, workflow

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _nothing_remembered():
    model_triggers.forget()
    database.forget()
    yield
    run("remove", "--all")
    model_triggers.forget()
    database.forget()


def run(*arguments):
    out = io.StringIO()
    call_command("automate_model_triggers", *arguments, stdout=out)
    return out.getvalue()


def watch(model="auth.Group", slug="watch", **config):
    return workflow(
        node("a", "merge"), slug=slug, trigger_type="model", trigger_config={"model": model, **config}
    )


def told():
    return [
        (kind.rpartition(".")[2], payload["object"]["name"])
        for kind, payload in Event.objects.order_by("id").values_list("type", "payload")
    ]


def test_bulk_create_update_delete_and_raw_sql_are_told():
    watch()
    run("install", "auth.Group")
    Group.objects.bulk_create([Group(name="a")])
    Group.objects.filter(name="a").update(name="b")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO auth_group (name) VALUES ('c')")
        cursor.execute("DELETE FROM auth_group WHERE name = 'b'")
    assert told() == [("created", "a"), ("updated", "b"), ("created", "c"), ("deleted", "b")]
    drain()
    assert list(Execution.objects.values_list("status", flat=True)) == ["SUCCESS"] * 4
    assert OutboxItem.objects.count() == 0


def test_payload_is_that_of_the_signals():
    watch()
    watch("auth.User", "users", fields=["email"])
    for label in ("auth.Group", "auth.User"):
        run("install", label)
    group = Group.objects.create(name="a")
    event = Event.objects.get()
    assert (event.type, event.source, event.tenant_id) == (
        "model.auth.group.created",
        "model",
        DEFAULT_TENANT_ID,
    )
    assert event.payload == {
        "model": "auth.group",
        "change": "created",
        "pk": str(group.pk),
        "object": model_triggers.snapshot(group),
    }
    assert (event.depth, event.cause_execution_id, event.dedupe_key) == (0, None, None)
    ada = User.objects.create(username="ada", email="a@example.com")
    ada.email = "b@example.com"
    ada.save()
    updated = Event.objects.get(type="model.auth.user.updated").payload
    assert updated["changed"] == {"email": {"old": "a@example.com", "new": "b@example.com"}}
    assert set(updated["object"]) == set(model_triggers.snapshot(ada))


def test_each_change_is_told_once_before_during_and_after():
    watch()
    group = Group.objects.create(name="a")
    run("install", "auth.Group")
    group.name = "b"
    group.save()
    run("remove", "auth.Group")
    group.name = "c"
    group.save()
    assert told() == [("created", "a"), ("updated", "b"), ("updated", "c")]


def test_installing_waits_for_a_writer_and_its_change_is_told_once():
    watch()
    installed = threading.Event()

    def install():
        try:
            run("install", "auth.Group")
            installed.set()
        finally:
            connection.close()

    with transaction.atomic():
        Group.objects.create(name="a")
        thread = threading.Thread(target=install)
        thread.start()
        with connection.cursor() as cursor:
            for _ in range(2_000):
                cursor.execute(
                    "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'auth_group'::regclass"
                )
                if cursor.fetchone()[0]:
                    break
        assert not installed.is_set()
    thread.join(60)
    Group.objects.create(name="b")
    assert told() == [("created", "a"), ("created", "b")]


def test_rollback_takes_the_events_along():
    watch()
    run("install", "auth.Group")
    with transaction.atomic():
        Group.objects.bulk_create([Group(name="a"), Group(name="b")])
        assert Event.objects.count() == 2
        transaction.set_rollback(True)
    assert (Event.objects.count(), OutboxItem.objects.count()) == (0, 0)


def test_nobody_watching_means_no_events():
    run("install", "auth.Group")
    Group.objects.create(name="a")
    watch(changes=["deleted"])
    Group.objects.filter(name="a").update(name="b")
    assert Event.objects.count() == 0
    Group.objects.all().delete()
    assert told() == [("deleted", "b")]


def test_update_is_told_only_when_a_named_field_changed():
    watch("auth.User", fields=["email"])
    User.objects.create(username="ada", email="a@example.com")
    Event.objects.all().delete()
    run("install", "auth.User")
    User.objects.update(first_name="Ada")
    User.objects.update(email="a@example.com")
    assert Event.objects.count() == 0
    User.objects.update(email="b@example.com", last_name="L")
    assert Event.objects.get().payload["changed"] == {
        "email": {"old": "a@example.com", "new": "b@example.com"},
        "last_name": {"old": "", "new": "L"},
    }


def test_rows_of_a_tenant_become_its_events():
    other = Tenant.objects.create(slug="other", name="Other")
    watch("automate_connectors.Connection")
    run("install", "automate_connectors.Connection")
    for tenant in (other.id, DEFAULT_TENANT_ID):
        Connection.all_tenants.bulk_create([Connection(tenant_id=tenant, name="a", connector="http")])
    assert list(Event.all_tenants.values_list("tenant_id", flat=True)) == [DEFAULT_TENANT_ID]


def test_rows_without_a_tenant_become_events_of_the_chosen_one():
    other = Tenant.objects.create(slug="other", name="Other")
    watch()
    run("install", "auth.Group", "--tenant", "other")
    Group.objects.create(name="a")
    assert Event.all_tenants.count() == 0
    run("install", "auth.Group")
    Group.objects.create(name="b")
    assert Event.all_tenants.get().tenant_id == DEFAULT_TENANT_ID
    assert other.id != DEFAULT_TENANT_ID


def test_ids_are_version_7_and_of_now():
    watch()
    run("install", "auth.Group")
    before = uuid7()
    Group.objects.bulk_create([Group(name=f"g{n}") for n in range(2_000)])
    after = uuid7()
    ids = list(Event.objects.values_list("id", flat=True))
    assert len(set(ids)) == 2_000
    assert {(one.version, one.variant) for one in ids} == {(7, "specified in RFC 4122")}
    slack = UUID(int=1).int << 90
    assert all(before.int - slack < one.int < after.int + slack for one in ids)


def test_events_cost_the_client_no_statement(django_assert_num_queries):
    watch()
    run("install", "auth.Group")
    Group.objects.bulk_create([Group(name=f"g{n}") for n in range(500)])
    with django_assert_num_queries(1):
        Group.objects.update(name=Concat("name", Value("x")))
    assert Event.objects.count() == 1_000


def test_loop_through_the_database_ends_at_the_configured_depth(register_step, settings):
    settings.AUTOMATE = {"MAX_CAUSATION_DEPTH": 3}
    wrote = []

    def act(config, context):
        wrote.append(context.execution_id)
        Group.objects.filter(name="a").update(name="a")

    register_step("t.write", Effect.DATABASE, act)
    Group.objects.create(name="a")
    workflow(
        node("write", "t.write", retry={"max_attempts": 1}),
        trigger_type="model",
        trigger_config={"model": "auth.Group"},
    )
    run("install", "auth.Group")
    Group.objects.filter(name="a").update(name="a")
    drain()
    outcomes = Execution.objects.order_by("depth").values_list("depth", "status")
    assert list(outcomes) == [(0, "SUCCESS"), (1, "SUCCESS"), (2, "SUCCESS"), (3, "FAILED")]
    assert [event.cause_execution_id for event in Event.objects.order_by("depth")] == [None, *wrote[:3]]


def test_write_outside_a_transaction_names_its_cause_and_the_next_one_does_not():
    watch()
    run("install", "auth.Group")
    cause = Cause(uuid7(), 2)
    with cause_scope(cause):
        Group.objects.bulk_create([Group(name="in")], ignore_conflicts=True)
        assert not connection.in_atomic_block
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO auth_group (name) VALUES ('raw')")
    Group.objects.create(name="out")
    assert list(Event.objects.order_by("id").values_list("cause_execution_id", "depth")) == [
        (cause.execution_id, 2),
        (cause.execution_id, 2),
        (None, 0),
    ]


def test_event_from_inside_a_step_carries_its_trace_and_one_from_outside_none(register_step):
    watch()
    run("install", "auth.Group")
    register_step(
        "t.write", Effect.DATABASE, lambda config, context: Group.objects.filter(name="a").update(name="in")
    )
    Group.objects.create(name="a")
    Event.objects.all().delete()
    workflow(node("write", "t.write"))
    emit_event(EVENT, {})
    drain()
    Group.objects.bulk_create([Group(name="out")])
    inside, outside = Event.objects.filter(source="model").order_by("id")
    first = Event.objects.get(type=EVENT)
    assert (inside.trace_id, inside.depth) == (first.trace_id, 1)
    assert (outside.depth, outside.cause_execution_id, len(outside.trace_id)) == (0, None, 32)


def test_status_says_what_is_installed_and_what_is_outdated(settings):
    assert run("status").splitlines() == ["MODEL  TABLE  STATE  TENANT"]
    run("install", "auth.Group", "automate_connectors.Connection")
    assert [line.split() for line in run("status").splitlines()[1:]] == [
        ["auth.group", "auth_group", "on", "default"],
        ["automate_connectors.connection", "automate_connectors_connection", "on", "each", "row's", "own"],
    ]
    settings.AUTOMATE = {"MAX_CLAIMS": 7}
    assert "outdated: install it again" in run("status")
    run("install", "auth.Group", "automate_connectors.Connection")
    assert "outdated" not in run("status")


def test_remove_leaves_nothing_behind():
    run("install", "auth.Group", "auth.Permission")
    run("remove", "auth.Group")
    watch("auth.Permission")
    Permission.objects.filter(pk=Permission.objects.first().pk).update(name="x")
    assert Event.objects.count() == 1
    run("remove", "--all")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_proc WHERE proname ~ '^automate_(model|plain_row|event_id)'")
        assert cursor.fetchone() == (0,)
    assert run("status").splitlines() == ["MODEL  TABLE  STATE  TENANT"]
    actions = AuditEntry.objects.filter(action__startswith="model_triggers").values_list("action", flat=True)
    assert sorted(actions) == ["model_triggers.install"] * 2 + ["model_triggers.remove"] * 2


def test_host_goes_on_when_the_engine_was_uninstalled_first():
    run("install", "auth.Group")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE automate_trigger RENAME TO automate_trigger_gone")
        cursor.execute("INSERT INTO auth_group (name) VALUES ('a')")
        assert Group.objects.filter(name="a").exists()
        transaction.set_rollback(True)


@pytest.mark.parametrize("label", ["auth.Nope", "nope", "automate.Execution", "sessions.Session"])
def test_what_cannot_be_watched_is_refused(label):
    with pytest.raises(CommandError):
        run("install", label)


def test_remove_wants_to_know_which():
    with pytest.raises(CommandError) as caught:
        run("remove")
    assert caught.value.returncode == 2
    with pytest.raises(CommandError, match="has no triggers"):
        run("remove", "auth.Group")
