"""What web servers log of requests holds no credential, whatever writes it down."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from uvicorn.logging import AccessFormatter

from automate_core.redaction import REDACTED
from automate_core.telemetry import redact_server_logs

TOKEN = "opaque-5c1d2e-credential"
KEY = "ak_0123abcd_" + "k" * 43


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What a plain handler writes of a server's logger."""
    redact_server_logs()
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    logger = logging.getLogger("uvicorn.error")
    level, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield out
    logger.removeHandler(handler)
    logger.setLevel(level)
    logger.propagate = propagates


def test_request_line_keeps_its_path_and_loses_its_token(written: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").debug("< GET %s HTTP/1.1", f"/ws/workflow/7/?tenant=a&token={TOKEN}")
    assert written.getvalue() == f"< GET /ws/workflow/7/?tenant=a&token={REDACTED} HTTP/1.1\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-API-Key", TOKEN),
        ("Authorization", f"Basic {TOKEN}"),
        ("Cookie", f"sessionid={TOKEN}"),
        ("Sec-WebSocket-Protocol", f"bearer, {TOKEN}"),
    ],
)
def test_header_with_a_credential_loses_its_value(name: str, value: str, written: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").debug("< %s: %s", name, value)
    assert written.getvalue() == f"< {name}: {REDACTED}\n"


def test_other_headers_are_left_as_they_are(written: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").debug("< %s: %s", "Sec-WebSocket-Version", "13")
    assert written.getvalue() == "< Sec-WebSocket-Version: 13\n"


def test_traceback_and_scope_lose_the_token(written: io.StringIO) -> None:
    logger = logging.getLogger("uvicorn.error")
    try:
        raise ValueError(f"no route for /ws/?token={TOKEN}")
    except ValueError:
        logger.exception("Exception in ASGI application")
    scope = {"query_string": f"token={TOKEN}".encode(), "subprotocols": ["bearer", TOKEN]}
    logger.debug("%s - ASGI [%d] Started scope=%s", "127.0.0.1:1", 3, scope)
    assert "no route for /ws/" in written.getvalue()
    assert "Started scope=" in written.getvalue()
    assert TOKEN not in written.getvalue()


def test_access_log_keeps_the_shape_its_formatter_wants() -> None:
    redact_server_logs()
    heard: list[logging.LogRecord] = []
    logger = logging.getLogger("uvicorn.access")
    handler = logging.Handler()
    handler.emit = heard.append  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        args = ("127.0.0.1:1", "GET", f"/api/?token={TOKEN}&key={KEY}", "1.1", 200)
        logger.warning('%s - "%s %s HTTP/%s" %d', *args)
    finally:
        logger.removeHandler(handler)
    line = AccessFormatter("%(request_line)s", use_colors=False).format(heard[0])
    assert line == f"GET /api/?token={REDACTED}&key={REDACTED} HTTP/1.1"


def test_filters_are_put_in_once() -> None:
    redact_server_logs()
    before = list(logging.getLogger("uvicorn.access").filters)
    redact_server_logs()
    assert logging.getLogger("uvicorn.access").filters == before
