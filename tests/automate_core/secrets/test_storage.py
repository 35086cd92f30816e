from __future__ import annotations

import base64
import os
import threading

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from automate_core import checks
from automate_core.context import tenant_scope
from automate_core.ids import uuid7
from automate_core.models import DEFAULT_TENANT_ID, AuditEntry, Secret, Tenant
from automate_core.secrets import (
    InvalidSecret,
    InvalidSecretKeys,
    SecretNotFoundError,
    SecretUndecryptable,
    collect_secrets,
    delete,
    resolve,
    rotate_keys,
    storage,
    store,
)
from automate_core.secrets.database import database_backend

CANARY = "canary-7f3b91c2-plaintext"


def new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def everything_in_the_database() -> str:
    """Every row of every table of ours, as PostgreSQL writes it in a plain dump."""
    with connection.cursor() as cursor:
        tables = [t for t in connection.introspection.table_names(cursor) if t.startswith("automate")]
        cursor.execute(" UNION ALL ".join(f'SELECT t::text FROM "{table}" t' for table in tables))
        return "\n".join(row[0] for row in cursor.fetchall())


@pytest.mark.django_db
def test_store_encrypts_and_counts_versions() -> None:
    first = store("API_KEY", "one", by="user:1")
    second = store("API_KEY", "two", by="user:1")
    assert (first.version, second.version, first.id) == (1, 2, second.id)
    assert resolve("$secret:API_KEY") == "two"
    assert Secret.all_tenants.count() == 1


@pytest.mark.django_db
def test_store_uses_a_fresh_nonce_each_time() -> None:
    nonces = {bytes(store("API_KEY", "same", by="user:1").nonce) for _ in range(5)}
    assert (len(nonces), {len(nonce) for nonce in nonces}) == (5, {12})


@pytest.mark.django_db
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-be", "base64", "reversed"])
def test_store_leaves_the_plaintext_nowhere(encoding: str) -> None:
    with collect_secrets():
        store("API_KEY", CANARY, by="user:1")
        store("API_KEY", CANARY, by="user:1")
        resolve("$secret:API_KEY")
        rotate_keys()
        store("OTHER", CANARY, by="user:1")
        delete("OTHER", by="user:1")
    dump = everything_in_the_database()
    assert "API_KEY" in dump
    raw = {
        "utf-8": CANARY.encode(),
        "utf-16-be": CANARY.encode("utf-16-be"),
        "base64": base64.b64encode(CANARY.encode()),
        "reversed": CANARY[::-1].encode(),
    }[encoding]
    assert raw.decode("latin-1") not in dump
    assert raw.hex() not in dump


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "value", "fields"),
    [
        ("", "v", ["name"]),
        ("with space", "v", ["name"]),
        ("K" * 129, "v", ["name"]),
        ("K\n", "v", ["name"]),
        ("KEY", "", ["value"]),
        ("KEY", "v" * 65_537, ["value"]),
        ("KEY", "\ud800", ["value"]),
        ("1", "", ["name", "value"]),
    ],
)
def test_store_refuses_what_it_cannot_hold(name: str, value: str, fields: list[str]) -> None:
    with pytest.raises(InvalidSecret) as caught:
        store(name, value, by="user:1")
    assert [problem.field for problem in caught.value.details] == fields
    assert Secret.all_tenants.count() == 0


@pytest.mark.django_db
def test_secrets_belong_to_one_tenant(acme: Tenant, globex: Tenant) -> None:
    with tenant_scope(acme.id):
        store("API_KEY", "acme's", by="user:1")
    with tenant_scope(globex.id):
        with pytest.raises(SecretNotFoundError):
            resolve("$secret:API_KEY")
        with pytest.raises(SecretNotFoundError):
            delete("API_KEY", by="user:2")
        store("API_KEY", "globex's", by="user:2")
    with tenant_scope(acme.id):
        assert resolve("$secret:API_KEY") == "acme's"


@pytest.mark.django_db
def test_delete_removes_the_secret() -> None:
    store("API_KEY", "one", by="user:1")
    delete("API_KEY", by="user:1")
    with pytest.raises(SecretNotFoundError, match="automate_secret set API_KEY"):
        resolve("$secret:API_KEY")
    with pytest.raises(SecretNotFoundError):
        delete("API_KEY", by="user:1")


@pytest.mark.django_db
def test_verbs_are_audited_without_the_value(settings) -> None:
    settings.AUTOMATE = {"SECRET_KEYS": [new_key()]}
    store("API_KEY", CANARY, by="user:1")
    store("API_KEY", CANARY, by="user:2")
    settings.AUTOMATE = {"SECRET_KEYS": [new_key(), *settings.AUTOMATE["SECRET_KEYS"]]}
    rotate_keys(by="command")
    delete("API_KEY", by="user:3")
    entries = AuditEntry.objects.order_by("id").values_list("actor", "action", "before", "after")
    assert list(entries) == [
        ("user:1", "secret.stored", None, {"version": 1}),
        ("user:2", "secret.stored", {"version": 1}, {"version": 2}),
        ("command", "secret.rotated", None, {"count": 1}),
        ("user:3", "secret.deleted", {"version": 2}, None),
    ]
    assert AuditEntry.objects.filter(target="secret:API_KEY").count() == 3


