"""Secrets by reference: the public path of `automate_core.secrets`."""

from automate_core.secrets import SecretAccessDenied, SecretNotFoundError, SecretRef, resolve

__all__ = ["SecretAccessDenied", "SecretNotFoundError", "SecretRef", "resolve"]
