"""The one way out: HTTP requests that reach public addresses only, within limits of size and time."""

from automate_core.http.client import Response, UnreadableResponse, arequest, request
from automate_core.http.guard import (
    OutboundFailed,
    OutboundRefused,
    OutboundTimeout,
    ResponseTooLarge,
    check_url,
    host_of,
)

__all__ = [
    "OutboundFailed",
    "OutboundRefused",
    "OutboundTimeout",
    "Response",
    "ResponseTooLarge",
    "UnreadableResponse",
    "arequest",
    "check_url",
    "host_of",
    "request",
]
