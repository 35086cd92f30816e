"""The contract of a secret backend, the registry of backends by scheme, and the errors they raise."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import ClassVar

from asgiref.sync import sync_to_async

from automate_core.errors import AccessDenied, NotFound, TransientError
from automate_core.registry import Registry


class SecretNotFoundError(NotFound):
    """The secret does not exist in this tenant."""


class SecretAccessDenied(AccessDenied):
    """This secret may not be read from here."""


class SecretBackendUnavailable(TransientError):
    """The store of this secret did not answer; try again later."""


class SecretBackend(ABC):
    """Where the secrets of one scheme live. Subclass it and register an instance under the scheme.

    `pattern` is what a path must match in full; `expects` says the same in words, for error messages.
    A backend never puts a value into an exception, a log line or its own repr.
    """

    pattern: ClassVar[re.Pattern[str]]
    expects: ClassVar[str]

    @abstractmethod
    def get(self, path: str) -> str:
        """Return the value at `path`, already matched by `pattern`.

        Raises:
            SecretNotFoundError: nothing is stored there.
            SecretAccessDenied: it may not be read.
            SecretBackendUnavailable: the store did not answer.
        """

    async def aget(self, path: str) -> str:
        """Return the value at `path` without blocking the event loop; raises what `get` raises."""
        return await sync_to_async(self.get)(path)


secret_backends: Registry[SecretBackend] = Registry("secret scheme")
