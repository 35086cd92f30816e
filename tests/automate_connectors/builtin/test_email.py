"""The email connector with Django's in-memory outbox."""

from __future__ import annotations

import smtplib

import pytest
from django.core import mail

from automate_connectors.base import ConnectorContext
from automate_connectors.builtin import EmailConnector
from automate_connectors.validation import problems
from automate_core.errors import PermanentError, TransientError


def connector() -> EmailConnector:
    return EmailConnector({}, ConnectorContext())


def test_send_puts_one_message_out() -> None:
    output = connector().execute_action(
        "send",
        {
            "to": "a@x.example",
            "cc": ["b@x.example"],
            "bcc": "c@x.example",
            "reply_to": "r@x.example",
            "from": "f@x.example",
            "subject": "Hello",
            "body": "text",
            "html": "<b>text</b>",
        },
    )
    (message,) = mail.outbox
    assert (message.to, message.cc, message.bcc, message.reply_to) == (
        ["a@x.example"],
        ["b@x.example"],
        ["c@x.example"],
        ["r@x.example"],
    )
    assert (message.from_email, message.subject, message.body) == ("f@x.example", "Hello", "text")
    assert [tuple(part) for part in message.alternatives] == [("<b>text</b>", "text/html")]
    assert output == {"sent": 1, "message_id": message.message()["Message-ID"]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"subject": "a\r\nBcc: x@y.example"},
        {"to": "a@x.example\nBcc: b@y.example"},
        {"to": []},
        {"to": "nobody"},
        {"body": None},
    ],
)
def test_schema_refuses_header_injection_and_nonsense(wrong: dict[str, object]) -> None:
    schema = EmailConnector.actions()[0].input_schema
    valid = {"to": "a@x.example", "subject": "s", "body": "b"}
    assert problems(schema, valid) == []
    assert problems(schema, valid | wrong) != []


@pytest.mark.parametrize(
    ("error", "kind", "performed"),
    [
        (smtplib.SMTPResponseException(451, b"later"), TransientError, False),
        (smtplib.SMTPResponseException(550, b"no"), PermanentError, None),
        (smtplib.SMTPRecipientsRefused({"a": (450, b"busy"), "b": (550, b"no")}), TransientError, False),
        (smtplib.SMTPRecipientsRefused({"a": (550, b"no")}), PermanentError, None),
        (smtplib.SMTPConnectError(421, b"busy"), TransientError, False),
        (smtplib.SMTPServerDisconnected("gone"), TransientError, None),
        (ConnectionRefusedError(), TransientError, False),
        (TimeoutError(), TransientError, None),
    ],
)
def test_mail_errors_say_whether_a_retry_is_safe(
    error: Exception, kind: type[Exception], performed: bool | None
) -> None:
    normal = connector().normalize_error(error)
    assert isinstance(normal, kind)
    assert normal.extra.get("performed") is performed  # type: ignore[attr-defined]
