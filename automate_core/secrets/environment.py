"""The backend of `$env:VAR`: environment variables on an allow-list."""

from __future__ import annotations

import os
import re

from automate_core import conf
from automate_core.secrets.base import SecretAccessDenied, SecretBackend, SecretNotFoundError, secret_backends

NEVER = frozenset({"DATABASE_URL", "SECRET_KEY"})
"""Names refused even when listed: whoever reads one of them owns the installation."""


class EnvironmentBackend(SecretBackend):
    """Reads variables named in `AUTOMATE["SECRET_ENV_ALLOW"]`; the list holds for every tenant."""

    pattern = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
    expects = "the name of an environment variable"

    def get(self, path: str) -> str:
        """Return the variable's value; whether a variable that is not allowed exists is not told."""
        if path.upper() in NEVER or path not in conf.get().SECRET_ENV_ALLOW:
            hint = "it never is" if path.upper() in NEVER else "add it to AUTOMATE['SECRET_ENV_ALLOW']"
            raise SecretAccessDenied(f"$env:{path} may not be read; {hint}")
        value = os.environ.get(path)
        if not value:
            raise SecretNotFoundError(f"$env:{path} is allowed but not set in this process's environment")
        return value

    async def aget(self, path: str) -> str:
        """Return the variable's value; reading the environment does not block."""
        return self.get(path)


secret_backends.register("env", EnvironmentBackend())
