"""Telemetry: how log records are written and spans are sent."""

from automate_core.telemetry.logs import HumanFormatter, JsonFormatter
from automate_core.telemetry.spans import Span, configure, shutdown, span

__all__ = ["HumanFormatter", "JsonFormatter", "Span", "configure", "shutdown", "span"]
