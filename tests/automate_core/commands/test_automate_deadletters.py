from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from automate.executions import verbs
from automate.models import Execution
from automate.workflows import create_workflow
from automate_core.context import tenant_scope
from automate_core.ids import uuid7
from automate_core.models import AuditEntry, OutboxItem, Tenant
from automate_core.outbox.drain import Drain

pytestmark = pytest.mark.django_db(transaction=True)

GRAPH = {"nodes": [{"id": "log", "type": "logging", "config": {"message": "done"}}]}


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("automate_deadletters", *arguments, stdout=out)
    return out.getvalue()


def dead(kind: str = "mail", error: str = "no such host") -> OutboxItem:
    return OutboxItem.objects.create(kind=kind, status="FAILED", attempts=3, error=error)


def statuses() -> dict[int, str]:
    return dict(OutboxItem.all_tenants.values_list("id", "status"))


def test_list_shows_dead_letters_only() -> None:
    one, two = dead(), dead("event", "bad\x1b[2J\nline")
    OutboxItem.objects.create(kind="mail")
    lines = run("list").splitlines()
    assert [line.split()[:4] for line in lines] == [
        ["ID", "KIND", "TENANT", "CLAIMS"],
        [str(one.id), "mail", "default", "3"],
        [str(two.id), "event", "default", "3"],
    ]
    assert lines[2].endswith(r"bad\x1b[2J\nline")
    assert len(run("list", "--kind", "mail").splitlines()) == 2
    assert run("list", "--limit", "1").splitlines()[-1] == "... and 1 more; see --limit"


def test_redrive_puts_items_back_with_fresh_attempts() -> None:
    one, two = dead(), dead()
    assert run("redrive", "--id", str(one.id)) == "1 queued again\n"
    one.refresh_from_db()
    assert (one.status, one.attempts, one.error) == ("PENDING", 0, "")
    assert statuses()[two.id] == "FAILED"
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.target) == (
        "command:automate_deadletters",
        "outbox.redriven",
        f"outbox:{one.id}",
    )


def test_redriven_execution_runs_to_its_end() -> None:
    create_workflow(name="Orders", slug="orders", graph=GRAPH, by="test")
    execution = verbs.start_execution(slug="orders", payload={})
    OutboxItem.objects.update(status="FAILED", attempts=3)
    verbs.bury([(str(execution.id), "The worker stopped")])
    run("redrive", "--kind", "execution")
    assert Execution.objects.get().status == "QUEUED"
    Drain().run_until_empty()
    assert (Execution.objects.get().status, statuses()) == ("SUCCESS", {})


def test_discard_deletes_what_is_chosen() -> None:
    acme = Tenant.objects.create(id=uuid7(), slug="acme", name="Acme")
    mail, event = dead("mail"), dead("event")
    with tenant_scope(acme.id):
        theirs = dead("mail")
    alive = OutboxItem.objects.create(kind="mail")
    assert run("discard", "--kind", "mail", "--tenant", "default") == "1 discarded\n"
    assert set(statuses()) == {event.id, theirs.id, alive.id}
    assert mail.id not in statuses()
    assert run("discard", "--all") == "2 discarded\n"
    assert set(statuses()) == {alive.id}


@pytest.mark.parametrize("verb", ["redrive", "discard"])
def test_nothing_chosen_is_wrong_usage(verb: str) -> None:
    dead()
    with pytest.raises(CommandError, match="Say which") as caught:
        run(verb)
    assert (caught.value.returncode, list(statuses().values())) == (2, ["FAILED"])


def test_item_that_is_no_dead_letter_stops_everything() -> None:
    one, alive = dead(), OutboxItem.objects.create(kind="mail")
    with pytest.raises(CommandError, match=f"Not a dead letter: {alive.id}, 99999999999999999999;"):
        run("discard", "--id", str(one.id), str(alive.id), "--id", "99999999999999999999")
    assert len(statuses()) == 2


def test_failing_reaction_of_a_handler_puts_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from automate_core.errors import Conflict
    from automate_core.outbox.handlers import ItemHandler, handler_registry

    class Refusing(ItemHandler):
        """Refuses to see its items again."""

        kinds = ("refusing",)

        def deliver(self, item: object) -> None:
            """Deliver nothing."""

        @classmethod
        def redriven(cls, items: object) -> None:
            """Refuse."""
            raise Conflict("not these")

    handler_registry.register("refusing", Refusing)
    try:
        mail, refusing = dead(), dead("refusing")
        with pytest.raises(CommandError, match="not these"):
            run("redrive", "--all")
    finally:
        handler_registry.unregister("refusing")
    assert statuses() == {mail.id: "FAILED", refusing.id: "FAILED"}
