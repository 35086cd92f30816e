from __future__ import annotations

import io
import sys

import pytest
from django.core.management import CommandError, call_command

from automate.models import WebhookSource
from automate.webhooks.sources import look_up
from automate_core.ids import uuid7
from automate_core.models import DEFAULT_TENANT_ID, AuditEntry, Secret, Tenant

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("automate_webhook", *arguments, stdout=out)
    return out.getvalue()


def create(slug: str = "shop", *more: str) -> str:
    return run("create", "--source", slug, "--preset", "generic", "--secret", "s3cret", *more)


def test_create_makes_a_source_that_knows_its_secret() -> None:
    assert create() == "Created shop; post to /api/automate/webhooks/shop/\n"
    assert look_up("shop").keys == (b"s3cret",)
    assert look_up("shop").tenant_id == str(DEFAULT_TENANT_ID)
    assert set(AuditEntry.objects.values_list("actor", flat=True)) == {"command:automate_webhook"}


def test_create_takes_the_secret_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("from stdin\n"))
    run("create", "--source", "shop", "--preset", "generic")
    assert look_up("shop").keys == (b"from stdin",)


def test_create_works_in_the_tenant_named() -> None:
    acme = Tenant.objects.create(id=uuid7(), slug="acme", name="Acme")
    create("shop", "--tenant", "acme")
    assert look_up("shop").tenant_id == str(acme.id)


def test_create_refuses_in_one_line() -> None:
    create()
    with pytest.raises(CommandError, match=r"^Invalid input: source 'shop' already exists$") as caught:
        create()
    assert caught.value.returncode == 1
    with pytest.raises(CommandError, match=r"^Invalid input: source must be 1 to 100 letters"):
        create("no spaces")
    with pytest.raises(CommandError, match="secret must not be empty"):
        run("create", "--source", "other", "--preset", "generic", "--secret", "")
    with pytest.raises(CommandError, match=r"^There is no tenant 'nobody'$"):
        create("other", "--tenant", "nobody")
    with pytest.raises(CommandError, match="invalid choice: 'carrier-pigeon'"):
        run("create", "--source", "other", "--preset", "carrier-pigeon", "--secret", "s")
    assert (WebhookSource.all_tenants.count(), Secret.all_tenants.count()) == (1, 1)


def test_rotate_keeps_the_secret_before() -> None:
    create()
    run("rotate", "--source", "shop", "--secret", "second")
    assert look_up("shop").keys == (b"second", b"s3cret")
    run("rotate", "--source", "shop", "--secret", "third")
    assert look_up("shop").keys == (b"third", b"second")


def test_disable_and_enable_switch_a_source() -> None:
    create()
    assert run("disable", "--source", "shop") == "Disabled shop: its deliveries are refused\n"
    assert look_up("shop").keys == ()
    assert run("enable", "--source", "shop") == "Enabled shop\n"
    assert look_up("shop").keys == (b"s3cret",)
    actions = AuditEntry.objects.filter(target="webhook_source:shop").order_by("id")
    assert list(actions.values_list("action", flat=True)) == [
        "webhook_source.create",
        "webhook_source.disable",
        "webhook_source.enable",
    ]


@pytest.mark.parametrize("verb", [("rotate", "--secret", "s"), ("disable",), ("enable",)])
def test_unknown_source_is_named(verb: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="There is no webhook source 'nowhere'"):
        run(*verb, "--source", "nowhere")


def test_list_shows_sources_without_secrets() -> None:
    Tenant.objects.create(id=uuid7(), slug="acme", name="Acme")
    create("shop")
    create("hub", "--tenant", "acme")
    run("disable", "--source", "hub")
    lines = [line.split()[:4] for line in run("list").splitlines()]
    assert lines == [
        ["SOURCE", "PRESET", "STATE", "TENANT"],
        ["hub", "generic", "off", "acme"],
        ["shop", "generic", "on", "default"],
    ]
    assert [line.split()[0] for line in run("list", "--tenant", "default").splitlines()] == ["SOURCE", "shop"]
    assert "s3cret" not in run("list")


def test_answer_lets_deliveries_wait_or_not() -> None:
    create("shop", "--answer-within", "2.5")
    assert look_up("shop").answer_seconds == 2.5
    assert (
        run("answer", "--source", "shop", "--within", "10") == "Deliveries of shop are answered within 10 s\n"
    )
    assert look_up("shop").answer_seconds == 10.0
    assert run("answer", "--source", "shop", "--within", "0") == "Deliveries of shop are answered at once\n"
    assert look_up("shop").answer_seconds is None
    with pytest.raises(CommandError, match=r"^Invalid input: answer_seconds must be from 0.1 to 60 seconds"):
        run("answer", "--source", "shop", "--within", "61")
