from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import F, ProtectedError
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from automate_core import audit, audit_chain
from automate_core.context import tenant_scope, trace_scope
from automate_core.ids import uuid7
from automate_core.models import DEFAULT_TENANT_ID, AuditEntry, AuditHead, Tenant
from automate_core.outbox.duties import duty_registry

TENANT = DEFAULT_TENANT_ID
TABLES = ("automate_core_auditentry", "automate_core_audithead")


def record(**given: Any) -> AuditEntry:
    return audit.record(**{"actor": "user:1", "action": "workflow.updated", "target": "workflow:9", **given})


def sealed(**given: Any) -> AuditEntry:
    """An entry with its place in the chain."""
    entry = record(**given)
    audit_chain.seal()
    entry.refresh_from_db()
    return entry


@contextmanager
def trigger_off() -> Iterator[None]:
    """What a database owner could do to change the past."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


@pytest.fixture
def acme(db: None) -> Tenant:
    return Tenant.objects.create(id=uuid7(), slug="acme", name="Acme")


@pytest.mark.django_db
def test_record_writes_entries_without_a_place() -> None:
    with trace_scope("trace-1"):
        first = record(before=None, after={"enabled": True})
    assert (first.number, first.previous_digest, first.digest, first.trace_id) == (None, "", "", "trace-1")
    assert first.content_digest == audit.content_digest_of(AuditEntry.objects.get())
    stored = AuditEntry.objects.get()
    assert (stored.pk, stored.created_at, stored.before, stored.after) == (
        first.pk, first.created_at, None, {"enabled": True},
    )  # fmt: skip
    assert (stored.actor, stored.action, stored.target) == ("user:1", "workflow.updated", "workflow:9")
    assert audit_chain.heads() == []


@pytest.mark.django_db
def test_seal_chains_entries_in_the_order_they_were_written() -> None:
    record(before=None, after={"enabled": True})
    record(before={"enabled": True}, after={"enabled": False})
    assert (audit_chain.seal(), audit_chain.seal()) == (2, 0)
    first, second = AuditEntry.objects.order_by("id")
    assert (first.number, first.previous_digest) == (1, "0" * 64)
    assert (second.number, second.previous_digest) == (2, first.digest)
    assert audit_chain.verify() == []
    assert audit_chain.heads() == [audit_chain.Head(TENANT, 2, second.digest)]


@pytest.mark.django_db
def test_seal_numbers_each_tenant_by_itself(acme: Tenant) -> None:
    assert sealed().number == 1
    with tenant_scope(acme.id):
        other = record()
    assert audit_chain.seal(TENANT) == 0
    assert audit_chain.seal(acme.id) == 1
    other.refresh_from_db()
    assert (other.number, sealed().number) == (1, 2)
    assert audit_chain.verify() == []


@pytest.mark.django_db
def test_seal_goes_on_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_chain, "BATCH", 2)
    monkeypatch.setattr(audit_chain, "TURN", 2)
    for _ in range(7):
        record()
    assert [audit_chain.seal_some(), audit_chain.seal_some(), audit_chain.seal_some()] == [4, 3, 0]
    assert [entry.number for entry in AuditEntry.objects.order_by("id")] == [1, 2, 3, 4, 5, 6, 7]
    assert audit_chain.verify() == []


@pytest.mark.django_db(transaction=True)
def test_seal_waits_for_nobody_who_has_written_and_not_committed() -> None:
    written, may_commit = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            record(actor="user:slow")
            written.set()
            may_commit.wait(60)
        connection.close()

    slow = threading.Thread(target=hold)
    slow.start()
    written.wait(60)
    assert sealed(actor="user:quick").number == 1
    may_commit.set()
    slow.join()
    assert audit_chain.seal() == 1
    assert [entry.actor for entry in AuditEntry.objects.order_by("number")] == ["user:quick", "user:slow"]
    assert audit_chain.verify() == []


@pytest.mark.django_db(transaction=True)
def test_a_worker_leaves_a_chain_alone_that_another_seals() -> None:
    record()
    is_sealing, may_commit = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            audit_chain.seal()
            is_sealing.set()
            may_commit.wait(60)
        connection.close()

    other = threading.Thread(target=hold)
    other.start()
    is_sealing.wait(60)
    assert audit_chain.seal_some() == 0
    may_commit.set()
    other.join()
    assert AuditEntry.objects.get().number == 1


@pytest.mark.django_db(transaction=True)
def test_a_worker_seals_what_was_written() -> None:
    record()
    assert duty_registry.get("audit").run() == 1
    assert AuditEntry.objects.get().number == 1


@pytest.mark.django_db
def test_entries_written_with_their_place_stand_in_the_same_chain() -> None:
    """What a process wrote before it was updated, or still writes beside those that are."""
    first = sealed()
    old = AuditEntry(
        tenant_id=TENANT, number=2, actor="user:old", action="a.b", target="t", before=None, after={"n": 1e22},
        trace_id="", created_at=timezone.now(), previous_digest=first.digest,
    )  # fmt: skip
    old.digest = audit.digest_of(old)
    old.save(force_insert=True)
    assert sealed().previous_digest == old.digest
    assert audit_chain.verify() == []
    assert [head.number for head in audit_chain.heads()] == [3]


@pytest.mark.django_db
def test_record_redacts_what_it_keeps() -> None:
    entry = record(before={"password": "hunter2-before"}, after={"nested": [{"api_key": "hunter2-after"}]})
    entry.refresh_from_db()
    assert entry.before == {"password": "***REDACTED***"}
    assert entry.after == {"nested": [{"api_key": "***REDACTED***"}]}


@pytest.mark.django_db
def test_record_cuts_texts_to_their_columns() -> None:
    entry = record(actor="a" * 300, action="b" * 300, target="c\x00\ud800" * 300)
    assert [len(entry.actor), len(entry.action), len(entry.target)] == [200, 64, 200]
    assert audit_chain.verify() == []


@pytest.mark.django_db(transaction=True)
def test_record_is_part_of_the_callers_transaction() -> None:
    record()
    with transaction.atomic():
        record()
        transaction.set_rollback(True)
    assert sealed().number == 2
    assert audit_chain.verify() == []


@pytest.mark.django_db(transaction=True)
def test_places_have_no_gaps_under_concurrency() -> None:
    start = threading.Barrier(7)
    is_over = threading.Event()

    def run() -> None:
        start.wait()
        for _ in range(10):
            with transaction.atomic():
                record()
                record()
        connection.close()

    def seal() -> None:
        start.wait()
        while not is_over.is_set():
            audit_chain.seal_some()
        connection.close()

    sealer = threading.Thread(target=seal)
    sealer.start()
    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    is_over.set()
    sealer.join()
    audit_chain.seal()
    assert list(AuditEntry.objects.order_by("number").values_list("number", flat=True)) == list(range(1, 121))
    assert audit_chain.verify() == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.django_db
@given(value=JSON)
@settings(max_examples=60, deadline=None)
def test_record_verifies_whatever_it_describes(value: Any) -> None:
    record(after=value)
    assert audit_chain.verify() == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    "value",
    [1e22, 1e23, 1e-7, -0.0, 1.0, 10**40, math.nan, math.inf, "\x00", "\ud800", UUID(int=7), timedelta(1), {1: 2},
     {"set": {1}}, (1, 2), b"bytes", {"a\x00": 1}],
    ids=repr,
)  # fmt: skip
def test_record_verifies_values_that_jsonb_rewrites(value: Any) -> None:
    record(before=value, after={"value": value})
    assert audit_chain.verify() == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("number", 7),
        ("actor", "user:2"),
        ("action", "workflow.deleted"),
        ("target", "workflow:8"),
        ("before", {"enabled": None}),
        ("before", None),
        ("after", {"enabled": 0}),
        ("after", []),
        ("trace_id", "other"),
        ("created_at", F("created_at") + timedelta(microseconds=1)),
        ("previous_digest", "1" * 64),
        ("digest", "1" * 64),
        ("content_digest", "1" * 64),
        ("content_digest", ""),
    ],
)
def test_verify_finds_a_change_in_any_column(column: str, value: Any) -> None:
    for _ in range(5):
        sealed(before={"enabled": True}, after={"enabled": False})
    with trigger_off():
        AuditEntry.objects.filter(number=3).update(**{column: value})
    assert audit_chain.verify()[0].number == 3
    assert {found.tenant_id for found in audit_chain.verify(TENANT)} == {TENANT}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("column", "value"),
    [("actor", "user:2"), ("action", "a.b"), ("target", "t"), ("after", {}), ("trace_id", "other"), ("before", 0),
     ("created_at", F("created_at") + timedelta(microseconds=1)), ("content_digest", "1" * 64)],
)  # fmt: skip
def test_verify_finds_a_change_before_the_sealing(column: str, value: Any) -> None:
    sealed()
    record(before=None, after={"enabled": False})
    with trigger_off():
        AuditEntry.objects.filter(number=None).update(**{column: value})
    assert audit_chain.verify() == [
        audit_chain.Break(TENANT, 2, "was changed after it was written and before it was sealed")
    ]


@pytest.mark.django_db
def test_verify_covers_every_column() -> None:
    columns = {field.attname for field in AuditEntry._meta.concrete_fields}
    covered = {*audit._CONTENT, "number", "created_at", "content_digest", "previous_digest", "digest"}
    assert columns - covered == {"id"}


@pytest.mark.django_db
def test_verify_finds_an_entry_moved_to_another_tenant(acme: Tenant) -> None:
    for _ in range(3):
        sealed()
    with trigger_off():
        AuditEntry.objects.filter(number=2).update(tenant_id=acme.id)
    assert [(found.tenant_id, found.number) for found in audit_chain.verify(TENANT)] == [(TENANT, 2)]
    assert [found.number for found in audit_chain.verify(acme.id)] == [1, 2, 2]


@pytest.mark.django_db
@pytest.mark.parametrize(("gone", "first"), [(1, 1), (3, 3)])
def test_verify_finds_a_missing_entry(gone: int, first: int) -> None:
    for _ in range(5):
        sealed()
    with trigger_off():
        AuditEntry.objects.filter(number=gone)._raw_delete("default")
    assert [found.number for found in audit_chain.verify()] == [first]


@pytest.mark.django_db
def test_verify_finds_a_rewritten_entry_at_its_successor() -> None:
    for _ in range(4):
        sealed()
    forged = AuditEntry.objects.get(number=2)
    forged.actor = "user:2"
    forged.content_digest = audit.content_digest_of(forged)
    forged.digest = audit.digest_of(forged)
    with trigger_off():
        AuditEntry.objects.filter(number=2).update(
            actor=forged.actor, content_digest=forged.content_digest, digest=forged.digest
        )
    assert audit_chain.verify() == [audit_chain.Break(TENANT, 3, "does not follow from the entry before it")]


@pytest.mark.django_db
def test_verify_finds_a_rewritten_entry_though_its_successor_is_relinked() -> None:
    for _ in range(4):
        sealed()
    forged = AuditEntry.objects.get(number=2)
    forged.actor = "user:2"
    forged.content_digest = audit.content_digest_of(forged)
    forged.digest = audit.digest_of(forged)
    with trigger_off():
        AuditEntry.objects.filter(number=2).update(
            actor=forged.actor, content_digest=forged.content_digest, digest=forged.digest
        )
        AuditEntry.objects.filter(number=3).update(previous_digest=forged.digest)
    assert audit_chain.verify() == [
        audit_chain.Break(TENANT, 3, "was changed: its digest does not match its content")
    ]


@pytest.mark.django_db
@pytest.mark.parametrize("kept", [2, 0])
def test_verify_finds_entries_cut_off_the_end(kept: int) -> None:
    for _ in range(3):
        sealed()
    with trigger_off():
        AuditEntry.objects.filter(number__gt=kept)._raw_delete("default")
    cut = audit_chain.Break(TENANT, kept + 1, "missing: the chain was recorded to end at entry 3")
    assert audit_chain.verify() == [cut]
    assert sealed().number == 4
    assert audit_chain.verify() == [
        audit_chain.Break(TENANT, kept + 1, "missing: the next entry has number 4")
    ]


@pytest.mark.django_db
def test_verify_finds_a_removed_and_a_moved_end() -> None:
    entries = [sealed() for _ in range(3)]
    with trigger_off():
        AuditHead.objects.update(number=2, digest=entries[1].digest)
    assert [(found.number, found.reason[:26]) for found in audit_chain.verify()] == [
        (3, "was not written by a chang")
    ]
    with trigger_off():
        AuditHead.objects.update(number=3)
    assert [found.number for found in audit_chain.verify()] == [3]
    with trigger_off():
        AuditHead.objects.all().delete()
    assert [(found.number, found.reason[:26]) for found in audit_chain.verify()] == [
        (3, "is the last, but the recor")
    ]
    assert sealed().number == 4


@pytest.mark.django_db
def test_heads_kept_elsewhere_show_a_chain_made_anew() -> None:
    for _ in range(3):
        sealed()
    kept = audit_chain.heads()[0]
    assert audit_chain.holds(kept.tenant_id, kept.number, kept.digest)
    with trigger_off():
        AuditEntry.objects.all()._raw_delete("default")
        AuditHead.objects.all().delete()
    for _ in range(3):
        sealed(actor="user:2")
    assert audit_chain.verify() == []
    assert not audit_chain.holds(kept.tenant_id, kept.number, kept.digest)


@pytest.mark.django_db
def test_breaks_come_while_the_chain_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_chain, "CHUNK", 2)
    for _ in range(5):
        sealed()
    with trigger_off():
        AuditEntry.objects.filter(number=2).update(actor="user:2")
    read: list[int] = []
    found = audit_chain.breaks(progress=read.append)
    assert (next(found).number, read) == (2, [])
    assert (list(found), read) == ([], [2, 4, 5])


@pytest.mark.django_db
def test_verify_reads_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_chain, "CHUNK", 2)
    for _ in range(5):
        sealed()
    assert audit_chain.verify() == []
    with trigger_off():
        AuditEntry.objects.filter(number=5).update(actor="user:2")
    assert [found.number for found in audit_chain.verify()] == [5]


@pytest.mark.django_db
def test_verify_of_an_unknown_tenant_finds_nothing() -> None:
    assert audit_chain.verify(UUID(int=5)) == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE automate_core_auditentry SET actor = actor",
        "DELETE FROM automate_core_auditentry",
        "UPDATE automate_core_auditentry SET number = NULL",
        "UPDATE automate_core_auditentry SET number = 7, digest = repeat('0', 64), previous_digest = repeat('0', 64),"
        " actor = 'user:2'",
        "UPDATE automate_core_auditentry SET number = 7, digest = repeat('0', 64), previous_digest = repeat('0', 64),"
        " content_digest = ''",
        "UPDATE automate_core_auditentry SET number = 7",
    ],
)
@pytest.mark.parametrize("write", [record, sealed])
def test_database_refuses_to_change_entries(write: Callable[[], AuditEntry], statement: str) -> None:
    write()
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert AuditEntry.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE automate_core_audithead SET digest = 'x'",
        "UPDATE automate_core_audithead SET number = number - 1",
        "DELETE FROM automate_core_audithead",
    ],
)
def test_database_refuses_to_move_the_end_of_a_chain_back(statement: str) -> None:
    sealed()
    with (
        pytest.raises(IntegrityError, match="only grow"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


@pytest.mark.django_db
@pytest.mark.parametrize("table", TABLES)
def test_database_refuses_truncate_outside_tests(table: str) -> None:
    sealed()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL automate.truncate = 'refuse'")
        with pytest.raises(IntegrityError, match="TRUNCATE refused"), transaction.atomic():
            cursor.execute(f"TRUNCATE {table}")
        cursor.execute(
            "SELECT automate_audit_may_be_emptied('automate'), automate_audit_may_be_emptied('test_shop'),"
            " automate_audit_may_be_emptied('testing')"
        )
        assert cursor.fetchone() == (False, True, False)
    assert AuditEntry.objects.count() == 1


@pytest.mark.django_db
def test_database_refuses_changes_of_a_replica_role_too() -> None:
    sealed()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for statement in ("UPDATE automate_core_auditentry SET actor = 'x'", f"DELETE FROM {TABLES[1]}"):
            with pytest.raises(IntegrityError), transaction.atomic():
                cursor.execute(statement)
        cursor.execute("SET LOCAL session_replication_role = origin")


@pytest.mark.django_db
def test_migrations_can_be_undone_and_done_again() -> None:
    refusal = import_module("automate_core.migrations.0002_audit_append_only")
    heads = import_module("automate_core.migrations.0004_audit_heads")
    later = import_module("automate_core.migrations.0006_audit_sealed_later")
    last = sealed()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(later.BACKWARD)
        cursor.execute(heads.BACKWARD)
        cursor.execute(refusal.BACKWARD)
        assert AuditEntry.objects.update(trace_id="") == 1
        AuditHead.objects.all().delete()
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(refusal.FORWARD)
        cursor.execute(heads.FORWARD)
        cursor.execute(later.FORWARD)
    assert list(AuditHead.objects.values_list("number", "digest")) == [(1, last.digest)]
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        AuditEntry.objects.update(actor="user:3")
    assert sealed().number == 2
    assert audit_chain.heads()[0].number == AuditHead.objects.get().number == 2


@pytest.mark.django_db
def test_migration_is_not_undone_while_entries_have_no_place() -> None:
    record()
    later = import_module("automate_core.migrations.0006_audit_sealed_later")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises(DatabaseError, match="not sealed yet"), transaction.atomic():
            cursor.execute(later.BACKWARD)


@pytest.mark.django_db
def test_tenant_with_entries_cannot_be_deleted(acme: Tenant) -> None:
    globex = Tenant.objects.create(id=uuid7(), slug="globex", name="Globex")
    with tenant_scope(acme.id):
        record()
    with pytest.raises(ProtectedError):
        acme.delete()
    globex.delete()
    assert list(Tenant.objects.exclude(id=TENANT).values_list("slug", flat=True)) == ["acme"]
