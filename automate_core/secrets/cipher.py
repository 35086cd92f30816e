"""Encryption of stored secrets: AES-256-GCM under the newest of several keys, bound to the row it is for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from automate_core import conf
from automate_core.errors import PermanentError

NONCE_BYTES = 12
_INFO = b"automate.secrets.v1"


class InvalidSecretKeys(PermanentError):
    """AUTOMATE["SECRET_KEYS"] must hold base64 texts of 32 random bytes each."""


class SecretUndecryptable(PermanentError):
    """The stored secret does not decrypt."""


@dataclass(frozen=True, slots=True)
class Place:
    """The row a ciphertext belongs to; anywhere else it does not decrypt."""

    tenant_id: UUID
    name: str
    version: int

    def associated_data(self) -> bytes:
        """Return the place as bytes, unambiguously."""
        return json.dumps(["automate.secret", str(self.tenant_id), self.name, self.version]).encode()


@dataclass(frozen=True, slots=True)
class Sealed:
    """A ciphertext with what is needed to open it, except the key."""

    key_id: str
    nonce: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class Key:
    """One AES-256 key; `id` is the first 8 hex digits of its SHA-256."""

    material: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """Identify the key without telling anything useful about it."""
        return hashlib.sha256(self.material).hexdigest()[:8]


def seal(value: str, place: Place) -> Sealed:
    """Encrypt a value for one place under the newest key."""
    key = newest_key()
    nonce = os.urandom(NONCE_BYTES)
    return Sealed(key.id, nonce, AESGCM(key.material).encrypt(nonce, value.encode(), place.associated_data()))


def unseal(sealed: Sealed, place: Place) -> str:
    """Decrypt a value.

    Raises:
        SecretUndecryptable: no known key has the id, or the row was changed or comes from another place.
    """
    found = [key for key in _keys() if key.id == sealed.key_id]
    if not found:
        raise SecretUndecryptable(
            f"Secret {place.name!r} was encrypted with key {sealed.key_id!r}, which is not configured; "
            "put that key back into AUTOMATE['SECRET_KEYS'] or store the secret again"
        )
    for key in found:
        try:
            return (
                AESGCM(key.material)
                .decrypt(bytes(sealed.nonce), bytes(sealed.ciphertext), place.associated_data())
                .decode()
            )
        except (InvalidTag, ValueError):
            continue
    raise SecretUndecryptable(
        f"Secret {place.name!r} does not decrypt: its row was changed, or moved from another tenant, "
        "name or version; store the secret again"
    )


def newest_key() -> Key:
    """Return the key that new values are encrypted with."""
    return _keys()[0]


def _keys() -> Sequence[Key]:
    # Keys derived from SECRET_KEY stay readable after SECRET_KEYS is first set, or rotation had no way in.
    bases = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return (*_configured(conf.get().SECRET_KEYS), *(_derived(_as_bytes(base)) for base in bases))


@lru_cache(maxsize=4)
def _configured(texts: tuple[str, ...]) -> tuple[Key, ...]:
    try:
        keys = tuple(Key(base64.b64decode(text, validate=True)) for text in texts)
    except (binascii.Error, ValueError, TypeError):
        raise InvalidSecretKeys() from None
    if any(len(key.material) != 32 for key in keys):
        raise InvalidSecretKeys()
    return keys


@lru_cache(maxsize=16)
def _derived(base: bytes) -> Key:
    return Key(HKDF(algorithm=SHA256(), length=32, salt=None, info=_INFO).derive(base))


def _as_bytes(base: str | bytes) -> bytes:
    return base if isinstance(base, bytes) else base.encode()
