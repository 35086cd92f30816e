"""Model triggers: a saved model emits in its own transaction, and only when somebody watches it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection, models, transaction

from automate import model_triggers
from automate.models import Event, Execution, Trigger
from automate_core.context import tenant_scope
from automate_core.models import OutboxItem, Tenant
from tests.factories.engine import drain, node, workflow

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch):
    # What is read in a test stays fresh until its end, however slow the machine.
    monkeypatch.setattr("automate.model_triggers.watched.FRESH_SECONDS", 3600.0)
    model_triggers.forget()
    yield
    model_triggers.forget()


def watch(**config):
    return workflow(
        node("name", "transform", {"output": "{{ event.payload.object.name }}"}),
        trigger_type="model",
        trigger_config={"model": "auth.Group", **config},
    )


def types():
    return list(Event.objects.order_by("id").values_list("type", flat=True))


def test_create_update_and_delete_each_emit_their_change():
    watch()
    group = Group.objects.create(name="a")
    key = str(group.pk)
    group.name = "b"
    group.save()
    group.delete()
    assert types() == [f"model.auth.group.{change}" for change in ("created", "updated", "deleted")]
    payloads = Event.objects.order_by("id").values_list("payload", flat=True)
    assert [(payload["pk"], payload["object"]["name"]) for payload in payloads] == [
        (key, "a"),
        (key, "b"),
        (key, "b"),
    ]
    drain()
    assert list(Execution.objects.values_list("status", flat=True)) == ["SUCCESS"] * 3


def test_change_no_trigger_names_is_not_told_of():
    watch(changes=["created"])
    group = Group.objects.create(name="a")
    group.save()
    group.delete()
    assert types() == ["model.auth.group.created"]


def test_rollback_takes_the_event_along():
    watch()
    with transaction.atomic():
        Group.objects.create(name="a")
        assert Event.objects.count() == 1
        transaction.set_rollback(True)
    assert (Event.objects.count(), OutboxItem.objects.count()) == (0, 0)


def test_model_nobody_watches_emits_nothing():
    watch()
    Permission.objects.first().save()
    assert types() == []


def test_trigger_saved_in_this_process_counts_at_once():
    Group.objects.create(name="before")
    watch()
    Group.objects.create(name="after")
    assert types() == ["model.auth.group.created"]


def test_trigger_that_is_gone_stops_the_events():
    watch()
    Trigger.objects.get().delete()
    Group.objects.create(name="a")
    assert types() == []


def test_unwatched_saves_ask_the_database_once_in_a_while(django_assert_num_queries):
    Group.objects.create(name="a")
    with django_assert_num_queries(1):
        Group.objects.create(name="b")


def test_fixtures_loaded_raw_emit_nothing():
    watch()
    models.signals.post_save.send(Group, instance=Group(name="a"), created=True, raw=True, using="default")
    assert types() == []


def test_event_belongs_to_the_tenant_in_context():
    watch()
    other = Tenant.objects.create(slug="other", name="Other")
    with tenant_scope(other.id):
        Group.objects.create(name="a")
    assert Event.all_tenants.get().tenant_id == other.id


def test_save_before_the_engines_tables_exist_is_left_alone():
    """A host's data migration may run before ours; its transaction must survive the look for triggers."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE automate_trigger RENAME TO automate_trigger_later")
        Group.objects.create(name="a")
        assert Group.objects.filter(name="a").exists()
        transaction.set_rollback(True)
    assert types() == []


def test_snapshot_is_plain_json_by_column():
    class Thing(models.Model):
        amount = models.DecimalField(max_digits=5, decimal_places=2)
        on = models.DateField()
        at = models.DateTimeField()
        blob = models.BinaryField()
        data = models.JSONField()
        group = models.ForeignKey(Group, on_delete=models.CASCADE)

        class Meta:
            app_label = "tests"
            managed = False

    thing = Thing(
        id=1, amount=Decimal("1.50"), on=date(2024, 2, 29), at=datetime(2024, 2, 29, 12, tzinfo=UTC), blob=b"x",
        data={"a": [1]}, group_id=7,
    )  # fmt: skip
    assert model_triggers.snapshot(thing) == {
        "id": 1,
        "amount": "1.50",
        "on": "2024-02-29",
        "at": "2024-02-29T12:00:00Z",
        "data": {"a": [1]},
        "group_id": 7,
    }
