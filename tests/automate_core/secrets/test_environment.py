from __future__ import annotations

import pytest

from automate_core.secrets import SecretAccessDenied, SecretNotFoundError, resolve


def test_environment_reads_nothing_by_default(monkeypatch: pytest.MonkeyPatch, settings) -> None:
    settings.AUTOMATE = {}
    monkeypatch.setenv("PARTNER_TOKEN", "value")
    with pytest.raises(SecretAccessDenied) as set_one:
        resolve("$env:PARTNER_TOKEN")
    with pytest.raises(SecretAccessDenied) as unset_one:
        resolve("$env:PARTNER_TOKEM")
    assert set_one.value.message == unset_one.value.message.replace("TOKEM", "TOKEN")
    assert "SECRET_ENV_ALLOW" in set_one.value.message


@pytest.mark.parametrize("name", ["DATABASE_URL", "SECRET_KEY", "database_url", "Secret_Key"])
def test_environment_never_reads_the_keys_of_the_installation(
    name: str, monkeypatch: pytest.MonkeyPatch, settings
) -> None:
    settings.AUTOMATE = {"SECRET_ENV_ALLOW": [name, "DATABASE_URL", "SECRET_KEY"]}
    monkeypatch.setenv(name, "value")
    with pytest.raises(SecretAccessDenied) as caught:
        resolve(f"$env:{name}")
    assert "value" not in caught.value.message


def test_environment_treats_an_empty_variable_as_missing(monkeypatch: pytest.MonkeyPatch, settings) -> None:
    settings.AUTOMATE = {"SECRET_ENV_ALLOW": ["PARTNER_TOKEN"]}
    monkeypatch.setenv("PARTNER_TOKEN", "")
    with pytest.raises(SecretNotFoundError):
        resolve("$env:PARTNER_TOKEN")
