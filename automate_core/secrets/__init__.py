"""Secrets: references, their resolution, the stored ones and the backends behind them."""

from automate_core.revealed import collect_secrets
from automate_core.secrets.base import (
    SecretAccessDenied,
    SecretBackend,
    SecretBackendUnavailable,
    SecretNotFoundError,
    secret_backends,
)
from automate_core.secrets.cipher import InvalidSecretKeys, SecretUndecryptable
from automate_core.secrets.database import DatabaseBackend
from automate_core.secrets.environment import EnvironmentBackend
from automate_core.secrets.refs import InvalidSecretRef, SecretRef, aresolve, resolve
from automate_core.secrets.storage import InvalidSecret, delete, rotate_keys, store
from automate_core.secrets.vault import VaultBackend, VaultFieldUnclear, VaultNotConfigured

__all__ = [
    "DatabaseBackend",
    "EnvironmentBackend",
    "InvalidSecret",
    "InvalidSecretKeys",
    "InvalidSecretRef",
    "SecretAccessDenied",
    "SecretBackend",
    "SecretBackendUnavailable",
    "SecretNotFoundError",
    "SecretRef",
    "SecretUndecryptable",
    "VaultBackend",
    "VaultFieldUnclear",
    "VaultNotConfigured",
    "aresolve",
    "collect_secrets",
    "delete",
    "resolve",
    "rotate_keys",
    "secret_backends",
    "store",
]
