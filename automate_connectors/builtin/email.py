"""The `email` connector: messages through the mail settings of the Django project."""

from __future__ import annotations

import smtplib
from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.mail import BadHeaderError, EmailMultiAlternatives, get_connection

from automate_connectors.base import ActionSpec, Connector
from automate_core.errors import PermanentError, TransientError

_ADDRESS = {"type": "string", "minLength": 3, "maxLength": 320, "pattern": r"^[^\r\n]*@[^\r\n]*$"}
_ADDRESSES = {"anyOf": [_ADDRESS, {"type": "array", "items": _ADDRESS, "minItems": 1, "maxItems": 100}]}

INPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "to": {**_ADDRESSES, "title": "To", "description": "One address, or several."},
        "cc": {**_ADDRESSES, "title": "Cc", "description": "Who gets a copy."},
        "bcc": {**_ADDRESSES, "title": "Bcc", "description": "Who gets a copy the others do not see."},
        "reply_to": {**_ADDRESSES, "title": "Reply to", "description": "Where answers go."},
        "from": {**_ADDRESS, "title": "From", "description": "Sender; the project's default address when absent."},
        "subject": {
            "type": "string", "maxLength": 998, "pattern": r"^[^\r\n]*$", "title": "Subject",
            "description": "One line.",
        },
        "body": {"type": "string", "title": "Text", "description": "The message as plain text."},
        "html": {
            "type": "string", "title": "HTML", "description": "The message as HTML, instead of the text or beside it.",
        },
    },
    "required": ["to", "subject"],
    "anyOf": [{"required": ["body"]}, {"required": ["html"]}],
    "additionalProperties": False,
}  # fmt: skip
OUTPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"sent": {"type": "integer"}, "message_id": {"type": "string"}},
    "required": ["sent", "message_id"],
}


class EmailConnector(Connector):
    """E-mail; at most once, for a mail server does not recognise a repeated message."""

    key = "email"
    display_name = "E-mail"
    connection_schema: ClassVar[Mapping[str, Any]] = {"type": "object", "additionalProperties": False}

    @classmethod
    def actions(cls) -> list[ActionSpec]:
        """Return the one action: send a message."""
        return [
            ActionSpec(
                name="send",
                label="Send an e-mail",
                description="Send `body`, `html` or both from the project's default address, or `from`.",
                input_schema=INPUT_SCHEMA,
                output_schema=OUTPUT_SCHEMA,
            )
        ]

    def execute_action(self, action: str, input_data: dict[str, Any]) -> dict[str, Any]:
        """Send one message; `message_id` is the Message-ID header it carries."""
        if action != "send":
            raise PermanentError(f"The email connector has no action {action!r}; use 'send'")
        message = EmailMultiAlternatives(
            subject=input_data["subject"],
            body=input_data.get("body", ""),
            from_email=input_data.get("from"),
            to=_addresses(input_data.get("to")),
            cc=_addresses(input_data.get("cc")),
            bcc=_addresses(input_data.get("bcc")),
            reply_to=_addresses(input_data.get("reply_to")),
            connection=get_connection(fail_silently=False),
        )
        if html := input_data.get("html"):
            message.attach_alternative(html, "text/html")
        try:
            mime = message.message()
        except (BadHeaderError, ValueError) as error:
            raise PermanentError(f"The message is malformed: {error}") from error
        # Django makes up a Message-ID each time it builds the message; setting it keeps the one returned.
        message.extra_headers["Message-ID"] = str(mime["Message-ID"])
        sent = message.send(fail_silently=False)
        return {"sent": sent or 0, "message_id": message.extra_headers["Message-ID"]}

    def normalize_error(self, exc: Exception) -> Exception:
        """Translate the mail library's errors: an answer of 4xx is temporary, one of 5xx is final."""
        if isinstance(exc, smtplib.SMTPRecipientsRefused):
            codes = [code for code, _ in exc.recipients.values()]
            return _refused(min(codes, default=500), "The mail server refused all recipients")
        if isinstance(exc, smtplib.SMTPResponseException):
            return _refused(exc.smtp_code, f"The mail server answered {exc.smtp_code}")
        if isinstance(exc, smtplib.SMTPConnectError):
            return TransientError("The mail server could not be reached", performed=False)
        if isinstance(exc, smtplib.SMTPServerDisconnected):
            return TransientError("The mail server hung up", performed=None)
        return super().normalize_error(exc)


def _addresses(value: str | list[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def _refused(code: int, message: str) -> Exception:
    if 400 <= code < 500:
        return TransientError(message, performed=False)
    return PermanentError(message)
