"""The Vault server is stood in for by `FakeVault`, a fake of hvac's client, which is not ours."""

from __future__ import annotations

import sys

import hvac
import pytest
import requests

from automate_core.errors import TransientError
from automate_core.secrets import (
    SecretAccessDenied,
    SecretBackendUnavailable,
    SecretNotFoundError,
    VaultBackend,
    VaultFieldUnclear,
    VaultNotConfigured,
    resolve,
)
from tests.automate_core.secrets.conftest import FakeVault


@pytest.fixture
def backend(vault: FakeVault) -> VaultBackend:
    return VaultBackend(lambda: vault)


def test_vault_reads_engine_version_2_before_1(backend: VaultBackend, vault: FakeVault) -> None:
    vault.v2_mounts["secret", "api"] = {"token": "from v2"}
    vault.v1_mounts["secret", "api"] = {"token": "from v1"}
    vault.v1_mounts["old", "team/api"] = {"token": "from v1"}
    assert backend.get("secret/api#token") == "from v2"
    assert backend.get("old/team/api#token") == "from v1"


def test_vault_without_a_field_reads_value_or_the_only_one(backend: VaultBackend, vault: FakeVault) -> None:
    vault.v2_mounts["secret", "one"] = {"token": "only"}
    vault.v2_mounts["secret", "several"] = {"value": "the value", "user": "bot"}
    vault.v2_mounts["secret", "unclear"] = {"token": "a", "user": "b"}
    assert backend.get("secret/one") == "only"
    assert backend.get("secret/several") == "the value"
    with pytest.raises(VaultFieldUnclear, match=r"\$vault:secret/unclear#field"):
        backend.get("secret/unclear")


def test_vault_reports_a_missing_field(backend: VaultBackend, vault: FakeVault) -> None:
    vault.v2_mounts["secret", "api"] = {"token": "value"}
    with pytest.raises(SecretNotFoundError, match="no field 'tokem'"):
        backend.get("secret/api#tokem")


@pytest.mark.parametrize("value", [5, None, {"nested": "x"}, ""])
def test_vault_refuses_values_that_are_not_text(
    backend: VaultBackend, vault: FakeVault, value: object
) -> None:
    vault.v2_mounts["secret", "api"] = {"token": value}
    with pytest.raises(VaultFieldUnclear):
        backend.get("secret/api#token")


def test_vault_policy_refusal_is_access_denied(backend: VaultBackend, vault: FakeVault) -> None:
    vault.refused.add(("secret", "api"))
    with pytest.raises(SecretAccessDenied, match="policy"):
        backend.get("secret/api#token")


@pytest.mark.parametrize(
    "failure",
    [
        requests.ConnectionError("refused by http://token@vault"),
        requests.Timeout("late"),
        hvac.exceptions.VaultDown("sealed"),
        hvac.exceptions.InternalServerError("boom"),
    ],
)
def test_vault_outage_is_transient(backend: VaultBackend, vault: FakeVault, failure: Exception) -> None:
    vault.failure = failure
    with pytest.raises(SecretBackendUnavailable) as caught:
        backend.get("secret/api#token")
    assert isinstance(caught.value, TransientError)
    assert str(failure) not in caught.value.message


def test_vault_not_configured_says_what_to_set(settings) -> None:
    settings.AUTOMATE = {}
    with pytest.raises(VaultNotConfigured, match=r"AUTOMATE\[.VAULT.\]"):
        resolve("$vault:secret/api")


def test_vault_library_missing_names_the_extra(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.AUTOMATE = {"VAULT": ("http://127.0.0.1:8200", "token")}
    monkeypatch.setitem(sys.modules, "hvac", None)
    with pytest.raises(VaultNotConfigured, match=r"django-automate\[vault\]"):
        resolve("$vault:secret/api")


def test_vault_unreachable_server_is_transient(settings, unused_port: int) -> None:
    settings.AUTOMATE = {"VAULT": (f"http://127.0.0.1:{unused_port}", "token")}
    with pytest.raises(SecretBackendUnavailable):
        resolve("$vault:secret/api")


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
