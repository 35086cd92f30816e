from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from automate_core import audit, audit_chain
from automate_core.context import tenant_scope
from automate_core.ids import uuid7
from automate_core.management.commands import automate_audit
from automate_core.models import AuditEntry, AuditHead, Tenant

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, str, int]:
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("automate_audit", "verify", *arguments, stdout=out, stderr=err)
    except CommandError as error:
        return out.getvalue(), f"{err.getvalue()}{error}", error.returncode
    return out.getvalue(), err.getvalue(), 0


@pytest.fixture
def acme() -> Tenant:
    return Tenant.objects.create(id=uuid7(), slug="acme", name="Acme")


@pytest.fixture
def entries(acme: Tenant) -> list[AuditEntry]:
    with tenant_scope(acme.id):
        made = [audit.record(actor="user:1", action="a.b", target=f"t:{number}") for number in range(5)]
    audit.record(actor="user:1", action="a.b", target="t")
    audit_chain.seal()
    for entry in made:
        entry.refresh_from_db()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE automate_core_auditentry DISABLE TRIGGER automate_audit_append_only")
        cursor.execute("ALTER TABLE automate_core_audithead DISABLE TRIGGER automate_audit_head_only_grows")
    return made


def test_verify_prints_the_end_of_each_chain(entries: list[AuditEntry]) -> None:
    out, err, code = run()
    assert (code, err, len(out.splitlines())) == (0, "", 2)
    assert run("--tenant", "acme") == (f"acme: holds up to 5:{entries[-1].digest}\n", "", 0)


def test_verify_seals_what_was_written_since(entries: list[AuditEntry], acme: Tenant) -> None:
    with tenant_scope(acme.id):
        audit.record(actor="user:1", action="a.b", target="t")
    out, _, code = run("--tenant", "acme")
    assert (code, out.partition(":")[0], ": holds up to 6:" in out) == (0, "acme", True)


def test_verify_names_the_first_broken_number(entries: list[AuditEntry]) -> None:
    AuditEntry.all_tenants.filter(id__in=[entries[1].id, entries[3].id]).update(actor="user:2")
    out, err, code = run()
    assert (out, code) == ("", 1)
    assert err.splitlines() == [
        "acme: entry 2 was changed: its digest does not match its content",
        "acme: entry 4 was changed: its digest does not match its content",
        "The audit chain of tenant 'acme' is broken at entry 2",
    ]
    assert run("--tenant", "default")[2] == 0


def test_verify_finds_entries_cut_off_the_end(entries: list[AuditEntry]) -> None:
    AuditEntry.all_tenants.filter(id__in=[entries[3].id, entries[4].id])._raw_delete("default")
    out, err, code = run("--tenant", "acme")
    assert (out, code) == ("", 1)
    assert err.splitlines() == [
        "acme: entry 4 missing: the chain was recorded to end at entry 5",
        "The audit chain of tenant 'acme' is broken at entry 4",
    ]


def test_verify_compares_a_head_noted_earlier(entries: list[AuditEntry], acme: Tenant) -> None:
    head = f"4:{entries[3].digest}"
    assert run("--tenant", "acme", "--head", head)[2] == 0
    AuditEntry.all_tenants.filter(tenant=acme)._raw_delete("default")
    AuditHead.objects.filter(tenant_id=acme.id).delete()
    with tenant_scope(acme.id):
        for number in range(5):
            audit.record(actor="user:2", action="a.b", target=f"t:{number}")
    assert run("--tenant", "acme")[2] == 0
    _, err, code = run("--tenant", "acme", "--head", head)
    assert (code, "entry 4 is not there" in err) == (1, True)


def test_verify_shows_the_first_hundred_breaks(
    entries: list[AuditEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(automate_audit, "SHOWN", 1)
    AuditEntry.all_tenants.filter(id__in=[entries[1].id, entries[3].id]).update(actor="user:2")
    assert run()[1].splitlines()[:2] == [
        "acme: entry 2 was changed: its digest does not match its content",
        "... and 1 more",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--tenant", "nobody"], 1, "There is no tenant 'nobody'"),
        (["--head", "1:00"], 2, "--head is the end of one tenant's chain; name it with --tenant"),
        (["--tenant", "acme", "--head", "1:00"], 2, "--head expects number:digest"),
    ],
)
def test_verify_refuses_wrong_usage(acme: Tenant, arguments: list[str], code: int, message: str) -> None:
    _, err, returned = run(*arguments)
    assert (returned, message in err) == (code, True)
