"""Secret references (`$secret:KEY`, `$env:VAR`, `$vault:path`) and their resolution to values."""

from __future__ import annotations

import re
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from automate_core.errors import ValidationFailed
from automate_core.registry import UnknownEntry
from automate_core.revealed import note_revealed
from automate_core.secrets.base import SecretBackend, secret_backends

_REF = re.compile(r"\$(?P<scheme>[a-z][a-z0-9_]{0,31}):(?P<path>[^\s]{1,512})")


class InvalidSecretRef(ValidationFailed, ValueError):
    """A secret reference looks like $secret:KEY, $env:VAR or $vault:path#field."""


class SecretRef(str):
    """A reference to a secret: safe to store, log and compare, because it never holds the value.

    Usable as a class attribute, as a pydantic v2 field (with or without `arbitrary_types_allowed`) and
    wherever a string is. The message of a refused reference does not quote it: it may be a pasted secret.
    """

    __slots__ = ()

    def __new__(cls, ref: str) -> SecretRef:
        """Check the format.

        Args:
            ref: `$scheme:path`; the scheme must be registered and the path match its backend's pattern.

        Raises:
            InvalidSecretRef: it is anything else.
        """
        _parse(ref)
        return super().__new__(cls, ref)

    @property
    def scheme(self) -> str:
        """The part between `$` and `:`, which names the backend."""
        return self[1:].split(":", 1)[0]

    @property
    def path(self) -> str:
        """The part after the first `:`, which the backend understands."""
        return self.split(":", 1)[1]

    def resolve(self) -> str:
        """Return the value referred to; raises what `resolve` raises."""
        return resolve(self)

    async def aresolve(self) -> str:
        """Return the value referred to without blocking the event loop; raises what `resolve` raises."""
        return await aresolve(self)

    def __repr__(self) -> str:
        return f"SecretRef({str(self)!r})"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Accept a SecretRef or a string of its format; a refused input is not shown in the error."""
        return core_schema.chain_schema(
            [
                core_schema.no_info_plain_validator_function(_checked),
                core_schema.no_info_plain_validator_function(_refuse_unchecked),
            ],
            serialization=core_schema.to_string_ser_schema(),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe the field as a string of the format `secret-ref`."""
        return {"type": "string", "format": "secret-ref", "pattern": r"^\$[a-z][a-z0-9_]*:\S+$"}


def resolve(ref: str) -> str:
    """Return the value a reference stands for, in the tenant in context.

    The value is added to every `collect_secrets()` block around the call.

    Args:
        ref: `$secret:KEY`, `$env:VAR`, `$vault:path`, or another registered scheme.

    Raises:
        InvalidSecretRef: `ref` has another format.
        SecretNotFoundError: nothing is stored there.
        SecretAccessDenied: it may not be read from here.
        SecretBackendUnavailable: the store did not answer; a retry is sensible.
        SecretUndecryptable: the stored value does not decrypt.
    """
    backend, path = _parse(ref)
    value = backend.get(path)
    note_revealed(value)
    return value


async def aresolve(ref: str) -> str:
    """Return the value a reference stands for without blocking the event loop; see `resolve`."""
    backend, path = _parse(ref)
    value = await backend.aget(path)
    note_revealed(value)
    return value


def _parse(ref: str) -> tuple[SecretBackend, str]:
    match = _REF.fullmatch(ref) if isinstance(ref, str) else None
    if match is None:
        raise InvalidSecretRef()
    scheme, path = match["scheme"], match["path"]
    try:
        backend = secret_backends.get(scheme)
    except UnknownEntry:
        known = ", ".join(f"${name}:" for name in secret_backends)
        raise InvalidSecretRef(f"Unknown kind of secret reference; known: {known}") from None
    if not backend.pattern.fullmatch(path):
        raise InvalidSecretRef(f"A ${scheme}: reference expects {backend.expects}")
    return backend, path


class _Refused:
    """Stands in for the refused input, which pydantic would print."""

    def __init__(self, message: str) -> None:
        self.message = message

    def __repr__(self) -> str:
        return "<not shown>"


def _checked(value: Any) -> SecretRef | _Refused:
    try:
        return value if isinstance(value, SecretRef) else SecretRef(value)
    except InvalidSecretRef as error:
        return _Refused(error.message)


def _refuse_unchecked(value: SecretRef | _Refused) -> SecretRef:
    if isinstance(value, _Refused):
        raise PydanticCustomError("secret_ref", "{reason}", {"reason": value.message})
    return value
