from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client, override_settings
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from automate_api import tokens

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.automate_api.urls")]

TOKEN = "/api/auth/token/"
MakeUser = Callable[..., Any]


def post(path: str, **body: Any) -> Any:
    return Client().post(path, body, content_type="application/json")


def login(username: str = "ada", password: str = "correct horse") -> Any:
    return post(TOKEN, username=username, password=password)


def test_login_returns_a_pair_that_works(make_user: MakeUser) -> None:
    make_user()
    answer = login()
    assert answer.status_code == 200
    assert sorted(answer.json()) == ["access", "expires_in", "refresh"]
    assert answer.json()["expires_in"] == 3600
    assert answer["Cache-Control"] == "no-store"
    header = {"Authorization": f"Bearer {answer.json()['access']}"}
    assert Client().get("/api/ping/", headers=header).status_code == 200


@pytest.mark.parametrize(("username", "password"), [("ada", "wrong"), ("nobody", "correct horse")])
def test_login_with_wrong_credentials_is_401(make_user: MakeUser, username: str, password: str) -> None:
    make_user()
    answer = login(username, password)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHORIZED")
    assert answer.json()["error"]["message"] == "No active account has this username and password"


def test_login_of_disabled_account_is_401(make_user: MakeUser) -> None:
    make_user(is_active=False)
    assert login().status_code == 401


@pytest.mark.parametrize(
    "body",
    [{}, {"username": "ada"}, {"username": ["a"], "password": {}}, {"username": "x" * 300, "password": "p"}],
)
def test_login_without_fields_is_400(body: dict[str, Any]) -> None:
    assert post(TOKEN, **body).status_code == 400


def test_repeated_login_failures_are_held_back_by_name(make_user: MakeUser) -> None:
    make_user("ada")
    make_user("bob")
    with override_settings(AUTOMATE_API={"RATE_LOGIN_FAILURES": "2/hour", "RATE_STORAGE": "memory://"}):
        assert [login(password="wrong").status_code for _ in range(3)] == [401, 401, 429]
        assert login().status_code == 429
        assert login("bob").status_code == 200


def test_refresh_returns_the_next_pair_once(make_user: MakeUser) -> None:
    make_user()
    first = login().json()
    answer = post(TOKEN + "refresh/", refresh=first["refresh"])
    assert answer.status_code == 200
    assert answer.json()["refresh"] != first["refresh"]
    assert post(TOKEN + "refresh/", refresh=first["refresh"]).status_code == 401
    assert post(TOKEN + "refresh/", refresh=answer.json()["refresh"]).status_code == 200


def test_refresh_ends_with_the_password(make_user: MakeUser) -> None:
    user = make_user()
    refresh = login().json()["refresh"]
    user.set_password("battery staple")
    user.save()
    assert post(TOKEN + "refresh/", refresh=refresh).status_code == 401


def test_access_token_buys_no_pair(make_user: MakeUser) -> None:
    make_user()
    assert post(TOKEN + "refresh/", refresh=login().json()["access"]).status_code == 401


def test_verify_knows_live_tokens(make_user: MakeUser) -> None:
    user = make_user()
    pair = login().json()
    for token in (pair["access"], pair["refresh"]):
        assert (post(TOKEN + "verify/", token=token).status_code) == 200
    assert post(TOKEN + "verify/", token="nonsense").status_code == 401
    user.is_active = False
    user.save()
    assert post(TOKEN + "verify/", token=pair["access"]).status_code == 401


def test_blacklisted_refresh_token_is_dead(make_user: MakeUser) -> None:
    make_user()
    refresh = login().json()["refresh"]
    assert post(TOKEN + "blacklist/", refresh=refresh).status_code == 200
    assert post(TOKEN + "blacklist/", refresh=refresh).status_code == 401
    assert post(TOKEN + "refresh/", refresh=refresh).status_code == 401
    assert post(TOKEN + "verify/", token=refresh).status_code == 401


def test_token_says_nothing_about_the_password(make_user: MakeUser) -> None:
    user = make_user()
    import jwt

    claims = jwt.decode(tokens.issue(user).access, options={"verify_signature": False})
    assert user.password not in str(claims)
    assert sorted(claims) == ["exp", "iat", "jti", "session", "token_type", "user_id"]


def test_live_tokens_are_not_in_the_database(make_user: MakeUser) -> None:
    make_user()
    live = post(TOKEN + "refresh/", refresh=login().json()["refresh"]).json()["refresh"]
    stored = list(OutstandingToken.objects.values_list("token", flat=True))
    assert (len(stored), live in stored) == (1, False)


def test_refused_token_in_a_body_is_challenged_as_one_in_a_header() -> None:
    for path, name in (("refresh/", "refresh"), ("verify/", "token"), ("blacklist/", "refresh")):
        answer = post(TOKEN + path, **{name: "forged"})
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="api"')


def test_login_held_back_says_which_limit_was_passed() -> None:
    with override_settings(
        AUTOMATE_API={"RATE_LOGIN_FAILURES": "1/minute", "RATE_STORAGE": "calm-memory://"}
    ):
        assert login("mallory").status_code == 401
        answer = login("mallory")
    limits = [answer[f"X-RateLimit-{name}"] for name in ("Limit", "Remaining")]
    assert (answer.status_code, limits) == (429, ["1", "0"])
    assert 1 <= int(answer["Retry-After"]) <= 60
