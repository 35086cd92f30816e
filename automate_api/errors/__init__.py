"""How errors look and which HTTP status they have: decided here and nowhere else."""

from automate_api.errors.details import messages_by_field, problems_of
from automate_api.errors.failures import (
    EncodedBody,
    Failure,
    MalformedBody,
    PayloadTooLarge,
    failure_of,
    is_api,
    is_flat,
    refuse_encoding,
)
from automate_api.errors.responses import (
    answer_to,
    csrf_failure,
    handle,
    handler400,
    handler403,
    handler404,
    handler500,
    response_for,
    response_with_status,
)
from automate_api.errors.statuses import STATUS

__all__ = [
    "STATUS",
    "EncodedBody",
    "Failure",
    "MalformedBody",
    "PayloadTooLarge",
    "answer_to",
    "csrf_failure",
    "failure_of",
    "handle",
    "handler400",
    "handler403",
    "handler404",
    "handler500",
    "is_api",
    "is_flat",
    "messages_by_field",
    "problems_of",
    "refuse_encoding",
    "response_for",
    "response_with_status",
]