@pytest.mark.django_db
@pytest.mark.parametrize("column", ["tenant_id", "name", "version", "nonce", "ciphertext"])
def test_ciphertext_does_not_decrypt_in_another_place(column: str, acme: Tenant) -> None:
    secret = store("API_KEY", CANARY, by="user:1")
    moved = {
        "tenant_id": acme.id,
        "name": "OTHER",
        "version": 2,
        "nonce": os.urandom(12),
        "ciphertext": bytes(secret.ciphertext[:-1]) + bytes([secret.ciphertext[-1] ^ 1]),
    }[column]
    Secret.all_tenants.filter(id=secret.id).update(**{column: moved})
    name = "OTHER" if column == "name" else "API_KEY"
    tenant_id = acme.id if column == "tenant_id" else DEFAULT_TENANT_ID
    with (
        tenant_scope(tenant_id),
        pytest.raises(SecretUndecryptable, match=f"{name!r} does not decrypt") as caught,
    ):
        resolve(f"$secret:{name}")
    assert CANARY not in str(caught.value)


@pytest.mark.django_db
def test_unknown_key_is_named(settings) -> None:
    settings.AUTOMATE = {"SECRET_KEYS": [new_key()]}
    key_id = store("API_KEY", "one", by="user:1").key_id
    settings.AUTOMATE = {"SECRET_KEYS": [new_key()]}
    with pytest.raises(SecretUndecryptable, match=f"key '{key_id}', which is not configured"):
        resolve("$secret:API_KEY")


@pytest.mark.django_db
def test_wrong_key_under_a_known_id_does_not_decrypt(settings) -> None:
    settings.AUTOMATE = {"SECRET_KEYS": [new_key()]}
    secret = store("API_KEY", "one", by="user:1")
    settings.AUTOMATE = {"SECRET_KEYS": [new_key()]}
    Secret.all_tenants.update(key_id=store("OTHER", "two", by="user:1").key_id)
    with pytest.raises(SecretUndecryptable, match="does not decrypt"):
        resolve(f"$secret:{secret.name}")


@pytest.mark.django_db
@pytest.mark.parametrize("keys", [["short"], ["not base64!"], [base64.b64encode(b"x" * 16).decode()], [5]])
def test_bad_keys_say_what_is_expected(settings, keys: list[str]) -> None:
    settings.AUTOMATE = {"SECRET_KEYS": keys}
    with pytest.raises(InvalidSecretKeys, match="base64 texts of 32 random bytes"):
        store("API_KEY", "one", by="user:1")


@pytest.mark.django_db
def test_key_is_derived_from_secret_key_when_none_is_given(settings) -> None:
    settings.AUTOMATE = {}
    settings.SECRET_KEY = "first"
    derived = store("API_KEY", "one", by="user:1").key_id
    settings.SECRET_KEY = "second"
    with pytest.raises(SecretUndecryptable):
        resolve("$secret:API_KEY")
    settings.SECRET_KEY_FALLBACKS = ["first"]
    assert resolve("$secret:API_KEY") == "one"
    assert store("API_KEY", "two", by="user:1").key_id != derived


@pytest.mark.django_db
def test_rotate_keys_moves_every_tenant_to_the_newest_key(settings, acme: Tenant, globex: Tenant) -> None:
    old, new = new_key(), new_key()
    settings.AUTOMATE = {"SECRET_KEYS": [old]}
    for tenant in (acme, globex):
        with tenant_scope(tenant.id):
            store("API_KEY", f"{tenant.slug} one", by="user:1")
            store("OTHER", f"{tenant.slug} two", by="user:1")
    settings.AUTOMATE = {"SECRET_KEYS": [new, old]}
    assert (rotate_keys(), rotate_keys()) == (4, 0)
    settings.AUTOMATE = {"SECRET_KEYS": [new]}
    for tenant in (acme, globex):
        with tenant_scope(tenant.id):
            assert (resolve("$secret:API_KEY"), resolve("$secret:OTHER")) == (
                f"{tenant.slug} one",
                f"{tenant.slug} two",
            )
    assert list(Secret.all_tenants.values_list("version", flat=True)) == [1] * 4


@pytest.mark.django_db
def test_rotate_keys_leaves_derived_keys_behind(settings) -> None:
    settings.AUTOMATE = {}
    store("API_KEY", "one", by="user:1")
    settings.AUTOMATE = {"SECRET_KEYS": [new_key()]}
    assert rotate_keys() == 1
    settings.SECRET_KEY = "replaced"
    assert resolve("$secret:API_KEY") == "one"


