"""Model triggers that name fields: what an update changed is what the database held before and holds after it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Concat

from automate import model_triggers, triggers
from automate.models import Event, Execution
from automate.triggers import trigger_problems
from tests.factories.engine import drain, node, workflow

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch):
    # What is read in a test stays fresh until its end, however slow the machine.
    monkeypatch.setattr("automate.model_triggers.watched.FRESH_SECONDS", 3600.0)
    model_triggers.forget()
    yield
    model_triggers.forget()


def watch(*fields, slug="watch", **config):
    config = {"model": "auth.User", **({"fields": list(fields)} if fields else {}), **config}
    return workflow(node("a", "merge"), slug=slug, trigger_type="model", trigger_config=config)


def user(**more):
    made = User.objects.create(username="ada", email="old@example.com", **more)
    Event.objects.all().delete()
    return made


def changed():
    return [payload["changed"] for payload in Event.objects.order_by("id").values_list("payload", flat=True)]


def test_update_of_a_named_field_tells_old_and_new():
    watch("email")
    ada = user()
    ada.email = "new@example.com"
    ada.save()
    payload = Event.objects.get().payload
    assert payload["changed"] == {"email": {"old": "old@example.com", "new": "new@example.com"}}
    assert (payload["change"], payload["object"]["email"]) == ("updated", "new@example.com")


def test_update_of_other_fields_tells_nothing():
    watch("email")
    ada = user()
    ada.first_name = "Ada"
    ada.save()
    ada.save()
    assert Event.objects.count() == 0


def test_created_and_deleted_are_told_whatever_the_fields():
    watch("email")
    ada = User.objects.create(username="ada")
    ada.delete()
    assert sorted(Event.objects.values_list("payload__change", flat=True)) == ["created", "deleted"]


def test_update_fields_count_and_what_was_not_saved_does_not():
    watch("email", "first_name")
    ada = user()
    ada.email, ada.first_name = "new@example.com", "Ada"
    ada.save(update_fields=["first_name"])
    assert changed() == [{"first_name": {"old": "", "new": "Ada"}}]


def test_deferred_fields_are_compared_too():
    watch("email")
    user()
    ada = User.objects.only("username").get()
    ada.email = "new@example.com"
    ada.save()
    assert changed() == [{"email": {"old": "old@example.com", "new": "new@example.com"}}]


def test_refreshed_instance_changes_nothing():
    watch("email")
    ada = user()
    ada.email = "forgotten@example.com"
    ada.refresh_from_db()
    ada.save()
    assert Event.objects.count() == 0


def test_stale_instance_tells_what_it_really_overwrote():
    watch("email")
    stale = user()
    fresh = User.objects.get()
    fresh.email = "between@example.com"
    fresh.save()
    stale.save()
    assert changed()[1] == {"email": {"old": "between@example.com", "new": "old@example.com"}}


def test_instance_made_by_hand_is_compared_with_the_row():
    watch("email")
    held = user()
    User(pk=held.pk, username="ada", email="new@example.com", date_joined=held.date_joined).save()
    assert changed() == [{"email": {"old": "old@example.com", "new": "new@example.com"}}]


def test_expression_is_told_by_the_value_it_came_to():
    watch("email")
    ada = user()
    ada.email = Concat(F("email"), Value(".uk"))
    ada.save()
    assert changed() == [{"email": {"old": "old@example.com", "new": "old@example.com.uk"}}]
    assert Event.objects.get().payload["object"]["email"] == "old@example.com.uk"


def test_rollback_takes_the_event_along_and_a_second_save_compares_with_the_first():
    watch("email")
    ada = user()
    with transaction.atomic():
        ada.email = "a@example.com"
        ada.save()
        ada.email = "b@example.com"
        ada.save()
        assert changed() == [
            {"email": {"old": "old@example.com", "new": "a@example.com"}},
            {"email": {"old": "a@example.com", "new": "b@example.com"}},
        ]
        transaction.set_rollback(True)
    assert Event.objects.count() == 0


def test_each_trigger_starts_for_its_own_fields():
    watch("email", slug="email")
    watch("first_name", slug="name")
    watch(slug="any")
    ada = user()
    ada.email = "new@example.com"
    ada.save()
    ada.last_name = "L"
    ada.save()
    drain()
    started = Execution.objects.order_by("id").values_list("automation__slug", "event__payload__change")
    assert sorted(started) == [("any", "updated"), ("any", "updated"), ("email", "updated")]


def test_rule_reads_what_changed():
    watch("email", rule={"==": [{"var": "event.payload.changed.email.new"}, "b@example.com"]})
    ada = user()
    for email in ("a@example.com", "b@example.com"):
        ada.email = email
        ada.save()
    drain()
    assert Execution.objects.get().event.payload["object"]["email"] == "b@example.com"


def test_field_and_column_of_a_relation_mean_the_same():
    for name in ("user", "user_id"):
        config = {"model": "admin.LogEntry", "fields": [name]}
        made = workflow(node("a", "merge"), slug=name, trigger_type="model", trigger_config=config)
        assert made.triggers.get().config["fields"] == ["user_id"]


def test_models_without_named_fields_are_not_read_before_they_are_saved(django_assert_num_queries):
    workflow(node("a", "merge"), trigger_type="model", trigger_config={"model": "auth.Group"})
    group = Group.objects.create(name="a")
    with django_assert_num_queries(1):
        group.save()


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        ({"fields": []}, ["trigger_config.fields"]),
        ({"fields": "email"}, ["trigger_config.fields"]),
        ({"fields": ["email", "nope", 5]}, ["trigger_config.fields[1]", "trigger_config.fields[2]"]),
        ({"fields": ["email"], "changes": ["created"]}, ["trigger_config.fields"]),
        ({"fields": ["email"], "changes": ["updated"]}, []),
    ],
)
def test_problems_name_the_field(config, fields):
    found = trigger_problems("model", {"model": "auth.User", **config})
    assert [problem.field for problem in found] == fields


def test_binary_field_cannot_be_named(monkeypatch):
    monkeypatch.setattr(triggers, "UNWATCHED_APPS", ())
    config = {"model": "automate_api.IdempotencyRecord", "fields": ["status", "body"]}
    assert [problem.field for problem in trigger_problems("model", config)] == ["trigger_config.fields[1]"]
