from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from automate_api.keys import revoke_key
from automate_api.models import ApiKey
from automate_core.errors import Conflict
from automate_core.models import AuditEntry, Role, Tenant

pytestmark = pytest.mark.django_db

MakeKey = Callable[..., tuple[ApiKey, str]]


def command(*words: str) -> str:
    out = StringIO()
    call_command("automate_apikey", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_key_is_shown_once_and_only_its_digest_kept(make_key: MakeKey) -> None:
    key, plain = make_key()
    assert re.fullmatch(r"ak_[0-9a-f]{8}_[A-Za-z0-9_-]{43}", plain)
    stored = ApiKey.all_tenants.filter(pk=key.pk).values().get()
    assert stored["digest"] == hashlib.sha256(plain.encode()).hexdigest()
    assert plain.rsplit("_", 1)[1] not in str(stored)


def test_creation_and_revocation_are_audited(make_key: MakeKey) -> None:
    key, plain = make_key(Role.EDITOR, by="user:7")
    revoke_key(key, by="user:8")
    entries = AuditEntry.objects.order_by("id").values_list("actor", "action", "target", flat=False)
    assert list(entries) == [
        ("user:7", "apikey.created", f"apikey:{key.pk}"),
        ("user:8", "apikey.revoked", f"apikey:{key.pk}"),
    ]
    assert plain not in str(list(AuditEntry.objects.values()))


def test_revoking_twice_is_a_conflict(make_key: MakeKey) -> None:
    key, _ = make_key()
    revoke_key(key, by="test")
    with pytest.raises(Conflict):
        revoke_key(key, by="test")


def test_command_prints_the_key_alone_on_the_last_line(tenant: Tenant) -> None:
    plain = command("create", "--name", "robot").splitlines()[-1]
    key = ApiKey.all_tenants.get(digest=hashlib.sha256(plain.encode()).hexdigest())
    assert (key.name, key.tenant_id, key.role, key.user_id) == ("robot", tenant.pk, "admin", None)


def test_command_takes_tenant_user_role_and_scopes(
    make_user: Callable[..., Any], other_tenant: Tenant
) -> None:
    user = make_user("ada")
    command(
        "create",
        "--name",
        "robot",
        "--tenant",
        "other",
        "--user",
        "ada",
        "--role",
        "runner",
        "--scope",
        "ping:read",
    )
    key = ApiKey.all_tenants.get()
    assert (key.tenant_id, key.user, key.role, key.scopes) == (other_tenant.pk, user, "runner", ["ping:read"])


def test_command_lists_and_revokes(make_key: MakeKey) -> None:
    key, plain = make_key(name="robot")
    assert "active" in command("list")
    command("revoke", key.prefix)
    listed = command("list", "--tenant", "default")
    assert ("revoked" in listed, "robot" in listed, plain in listed) == (True, True, False)


@pytest.mark.parametrize(
    "words",
    [
        ("create", "--name", ""),
        ("create", "--name", "x" * 101),
        ("create", "--name", "x", "--tenant", "absent"),
        ("create", "--name", "x", "--user", "absent"),
        ("create", "--name", "x", "--role", "king"),
        ("revoke", "absent"),
        ("list", "--tenant", "absent"),
    ],
)
def test_command_refuses_with_a_sentence(tenant: Tenant, words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        command(*words)


@pytest.mark.urls("tests.automate_api.urls")
def test_scopes_narrow_a_key(key_client: Callable[..., Any]) -> None:
    client = key_client(Role.ADMIN, scopes=["ping:read"])
    assert client.get("/api/ping/").status_code == 200
    assert client.post("/api/ping/", {}, content_type="application/json").status_code == 403
    assert client.get("/api/tenants/").status_code == 403


def test_command_makes_a_key_that_expires_and_lists_it_as_such(tenant: Tenant) -> None:
    command("create", "--name", "brief", "--expires-in", "0.5")
    made = ApiKey.all_tenants.get()
    assert made.expires_at is not None
    assert round((made.expires_at - made.created_at).total_seconds() / 3600) == 12
    ApiKey.all_tenants.update(expires_at=timezone.now())
    assert command("list").split()[1] == "expired"


@pytest.mark.parametrize("days", ["0", "-1", "nan", "inf", "1e9"])
def test_command_refuses_a_life_that_is_none(tenant: Tenant, days: str) -> None:
    with pytest.raises(CommandError, match="--expires-in takes days"):
        command("create", "--name", "brief", f"--expires-in={days}")
    assert ApiKey.all_tenants.count() == 0