@pytest.mark.django_db
def test_rotate_keys_resumes_after_an_interruption(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "ROTATION_BATCH", 2)
    old, new = new_key(), new_key()
    settings.AUTOMATE = {"SECRET_KEYS": [old]}
    for number in range(5):
        store(f"KEY_{number}", str(number), by="user:1")
    settings.AUTOMATE = {"SECRET_KEYS": [new, old]}
    nonces = iter([os.urandom(12), os.urandom(12), os.urandom(12)])

    def urandom(size: int) -> bytes:
        try:
            return next(nonces)
        except StopIteration:
            raise KeyboardInterrupt from None

    with monkeypatch.context() as interrupted:
        interrupted.setattr(os, "urandom", urandom)
        with pytest.raises(KeyboardInterrupt):
            rotate_keys()
    oldest = Secret.objects.get(name="KEY_4").key_id
    assert list(Secret.objects.filter(key_id=oldest).order_by("name").values_list("name", flat=True)) == [
        "KEY_2",
        "KEY_3",
        "KEY_4",
    ]
    assert rotate_keys() == 3
    assert [resolve(f"$secret:KEY_{number}") for number in range(5)] == list("01234")


@pytest.mark.django_db
def test_rotate_keys_rotates_the_rest_when_one_cannot_be_read(settings) -> None:
    lost, old, new = new_key(), new_key(), new_key()
    settings.AUTOMATE = {"SECRET_KEYS": [lost]}
    store("LOST", "one", by="user:1")
    settings.AUTOMATE = {"SECRET_KEYS": [old]}
    store("KEPT", "two", by="user:1")
    settings.AUTOMATE = {"SECRET_KEYS": [new, old]}
    with pytest.raises(
        SecretUndecryptable, match=r"1 secrets rotated, 1 could not be read. First: Secret 'LOST'"
    ):
        rotate_keys()
    settings.AUTOMATE = {"SECRET_KEYS": [new]}
    assert resolve("$secret:KEPT") == "two"


@pytest.mark.django_db(transaction=True)
def test_resolve_asks_the_database_once_for_a_hot_secret() -> None:
    store("API_KEY", "one", by="user:1")
    with CaptureQueriesContext(connection) as queries:
        assert [resolve("$secret:API_KEY") for _ in range(10)] == ["one"] * 10
    assert len(queries) == 1


@pytest.mark.django_db(transaction=True)
def test_cached_value_is_forgotten_on_store_and_delete() -> None:
    store("API_KEY", "one", by="user:1")
    assert resolve("$secret:API_KEY") == "one"
    store("API_KEY", "two", by="user:1")
    assert resolve("$secret:API_KEY") == "two"
    delete("API_KEY", by="user:1")
    with pytest.raises(SecretNotFoundError):
        resolve("$secret:API_KEY")


@pytest.mark.django_db(transaction=True)
def test_cached_value_is_one_tenants() -> None:
    store("API_KEY", "default's", by="user:1")
    assert resolve("$secret:API_KEY") == "default's"
    with tenant_scope(uuid7()), pytest.raises(SecretNotFoundError):
        resolve("$secret:API_KEY")


@pytest.mark.django_db(transaction=True)
def test_cached_value_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automate_core.secrets.database.CACHE_SECONDS", 0.0)
    store("API_KEY", "one", by="user:1")
    with CaptureQueriesContext(connection) as queries:
        assert [resolve("$secret:API_KEY") for _ in range(2)] == ["one", "one"]
    assert len(queries) == 2


@pytest.mark.django_db(transaction=True)
def test_rolled_back_value_is_never_cached() -> None:
    store("API_KEY", "kept", by="user:1")
    assert resolve("$secret:API_KEY") == "kept"
    with transaction.atomic():
        store("API_KEY", "rolled back", by="user:1")
        assert resolve("$secret:API_KEY") == "rolled back"
        transaction.set_rollback(True)
    assert resolve("$secret:API_KEY") == "kept"
    assert AuditEntry.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automate_core.secrets.database.CACHE_LIMIT", 3)
    for number in range(6):
        store(f"KEY_{number}", str(number), by="user:1")
        assert resolve(f"$secret:KEY_{number}") == str(number)
    assert len(database_backend._values) == 3


@pytest.mark.django_db(transaction=True)
def test_concurrent_stores_of_a_new_name_make_consecutive_versions() -> None:
    start = threading.Barrier(4)
    versions: list[int] = []

    def run() -> None:
        start.wait()
        versions.append(store("API_KEY", "same", by="user:1").version)
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(versions) == [1, 2, 3, 4]
    assert resolve("$secret:API_KEY") == "same"


def test_bad_keys_are_a_system_check_error(settings) -> None:
    assert checks.check_secret_keys() == []
    settings.AUTOMATE = {"SECRET_KEYS": ["short"]}
    assert [error.id for error in checks.check_secret_keys()] == ["automate.E004"]
    settings.AUTOMATE = {"UNKNOWN": 1}
    assert checks.check_secret_keys() == []
