"""The backend of `$vault:path#field`: key/value secrets of HashiCorp Vault, engine version 2, then 1."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

from automate_core import conf
from automate_core.errors import PermanentError
from automate_core.secrets.base import (
    SecretAccessDenied,
    SecretBackend,
    SecretBackendUnavailable,
    SecretNotFoundError,
    secret_backends,
)

TIMEOUT_SECONDS = 5


class VaultNotConfigured(PermanentError):
    """Set AUTOMATE["VAULT"] to (address, token) to read $vault: references."""


class VaultFieldUnclear(PermanentError):
    """Name the field to read: $vault:path#field."""


class VaultBackend(SecretBackend):
    """Reads `mount/path`: the first segment is the mount point, `#field` picks one field.

    Without a field, the field `value` is read, else the only one there is. The token's policy in Vault
    decides what may be read; it holds for every tenant of the installation.

    Args:
        connect: returns an `hvac.Client`; by default one for `AUTOMATE["VAULT"]`.
    """

    pattern = re.compile(
        r"(?!.*(?:^|/)\.{1,2}(?:/|#|$))[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)+(?:#[A-Za-z0-9_.-]+)?"
    )
    expects = "mount/path or mount/path#field"

    def __init__(self, connect: Callable[[], Any] | None = None) -> None:
        self._connect = connect or _configured_client

    def get(self, path: str) -> str:
        """Return one field of the secret at `path`."""
        location, _, field = path.partition("#")
        fields = self._read(location)
        if not field:
            if "value" not in fields and len(fields) != 1:
                raise VaultFieldUnclear(
                    f"$vault:{location} has {len(fields)} fields; name one: $vault:{location}#field"
                )
            field = "value" if "value" in fields else next(iter(fields))
        if field not in fields:
            raise SecretNotFoundError(f"$vault:{location} has no field {field!r}")
        value = fields[field]
        if not isinstance(value, str) or not value:
            raise VaultFieldUnclear(f"Field {field!r} of $vault:{location} is not a text; store it as one")
        return value

    async def aget(self, path: str) -> str:
        """Return one field of the secret at `path`, read in a thread of its own."""
        return await asyncio.to_thread(self.get, path)

    def _read(self, location: str) -> Mapping[str, Any]:
        client = self._connect()
        from hvac import exceptions
        from requests import RequestException

        mount, _, path = location.partition("/")
        engines: tuple[Callable[[], Any], ...] = (
            lambda: client.secrets.kv.v2.read_secret_version(
                path=path, mount_point=mount, raise_on_deleted_version=True
            )["data"]["data"],
            lambda: client.secrets.kv.v1.read_secret(path=path, mount_point=mount)["data"],
        )
        denied = False
        for read in engines:
            try:
                fields: Mapping[str, Any] = read()
            except exceptions.InvalidPath:
                continue
            except (exceptions.Forbidden, exceptions.Unauthorized):
                denied = True  # a policy for engine 1 paths refuses the paths of engine 2, and the reverse
            except (exceptions.VaultError, RequestException) as error:
                raise SecretBackendUnavailable(
                    f"Vault did not answer for $vault:{location}: {type(error).__name__}"
                ) from None
            else:
                return fields
        if denied:
            raise SecretAccessDenied(
                f"Vault refuses $vault:{location} to the configured token; check its policy"
            )
        raise SecretNotFoundError(f"$vault:{location} does not exist in Vault")


def _configured_client() -> Any:
    try:
        import hvac
    except ImportError:
        raise VaultNotConfigured(
            "$vault: references need the extra 'vault'; install django-automate[vault]"
        ) from None
    configured = conf.get().VAULT
    if configured is None:
        raise VaultNotConfigured()
    address, token = configured
    return hvac.Client(url=address, token=token, timeout=TIMEOUT_SECONDS)


secret_backends.register("vault", VaultBackend())
