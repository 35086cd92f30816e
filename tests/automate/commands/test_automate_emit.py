from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command

from automate.models import Event
from automate_core.ids import uuid7
from automate_core.models import OutboxItem, Tenant

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("automate_emit", *arguments, stdout=out)
    return out.getvalue().strip()


def test_emit_stores_an_event_and_prints_its_id() -> None:
    event_id = run("order.created", '{"order_id": "ORD-1"}', "--source", "shop")
    event = Event.objects.get()
    assert (str(event.id), event.type, event.payload, event.source) == (
        event_id, "order.created", {"order_id": "ORD-1"}, "shop",
    )  # fmt: skip
    assert OutboxItem.objects.get().payload == {"event_id": event_id}


def test_emit_again_with_the_same_key_prints_the_first_id() -> None:
    first = run("order.created", "{}", "--dedupe-key", "ORD-1")
    assert run("order.created", "{}", "--dedupe-key", "ORD-1") == first
    assert (Event.objects.count(), OutboxItem.objects.count()) == (1, 1)


def test_emit_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"n": 1}\n'))
    run("order.created", "-")
    assert Event.objects.get().payload == {"n": 1}


def test_emit_works_in_the_tenant_named() -> None:
    acme = Tenant.objects.create(id=uuid7(), slug="acme", name="Acme")
    run("order.created", "{}", "--tenant", "acme")
    assert Event.all_tenants.get().tenant_id == acme.id


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["order.created", "{oops"], "JSON is not JSON", 2),
        (["order.created", "[1]"], "JSON must be a JSON object", 2),
        (["order.created", '{"a": NaN}'], "JSON is not JSON", 2),
        (["order.created", '{"a": ' + "[" * 5000 + "]" * 5000 + "}"], "JSON is not JSON", 2),
        (["order.created", "{}", "--tenant", "nobody"], "There is no tenant 'nobody'", 1),
        (["", "{}"], "type must be a string of 1 to 255 characters", 1),
        (["order.created", '{"a": "\\u0000"}'], "must not contain the NUL character", 1),
        (["order\udcff", "{}"], "not UTF-8 text", 2),
    ],
)
def test_emit_says_in_one_line_what_is_wrong(arguments: list[str], said: str, code: int) -> None:
    with pytest.raises(CommandError, match=said) as caught:
        run(*arguments)
    assert (caught.value.returncode, str(caught.value).count("\n")) == (code, 0)
    assert Event.objects.count() == 0


def test_process_ends_with_the_code_and_one_line_on_stderr() -> None:
    command = [sys.executable, "-m", "django", "automate_emit", "order.created", "{oops"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ}, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("CommandError: JSON is not JSON: ")
    assert "Traceback" not in done.stderr
