from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from automate_api import keys, tokens
from automate_api.models import ApiKey
from automate_core.models import Membership, Role, Tenant

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.automate_api.urls")]

PING = "/api/ping/"
MakeKey = Callable[..., tuple[ApiKey, str]]


def ping(**headers: str) -> Any:
    return Client().get(PING, headers={name.replace("_", "-"): value for name, value in headers.items()})


def bearer(user: Any) -> str:
    return f"Bearer {tokens.issue(user).access}"


def test_request_without_credential_is_401_with_challenge() -> None:
    answer = ping()
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'
    assert answer.json()["error"]["code"] == "UNAUTHORIZED"


def test_api_key_acts_in_its_tenant_with_its_role(make_key: MakeKey, tenant: Tenant) -> None:
    key, plain = make_key(Role.RUNNER, name="robot")
    assert ping(X_API_Key=plain, X_Trace_ID="t-1").json() == {
        "principal": f"apikey:{key.pk}",
        "tenant": str(tenant.pk),
        "in_context": str(tenant.pk),
        "role": "runner",
        "username": "robot",
        "trace_id": "t-1",
    }


def test_api_key_works_as_bearer_too(make_key: MakeKey) -> None:
    key, plain = make_key()
    assert ping(Authorization=f"Bearer {plain}").json()["principal"] == f"apikey:{key.pk}"


@pytest.mark.parametrize(
    "plain", ["", "ak_", "nonsense", "ak_00000000_" + "a" * 43, "ak_\x00", "ak_zzzzzzzz_" + "a" * 43, "é"]
)
def test_unknown_api_key_is_401(plain: str) -> None:
    assert ping(X_API_Key=plain).status_code == 401


def test_api_key_with_another_secret_is_401(make_key: MakeKey) -> None:
    _, plain = make_key()
    assert ping(X_API_Key=plain[:-1] + ("A" if plain[-1] != "A" else "B")).status_code == 401


def test_revoked_api_key_is_401(make_key: MakeKey) -> None:
    key, plain = make_key()
    keys.revoke_key(key, by="test")
    assert ping(X_API_Key=plain).status_code == 401


def test_expired_api_key_is_401(make_key: MakeKey) -> None:
    _, plain = make_key(expires_at=timezone.now() - timedelta(seconds=1))
    assert ping(X_API_Key=plain).status_code == 401


def test_api_key_of_inactive_tenant_is_401(make_key: MakeKey, tenant: Tenant) -> None:
    _, plain = make_key()
    Tenant.objects.filter(pk=tenant.pk).update(is_active=False)
    assert ping(X_API_Key=plain).status_code == 401


def test_api_key_of_disabled_user_is_401(make_key: MakeKey, make_user: Callable[..., Any]) -> None:
    user = make_user()
    _, plain = make_key(user=user)
    assert ping(X_API_Key=plain).status_code == 200
    user.is_active = False
    user.save()
    assert ping(X_API_Key=plain).status_code == 401


def test_api_key_of_user_never_exceeds_the_membership(
    make_key: MakeKey, make_user: Callable[..., Any]
) -> None:
    user = make_user(role=Role.VIEWER)
    _, plain = make_key(Role.ADMIN, user=user)
    assert ping(X_API_Key=plain).json()["role"] == "viewer"
    Membership.objects.filter(user=user).delete()
    assert ping(X_API_Key=plain).status_code == 403


def test_api_key_use_is_noted_at_most_once_a_minute(make_key: MakeKey) -> None:
    key, plain = make_key()
    ping(X_API_Key=plain)
    key.refresh_from_db()
    first = key.last_used_at
    assert first is not None
    ping(X_API_Key=plain)
    key.refresh_from_db()
    assert key.last_used_at == first
    ApiKey.all_tenants.filter(pk=key.pk).update(last_used_at=first - timedelta(seconds=61))
    ping(X_API_Key=plain)
    key.refresh_from_db()
    assert key.last_used_at is not None
    assert key.last_used_at > first - timedelta(seconds=61)


def test_bearer_token_stands_for_its_user(make_user: Callable[..., Any]) -> None:
    user = make_user(role=Role.EDITOR)
    answer = ping(Authorization=bearer(user)).json()
    assert (answer["principal"], answer["role"], answer["username"]) == (f"user:{user.pk}", "editor", "ada")


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer nonsense", "Basic YTpi", "Bearer a.b.c"])
def test_bad_authorization_header_is_401(header: str) -> None:
    assert ping(Authorization=header).status_code == 401


