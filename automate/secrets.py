"""Secrets by reference: the public path of `automate_core.secrets`."""

from automate_core.secrets import (
    InvalidSecretRef,
    SecretAccessDenied,
    SecretNotFoundError,
    SecretRef,
    aresolve,
    resolve,
)

__all__ = [
    "InvalidSecretRef",
    "SecretAccessDenied",
    "SecretNotFoundError",
    "SecretRef",
    "aresolve",
    "resolve",
]
