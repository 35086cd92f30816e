"""Webhook sources: who may be one, and whose secrets count for how long."""

from __future__ import annotations

import pytest
from django.db import IntegrityError

from automate.models import WebhookSource
from automate.webhooks import sources
from automate_core.errors import ValidationFailed
from automate_core.models import AuditEntry, Secret

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_cached():
    sources.forget()
    yield
    sources.forget()


def create(**changes):
    return sources.create_source(
        **{"slug": "shop", "preset": "generic", "secret": "s3cret", "by": "test", **changes}
    )


def test_source_is_found_with_its_key_and_the_secret_is_stored_encrypted():
    create(type_field="kind")
    found = sources.look_up("shop")
    assert (found.preset, found.keys, found.type_header, found.type_field) == (
        "generic",
        (b"s3cret",),
        None,
        "kind",
    )
    assert b"s3cret" not in repr(list(Secret.all_tenants.values())).encode()
    assert (
        AuditEntry.objects.filter(action="webhook_source.create", target="webhook_source:shop").count() == 1
    )


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"preset": "fax"}, "preset"),
        ({"slug": ""}, "source"),
        ({"slug": "a/b"}, "source"),
        ({"slug": "ærø"}, "source"),
        ({"slug": "x" * 101}, "source"),
        ({"secret": ""}, "secret"),
        ({"answer_seconds": 0.0}, "answer_seconds"),
        ({"answer_seconds": 60.1}, "answer_seconds"),
        ({"answer_seconds": float("nan")}, "answer_seconds"),
    ],
)
def test_wrong_source_is_refused_by_field(changes, field):
    with pytest.raises(ValidationFailed) as caught:
        create(**changes)
    assert [problem.field for problem in caught.value.details] == [field]
    assert WebhookSource.objects.count() == 0


def test_second_source_of_the_same_name_is_refused_and_keeps_the_firsts_secret():
    create()
    with pytest.raises(ValidationFailed, match="Invalid input"):
        create(secret="other")
    sources.forget()
    assert sources.look_up("shop").keys == (b"s3cret",)


@pytest.mark.parametrize("disabled", [False, True])
def test_unknown_or_disabled_source_has_no_keys(disabled):
    if disabled:
        create()
        WebhookSource.objects.update(is_enabled=False)
    assert sources.look_up("shop").keys == ()


def test_rotation_keeps_the_secret_before_and_no_older_one():
    source = create()
    for secret in ("second", "third"):
        source = sources.rotate_secret(source, secret, by="test")
    assert sources.look_up("shop").keys == (b"third", b"second")


def test_secret_that_is_gone_leaves_the_other():
    sources.rotate_secret(create(), "second", by="test")
    Secret.all_tenants.filter(name="webhook.shop").delete()
    sources.forget()
    assert b"s3cret" in sources.look_up("shop").keys


def test_what_was_read_is_believed_until_something_changes():
    create()
    read = sources.look_up("shop")
    assert sources.cached("shop") is read
    sources.rotate_secret(WebhookSource.objects.get(), "new", by="test")
    assert sources.cached("shop") is None


def test_what_was_read_is_not_believed_for_long(monkeypatch):
    create()
    sources.look_up("shop")
    real = sources.time.monotonic
    monkeypatch.setattr(sources.time, "monotonic", lambda: real() + sources.FRESH_SECONDS)
    assert sources.cached("shop") is None


def test_deliveries_wait_for_an_answer_only_where_that_is_said():
    assert create().answer_seconds is None
    assert sources.look_up("shop").answer_seconds is None
    create(slug="form", answer_seconds=2.5)
    assert sources.look_up("form").answer_seconds == 2.5


def test_time_for_an_answer_is_changed_at_once_and_audited():
    source = create()
    sources.look_up("shop")
    for seconds in (60.0, 0.1, None):
        source = sources.answer_within(source, seconds, by="test")
        assert sources.cached("shop") is None
        assert sources.look_up("shop").answer_seconds == seconds
    assert AuditEntry.objects.filter(action="webhook_source.answer_within").count() == 3


@pytest.mark.parametrize("seconds", [0.0, 0.09, 61.0, -1.0, float("nan"), float("inf")])
def test_time_for_an_answer_outside_the_limits_is_refused(seconds):
    with pytest.raises(ValidationFailed) as caught:
        sources.answer_within(create(), seconds, by="test")
    assert [problem.field for problem in caught.value.details] == ["answer_seconds"]
    assert WebhookSource.objects.get().answer_seconds is None


def test_database_itself_refuses_another_time_for_an_answer():
    with pytest.raises(IntegrityError, match="automate_webhooksource_answer_seconds"):
        WebhookSource.objects.filter(pk=create().pk).update(answer_seconds=61)