def test_refresh_token_is_no_access_token(make_user: Callable[..., Any]) -> None:
    assert ping(Authorization=f"Bearer {tokens.issue(make_user()).refresh}").status_code == 401


def test_token_ends_when_the_password_changes(make_user: Callable[..., Any]) -> None:
    user = make_user()
    header = bearer(user)
    assert ping(Authorization=header).status_code == 200
    user.set_password("battery staple")
    user.save()
    assert ping(Authorization=header).status_code == 401


def test_token_ends_when_the_account_is_disabled(make_user: Callable[..., Any]) -> None:
    user = make_user()
    header = bearer(user)
    user.is_active = False
    user.save()
    assert ping(Authorization=header).status_code == 401


def test_token_of_deleted_user_is_401(make_user: Callable[..., Any]) -> None:
    user = make_user()
    header = bearer(user)
    user.delete()
    assert ping(Authorization=header).status_code == 401


def test_token_signed_with_the_bare_secret_key_is_401(make_user: Callable[..., Any]) -> None:
    import jwt
    from django.conf import settings

    payload = jwt.decode(tokens.issue(make_user()).access, options={"verify_signature": False})
    forged = jwt.encode(payload, settings.SECRET_KEY, algorithm="HS256")
    assert ping(Authorization=f"Bearer {forged}").status_code == 401


def _forged(user: Any, *, key: str | None = None, algorithm: str = "HS256", **claims: Any) -> str:
    """Return a token with our claims, signed as a forger would; with our own key when `key` is None."""
    import jwt

    payload = jwt.decode(tokens.issue(user).access, options={"verify_signature": False})
    own = tokens.AccessToken().token_backend.signing_key
    return jwt.encode({**payload, **claims}, own if key is None else key, algorithm=algorithm)


def test_token_of_another_algorithm_is_401(make_user: Callable[..., Any]) -> None:
    user = make_user()
    assert ping(Authorization=f"Bearer {_forged(user)}").status_code == 200
    for forged in (
        _forged(user, algorithm="HS512"),
        _forged(user, algorithm="HS384"),
        _forged(user, key="", algorithm="none"),
        _forged(user, key="another key of enough bytes for any algorithm"),
    ):
        assert ping(Authorization=f"Bearer {forged}").status_code == 401


def test_token_of_another_time_type_or_user_is_401(make_user: Callable[..., Any]) -> None:
    ada, bob = make_user("ada"), make_user("bob")
    past = int((timezone.now() - timedelta(seconds=5)).timestamp())
    for claims in (
        {"exp": past},
        {"token_type": "refresh"},
        {"token_type": "sliding"},
        {"user_id": str(bob.pk)},
        {"user_id": "0"},
        {"user_id": None},
        {"user_id": {"pk": 1}},
        {"session": ""},
    ):
        answer = ping(Authorization=f"Bearer {_forged(ada, **claims)}")
        assert (claims, answer.status_code) == (claims, 401)


def test_token_signed_by_the_own_jwt_settings_of_the_host_is_401(make_user: Callable[..., Any]) -> None:
    from rest_framework_simplejwt.tokens import AccessToken

    assert ping(Authorization=f"Bearer {AccessToken.for_user(make_user())}").status_code == 401


def test_token_opens_nothing_once_the_membership_is_gone(make_user: Callable[..., Any]) -> None:
    user = make_user()
    header = bearer(user)
    assert ping(Authorization=header).status_code == 200
    Membership.objects.filter(user=user).delete()
    assert ping(Authorization=header).status_code == 403
    assert ping(Authorization=header, X_Tenant_ID="default").status_code == 404


def test_api_key_is_stored_as_its_hash_alone(make_key: MakeKey) -> None:
    key, plain = make_key()
    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM automate_api_apikey t WHERE id = %s", [key.pk])
        (row,) = cursor.fetchone()
    secret = plain.removeprefix(f"ak_{key.prefix}_")
    assert (plain in row, secret in row) == (False, False)
    assert hashlib.sha256(plain.encode()).hexdigest() in row


def test_reading_with_a_key_writes_nothing_within_the_minute(make_key: MakeKey) -> None:
    _, plain = make_key()
    ping(X_API_Key=plain)
    with CaptureQueriesContext(connection) as queries:
        assert ping(X_API_Key=plain).status_code == 200
    assert [q["sql"] for q in queries if not q["sql"].startswith("SELECT")] == []


