"""One conformance suite over every secret backend.

The Vault server is stood in for by `FakeVault`, a fake of hvac's client, which is not ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from asgiref.sync import async_to_sync

from automate_core.errors import AutomateError
from automate_core.secrets import (
    DatabaseBackend,
    EnvironmentBackend,
    InvalidSecretRef,
    SecretAccessDenied,
    SecretBackend,
    SecretNotFoundError,
    SecretRef,
    VaultBackend,
    aresolve,
    collect_secrets,
    resolve,
    secret_backends,
    store,
)
from tests.automate_core.secrets.conftest import FakeVault

VALUE = "s3cr3t-välue \n with 'quotes\" and 雪"


@dataclass
class Case:
    scheme: str
    kind: type[SecretBackend]
    present: str
    absent: str
    malformed: tuple[str, ...]


CASES = [
    Case("secret", DatabaseBackend, "API_KEY", "OTHER_KEY", ("", "a b", "1KEY", "K/../X", "K" * 129, "K\n")),
    Case("env", EnvironmentBackend, "PARTNER_TOKEN", "UNSET_TOKEN", ("", "A-B", "1A", "A B", "A=B", "A\n")),
    Case(
        "vault",
        VaultBackend,
        "secret/api#token",
        "secret/other#token",
        ("", "secret", "/secret/api", "secret//api", "secret/../sys/auth", "secret/api/..", "secret/./api#x",
         "secret/api#", "secret/api?x=1"),
    ),
]  # fmt: skip


def test_cases_cover_every_registered_backend() -> None:
    assert {case.scheme: case.kind for case in CASES} == {
        name: type(secret_backends.get(name)) for name in secret_backends
    }


@pytest.fixture(params=CASES, ids=lambda case: case.scheme)
def case(
    request: pytest.FixtureRequest, vault: FakeVault, monkeypatch: pytest.MonkeyPatch, settings, db
) -> Case:
    settings.AUTOMATE = {"SECRET_ENV_ALLOW": ["PARTNER_TOKEN", "UNSET_TOKEN"]}
    monkeypatch.setenv("PARTNER_TOKEN", VALUE)
    monkeypatch.delenv("UNSET_TOKEN", raising=False)
    vault.v2_mounts["secret", "api"] = {"token": VALUE}
    monkeypatch.setitem(secret_backends._entries, "vault", VaultBackend(lambda: vault))
    store("API_KEY", VALUE, by="test")
    found: Case = request.param
    return found


@pytest.fixture
def ref(case: Case) -> str:
    return f"${case.scheme}:{case.present}"


def test_backend_resolves_the_exact_value(ref: str) -> None:
    assert resolve(ref) == VALUE
    assert resolve(SecretRef(ref)) == VALUE
    assert SecretRef(ref).resolve() == VALUE


def test_backend_resolves_from_async_code(ref: str) -> None:
    assert async_to_sync(aresolve)(ref) == VALUE
    assert async_to_sync(SecretRef(ref).aresolve)() == VALUE


def test_backend_reports_a_missing_secret_by_name(case: Case) -> None:
    missing = f"${case.scheme}:{case.absent}"
    with pytest.raises(SecretNotFoundError) as caught:
        resolve(missing)
    assert case.absent.split("#")[0] in caught.value.message
    with pytest.raises(SecretNotFoundError):
        async_to_sync(aresolve)(missing)


def test_backend_refuses_malformed_paths(case: Case) -> None:
    for path in case.malformed:
        with pytest.raises(InvalidSecretRef):
            resolve(f"${case.scheme}:{path}")


def test_backend_values_are_collected(ref: str) -> None:
    with collect_secrets() as seen:
        resolve(ref)
        resolve(ref)
    with collect_secrets() as seen_by_async_code:
        async_to_sync(aresolve)(ref)
    resolve(ref)
    assert (seen, seen_by_async_code) == ([VALUE], [VALUE])


def test_backend_does_not_show_values(case: Case, ref: str) -> None:
    resolve(ref)
    assert VALUE not in repr(secret_backends.get(case.scheme))
    assert VALUE not in repr(SecretRef(ref))


@pytest.fixture
def shouting() -> Iterator[str]:
    class Shouting(SecretBackend):
        pattern = EnvironmentBackend.pattern
        expects = "a word"

        def get(self, path: str) -> str:
            return path.upper()

    secret_backends.register("shout", Shouting())
    yield "shout"
    secret_backends.unregister("shout")


def test_registry_takes_further_backends(shouting: str) -> None:
    assert resolve(f"${shouting}:hello") == "HELLO"
    assert async_to_sync(aresolve)(f"${shouting}:hello") == "HELLO"


def test_errors_are_named_in_the_error_tree() -> None:
    assert [
        error.__mro__[1].__name__ for error in (SecretNotFoundError, SecretAccessDenied, InvalidSecretRef)
    ] == [
        "NotFound",
        "AccessDenied",
        "ValidationFailed",
    ]
    assert all(
        issubclass(e, AutomateError) for e in (SecretNotFoundError, SecretAccessDenied, InvalidSecretRef)
    )
