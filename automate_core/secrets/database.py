"""The backend of `$secret:KEY`: the encrypted secrets of the tenant in context, with a short-lived cache."""

from __future__ import annotations

import re
import threading
import time
from uuid import UUID

from django.db import transaction

from automate_core.models import Secret, current_tenant_id
from automate_core.secrets.base import SecretBackend, SecretNotFoundError, secret_backends
from automate_core.secrets.cipher import Place, Sealed, unseal

CACHE_SECONDS = 5.0
"""How long a process may go on using a value that another process has replaced."""
CACHE_LIMIT = 1_000


class DatabaseBackend(SecretBackend):
    """Reads the Secret rows of one tenant and decrypts them."""

    pattern = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
    expects = "a name of letters, digits, '_', '.' and '-', at most 128, starting with a letter or '_'"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[UUID, str], tuple[float, str]] = {}

    def get(self, path: str) -> str:
        """Return the decrypted value of the secret with this name in the tenant in context."""
        key = (current_tenant_id(), path)
        # Inside a transaction the row may be one that is rolled back: neither use nor fill the cache.
        cacheable = not transaction.get_connection().in_atomic_block
        if cacheable and (cached := self._values.get(key)) and cached[0] > time.monotonic():
            return cached[1]
        value = _read(*key)
        if cacheable:
            self._keep(key, value)
        return value

    def forget(self, tenant_id: UUID, name: str) -> None:
        """Drop a cached value in this process."""
        with self._lock:
            self._values.pop((tenant_id, name), None)

    def _keep(self, key: tuple[UUID, str], value: str) -> None:
        now = time.monotonic()
        with self._lock:
            if len(self._values) >= CACHE_LIMIT:
                self._values = {known: held for known, held in self._values.items() if held[0] > now}
            if len(self._values) < CACHE_LIMIT:
                self._values[key] = (now + CACHE_SECONDS, value)


def _read(tenant_id: UUID, name: str) -> str:
    row = (
        Secret.all_tenants.filter(tenant_id=tenant_id, name=name)
        .values_list("version", "key_id", "nonce", "ciphertext")
        .first()
    )
    if row is None:
        raise SecretNotFoundError(
            f"Secret {name!r} does not exist in this tenant; store it with `automate_secret set {name}`"
        )
    version, key_id, nonce, ciphertext = row
    return unseal(Sealed(key_id, bytes(nonce), bytes(ciphertext)), Place(tenant_id, name, version))


database_backend = DatabaseBackend()
secret_backends.register("secret", database_backend)
