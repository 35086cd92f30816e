from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from automate_core.context import tenant_scope, trace_scope
from automate_core.ids import uuid7
from automate_core.revealed import collect_secrets, note_revealed
from automate_core.telemetry import HumanFormatter, JsonFormatter

SECRET = "canary-55aa-secret"


def record(event: object, /, *args: object, severity: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    exc_info = extra.pop("exc_info", None)
    made = logging.getLogger("automate.test").makeRecord(
        "automate.test", severity, __file__, 1, event, args, exc_info, extra=extra
    )
    made.created = 1_700_000_000.25
    return made


def as_json(*args: object, **extra: Any) -> dict[str, Any]:
    line = JsonFormatter().format(record(*args, **extra))
    assert "\n" not in line
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def failure(message: str) -> Any:
    try:
        raise ValueError(message)
    except ValueError:
        return sys.exc_info()


def test_json_line_has_event_and_fields() -> None:
    assert as_json("outbox.claimed", count=3) == {
        "ts": "2023-11-14T22:13:20.250+00:00",
        "level": "INFO",
        "logger": "automate.test",
        "event": "outbox.claimed",
        "count": 3,
    }


def test_json_line_carries_trace_and_tenant_of_the_context() -> None:
    tenant_id = uuid7()
    with trace_scope("trace-7"), tenant_scope(tenant_id):
        line = as_json("outbox.claimed")
    assert (line["trace_id"], line["tenant"]) == ("trace-7", str(tenant_id))


def test_json_line_prefers_trace_and_tenant_of_the_record() -> None:
    with trace_scope("trace-7"), tenant_scope(uuid7()):
        line = as_json("outbox.claimed", trace_id="trace-8", tenant="acme")
    assert (line["trace_id"], line["tenant"]) == ("trace-8", "acme")


def test_json_line_keeps_extras_out_of_its_own_fields() -> None:
    line = as_json("outbox.claimed", level="high", event="other", ts=1)
    assert (line["level"], line["event"]) == ("INFO", "outbox.claimed")
    assert (line["_level"], line["_event"], line["_ts"]) == ("high", "other", 1)


def test_json_line_formats_arguments() -> None:
    assert as_json("%s of %d", "one", 2)["event"] == "one of 2"


def test_json_line_has_the_traceback() -> None:
    line = as_json("step.failed", exc_info=failure("first\nsecond"))
    assert line["exception"].startswith("Traceback (most recent call last):")
    assert line["exception"].endswith("ValueError: first\nsecond")


@pytest.mark.parametrize("formatter", [JsonFormatter(), HumanFormatter()], ids=["json", "human"])
def test_line_hides_resolved_secrets_everywhere(formatter: logging.Formatter) -> None:
    with collect_secrets():
        note_revealed(SECRET)
        made = record(
            f"called with {SECRET}",
            exc_info=failure(SECRET),
            url=f"https://x/?k={SECRET}",
            deep=[{SECRET: SECRET}],
        )
        made.stack_info = f"stack {SECRET}"
        line = formatter.format(made)
    assert SECRET not in line
    assert line.count("***REDACTED***") == 6


@pytest.mark.parametrize("formatter", [JsonFormatter(), HumanFormatter()], ids=["json", "human"])
def test_line_hides_sensitive_keys(formatter: logging.Formatter) -> None:
    line = formatter.format(
        record("http.sent", headers={"Authorization": "Bearer abcdef123456"}, password="hunter2")
    )
    assert "abcdef123456" not in line
    assert "hunter2" not in line


class Odd:
    def __str__(self) -> str:
        return "odd"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (10**30, str(10**30)),
        (float("nan"), None),
        ({1}, [1]),
        ({1: Odd()}, {"1": "odd"}),
        ("\ud800", "\ufffd"),
        (b"bytes", "bytes"),
        (("a", "b"), ["a", "b"]),
        ("line\nbreak\u2028", "line\nbreak\u2028"),
    ],
)
def test_json_line_takes_any_value(value: object, written: object) -> None:
    assert as_json("odd", value=value)["value"] == written


def test_json_line_takes_a_cycle() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert as_json("odd", value=loop)["event"] == "odd"


def test_human_line_reads_well() -> None:
    with trace_scope("trace-7"):
        line = HumanFormatter().format(
            record("outbox.claimed", severity=logging.WARNING, count=3, kinds=["event"])
        )
    assert line[8:] == ' WARNING outbox.claimed trace_id=trace-7 count=3 kinds=["event"]'


def test_human_line_cannot_be_forged() -> None:
    line = HumanFormatter().format(record("first\n00:00:00 INFO    forged\x1b[2J", name_="a\nb"))
    assert line[8:] == " INFO    first\\n00:00:00 INFO    forged\\x1b[2J name_=a\\nb"


def test_human_line_puts_the_traceback_below() -> None:
    lines = HumanFormatter().format(record("step.failed", exc_info=failure("bad"), step="a")).splitlines()
    assert lines[0][8:] == " INFO    step.failed step=a"
    assert (lines[1], lines[-1]) == ("Traceback (most recent call last):", "ValueError: bad")