def test_session_reads_without_csrf(make_user: Callable[..., Any]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user())
    assert client.get(PING).status_code == 200


def test_session_write_needs_csrf(make_user: Callable[..., Any]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user())
    refused = client.post(PING, {}, content_type="application/json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "FORBIDDEN")
    client.cookies["csrftoken"] = "a" * 32
    accepted = client.post(PING, {}, content_type="application/json", headers={"X-CSRFToken": "a" * 32})
    assert accepted.status_code == 200


def test_bearer_write_needs_no_csrf(make_user: Callable[..., Any]) -> None:
    client = Client(enforce_csrf_checks=True)
    headers = {"Authorization": bearer(make_user())}
    assert client.post(PING, {}, content_type="application/json", headers=headers).status_code == 200


def test_credentials_of_one_user_agree(make_user: Callable[..., Any], make_key: MakeKey) -> None:
    user = make_user()
    key, plain = make_key(user=user)
    answer = ping(Authorization=bearer(user), X_API_Key=plain)
    assert answer.json()["principal"] == f"apikey:{key.pk}"


def test_credentials_of_two_callers_are_401(make_user: Callable[..., Any], make_key: MakeKey) -> None:
    ada, bob = make_user("ada"), make_user("bob")
    _, plain = make_key()
    assert ping(Authorization=bearer(ada), X_API_Key=plain).status_code == 401
    client = Client()
    client.force_login(bob)
    assert client.get(PING, headers={"Authorization": bearer(ada)}).status_code == 401
    assert client.get(PING, headers={"Authorization": bearer(bob)}).status_code == 200


def test_good_credential_does_not_excuse_a_bad_one(make_user: Callable[..., Any]) -> None:
    assert ping(Authorization=bearer(make_user()), X_API_Key="nonsense").status_code == 401


def test_tenant_header_selects_among_memberships(
    make_user: Callable[..., Any], other_tenant: Tenant, tenant: Tenant
) -> None:
    user = make_user(role=Role.VIEWER)
    Membership.objects.create(tenant=other_tenant, user=user, role=Role.EDITOR)
    header = bearer(user)
    unnamed = ping(Authorization=header)
    assert (unnamed.status_code, unnamed.json()["error"]["details"][0]["field"]) == (400, "X-Tenant-ID")
    by_slug = ping(Authorization=header, X_Tenant_ID="other").json()
    assert (by_slug["tenant"], by_slug["in_context"], by_slug["role"]) == (
        str(other_tenant.pk),
        str(other_tenant.pk),
        "editor",
    )
    assert ping(Authorization=header, X_Tenant_ID=str(tenant.pk)).json()["role"] == "viewer"


def test_foreign_and_unknown_tenants_answer_alike(
    make_user: Callable[..., Any], other_tenant: Tenant
) -> None:
    header = bearer(make_user())
    answers = [ping(Authorization=header, X_Tenant_ID=name) for name in ("other", "absent", "a\x00b", "")]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 404]
    messages = {answer.json()["error"]["message"].split(" ", 2)[2] for answer in answers[:2]}
    assert messages == {"was not found"}


def test_api_key_reaches_no_other_tenant(make_key: MakeKey, other_tenant: Tenant, tenant: Tenant) -> None:
    _, plain = make_key()
    assert ping(X_API_Key=plain, X_Tenant_ID="other").status_code == 404
    assert ping(X_API_Key=plain, X_Tenant_ID="default").status_code == 200
    assert ping(X_API_Key=plain, X_Tenant_ID=str(tenant.pk)).status_code == 200


def test_user_without_membership_is_403(make_user: Callable[..., Any]) -> None:
    assert ping(Authorization=bearer(make_user(role=None))).status_code == 403


def test_superuser_is_admin_of_every_tenant(
    make_user: Callable[..., Any], other_tenant: Tenant, tenant: Tenant
) -> None:
    header = bearer(make_user(role=None, is_superuser=True))
    plain = ping(Authorization=header).json()
    assert (plain["tenant"], plain["role"]) == (str(tenant.pk), "admin")
    assert ping(Authorization=header, X_Tenant_ID="other").json()["tenant"] == str(other_tenant.pk)
    assert ping(Authorization=header, X_Tenant_ID="absent").status_code == 404
