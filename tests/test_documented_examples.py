"""Every documented Python example of the engine's modules, run as it is written."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, get_args, get_type_hints
from uuid import UUID

import pytest
from django.utils import timezone

from automate import events, rules
from automate.models import Event, Execution, StepRun
from automate_connectors import Connector, ConnectorContext, registry
from automate_core import secrets
from automate_core.errors import AutomateError, ErrorCodes, PermanentError, TransientError
from automate_core.models import OutboxItem
from automate_core.outbox import OutboxStore, enqueue
from tests.factories.engine import drain, node, workflow

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = (Path(__file__).parent / "contract" / "python-api.md").read_text()
EXAMPLES = dict(re.findall(r"^## (.+?)\n\n```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


def run(example: str, **names: Any) -> dict[str, Any]:
    """Run an example with the names it takes for granted; return what it leaves behind."""
    namespace = {"__name__": "example", **names}
    exec(compile(EXAMPLES[example], f"python-api.md: {example}", "exec", dont_inherit=True), namespace)
    return namespace


def greeting(slug="send-welcome-email"):
    return workflow(
        node("hello", "logging", {"message": "Hello {{ input.name | default('you') }}"}), slug=slug
    )


def test_every_example_has_its_test():
    ran = {name for name in EXAMPLES if f'run("{name}"' in Path(__file__).read_text()}
    assert ran == set(EXAMPLES)
    assert len(EXAMPLES) == 14


def test_run_an_execution(capsys):
    left = run("run an execution", automation=greeting())
    assert capsys.readouterr().out == "Status: SUCCESS\n"
    assert StepRun.objects.get(execution=left["execution"]).output_data == {"message": "Hello you"}
    assert OutboxItem.objects.count() == 0


def test_run_an_execution_by_text_id():
    with pytest.raises(Execution.DoesNotExist):
        run("run an execution by text id")
    documented = UUID("550e8400-e29b-41d4-a716-446655440000")
    Execution.objects.create(id=documented, automation=greeting(), context={"name": "Ann"})
    run("run an execution by text id")
    assert Execution.objects.get().status == "SUCCESS"
    assert StepRun.objects.get().output_data == {"message": "Hello Ann"}


def test_emit_an_event(capsys):
    first = run("emit an event")
    assert capsys.readouterr().out.startswith("Event ")
    again = run("emit an event")
    assert first["event_id"] == again["event_id"] == str(Event.objects.get(type="payment.received").id)
    assert Event.objects.filter(type="order.created").count() == 2
    assert Event.objects.filter(type="order.created").first().payload["amount"] == 99.99


def test_run_a_workflow(capsys):
    greeting()
    left = run("run a workflow")
    assert capsys.readouterr().out == f"Started execution: {left['execution_id']}\n"
    drain()
    assert Execution.objects.get(pk=left["execution_id"]).status == "SUCCESS"
    assert StepRun.objects.get().output_data == {"message": "Hello John Doe"}


def test_evaluate_a_rule(capsys):
    assert run("evaluate a rule")["result"] is True
    assert capsys.readouterr().out == "True\nTrue\n"


def test_compile_a_rule(capsys):
    students = [SimpleNamespace(name="Ada", score=80), SimpleNamespace(name="Bob", score=79)]
    run("compile a rule", students=students)
    assert capsys.readouterr().out == "Ada passed!\n"


def test_resolve_a_secret(monkeypatch):
    stripe = ModuleType("stripe")
    monkeypatch.setitem(sys.modules, "stripe", stripe)
    secrets.store("STRIPE_API_KEY", "sk_test_4242", by="test")
    run("resolve a secret")
    assert stripe.api_key == "sk_test_4242"


# The example is the reference's own, in the older of pydantic's two ways.
@pytest.mark.filterwarnings("ignore:Support for class-based `config` is deprecated")
def test_secret_references():
    secrets.store("API_KEY", "the-value", by="test")
    left = run("secret references")
    config = left["ConnectorConfig"](api_key="$secret:API_KEY")
    for reference in (config.api_key, left["MyConfig"].api_key):
        assert isinstance(reference, secrets.SecretRef)
        assert secrets.resolve(str(reference)) == "the-value"
    with pytest.raises(ValueError, match="api_key"):
        left["ConnectorConfig"](api_key="plain text is no reference")


def test_write_a_connector_and_use_the_registry(capsys):
    names = {"AutomateError": AutomateError, "ErrorCodes": ErrorCodes}
    made = run("write a connector", **names)["MyConnector"]
    try:
        left = run("use the connector registry", context=ConnectorContext(), MyConnector=made)
        assert registry.get_connector("my_connector") is made
    finally:
        registry.unregister("my_connector")
    assert isinstance(left["connector"], Connector)
    assert {"email", "http", "slack"} <= set(capsys.readouterr().out.split())
    assert [(spec.name, spec.idempotent) for spec in made.actions()] == [("send_message", True)]
    with pytest.raises(ValueError, match="Unknown action: nope"):
        made({}).execute_action("nope", {})
    error = made({}).normalize_error(KeyError("x"))
    assert (type(error), error.code, error.message) == (AutomateError, ErrorCodes.INTERNAL, "'x'")


def test_process_outbox_items():
    for outcome in ("ok", "busy", "broken"):
        enqueue(kind="a", payload={"outcome": outcome})
    processed = []

    def process(item):
        processed.append(item.payload["outcome"])
        if processed[-1] == "busy":
            raise TransientError("busy")
        if processed[-1] == "broken":
            raise PermanentError("broken")

    next_attempt = timezone.now() + timedelta(minutes=1)
    errors = {"TransientError": TransientError, "PermanentError": PermanentError}
    left = run("process outbox items", process=process, next_attempt=next_attempt, **errors)
    assert processed == ["ok", "busy", "broken"]
    rows = list(OutboxItem.objects.order_by("id").values_list("status", "error", "available_at"))
    assert rows[0] == ("PENDING", "busy", next_attempt)
    assert [row[:2] for row in rows] == [("PENDING", "busy"), ("FAILED", "broken")]
    assert isinstance(left["store"], OutboxStore)


def test_reap_stuck_items(capsys):
    enqueue(kind="a", payload={})
    from automate_core.outbox import SkipLockedClaimOutboxStore

    SkipLockedClaimOutboxStore().claim_batch("lost")
    OutboxItem.objects.update(lease_expires_at=timezone.now() - timedelta(hours=1))
    run("reap stuck items")
    assert capsys.readouterr().out == "Recovered 1 stuck items\n"
    assert OutboxItem.objects.get().status == "PENDING"


def test_type_annotations():
    documented = run("type annotations")
    for name, ours in (("emit_event", events.emit_event), ("evaluate", rules.evaluate)):
        promised, given = get_type_hints(documented[name]), get_type_hints(ours)
        assert list(given)[: len(promised) - 1] == list(promised)[:-1]
        assert given["return"] is promised["return"]
        for parameter, kind in promised.items():
            assert (
                given[parameter] == kind
                or kind in get_args(given[parameter])
                or Any in get_args(given[parameter])
            )


def test_imports():
    left = run("imports")
    assert all(callable(left[name]) for name in ("Runtime", "emit_event", "run_workflow", "evaluate"))
    assert left["registry"] is registry
