from __future__ import annotations

import base64
import io
import os
import sys

import pytest
from django.core.management import CommandError, call_command

from automate_core.context import tenant_scope
from automate_core.ids import uuid7
from automate_core.models import AuditEntry, Secret, Tenant
from automate_core.secrets import resolve, store

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("automate_secret", *arguments, stdout=out)
    return out.getvalue()


def test_set_takes_the_value_as_an_option() -> None:
    assert run("set", "API_KEY", "--value", "one") == "Stored $secret:API_KEY, version 1\n"
    assert run("set", "API_KEY", "--value", "two") == "Stored $secret:API_KEY, version 2\n"
    assert resolve("$secret:API_KEY") == "two"
    assert set(AuditEntry.objects.values_list("actor", flat=True)) == {"command:automate_secret"}


@pytest.mark.parametrize(
    ("given", "stored"), [("one", "one"), ("one\n", "one"), ("one\r\n", "one"), (" a\n\nb\n\n", " a\n\nb\n")]
)
def test_set_takes_the_value_from_standard_input(
    given: str, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(given, newline=""))
    run("set", "API_KEY")
    assert resolve("$secret:API_KEY") == stored


def test_set_refuses_an_empty_or_binary_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    with pytest.raises(CommandError, match="value must have 1 to 65536 bytes, not 0"):
        run("set", "API_KEY")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8"))
    with pytest.raises(CommandError, match="not UTF-8 text"):
        run("set", "API_KEY")
    assert Secret.all_tenants.count() == 0


def test_verbs_work_in_the_tenant_named() -> None:
    acme = Tenant.objects.create(id=uuid7(), slug="acme", name="Acme")
    run("set", "API_KEY", "--tenant", "acme", "--value", "acme's")
    with tenant_scope(acme.id):
        assert resolve("$secret:API_KEY") == "acme's"
    assert run("list") == ""
    assert run("list", "--tenant", "acme").startswith("API_KEY\tversion 1\tkey ")
    assert run("delete", "API_KEY", "--tenant", "acme") == "Deleted $secret:API_KEY\n"
    assert Secret.all_tenants.count() == 0


def test_list_never_shows_values() -> None:
    store("A", "canary-a", by="test")
    store("B", "canary-b", by="test")
    listed = run("list")
    assert [line.split("\t")[0] for line in listed.splitlines()] == ["A", "B"]
    assert "canary" not in listed


def test_rotate_keys_counts(settings) -> None:
    store("A", "one", by="test")
    settings.AUTOMATE = {"SECRET_KEYS": [base64.b64encode(os.urandom(32)).decode()]}
    assert (run("rotate-keys"), run("rotate-keys")) == (
        "1 secrets re-encrypted\n",
        "0 secrets re-encrypted\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["delete", "ABSENT"], "Secret 'ABSENT' does not exist in this tenant"),
        (["set", "not a name", "--value", "x"], "name must be a name of letters"),
        (["list", "--tenant", "nobody"], "There is no tenant 'nobody'"),
    ],
)
def test_refusals_exit_with_1(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message) as caught:
        run(*arguments)
    assert caught.value.returncode == 1


def test_help_shows_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("--help")
    shown = capsys.readouterr().out
    assert caught.value.code == 0
    assert "automate_secret set STRIPE_API_KEY < key.txt" in shown
    assert "exit codes: 0 done; 1 refused or not found" in shown
