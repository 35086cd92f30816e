"""Telemetry: how log records are written and spans are sent."""

from automate_core.telemetry.logs import HumanFormatter, JsonFormatter
from automate_core.telemetry.servers import CredentialFilter, redact_server_logs
from automate_core.telemetry.spans import Span, configure, shutdown, span

__all__ = [
    "CredentialFilter",
    "HumanFormatter",
    "JsonFormatter",
    "Span",
    "configure",
    "redact_server_logs",
    "shutdown",
    "span",
]
