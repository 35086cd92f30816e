"""Emits whose transaction is rolled back leave nothing (P2)."""

from __future__ import annotations

from tests.chaos import graphs
from tests.chaos.stage import Outcome, Stage, rows, statuses, workflow


class ChangedMind(Exception):
    """What a host's transaction raises to be rolled back."""


def run(stage: Stage) -> list[Outcome]:
    """Emit in as many transactions as promised, and roll half of them back at random."""
    from django.db import transaction

    from automate.events import emit_event

    size = stage.pick(1_000, 200)
    outcome = Outcome("P2", f"{size} emits, half rolled back: exactly the committed set")
    rng = stage.rng("P2")
    workflow("kept", graphs.pure(), "chaos.kept")
    committed: set[int] = set()
    with stage.workers(2, "P2") as workers:
        workers.start()
        for number in range(size):
            try:
                with transaction.atomic():
                    # A savepoint rolled back takes its own event and leaves its transaction's.
                    if rng.random() < 0.2:
                        _emit_and_roll_back(-number - 1)
                    emit_event("chaos.kept", {"n": number})
                    if rng.random() < 0.5:
                        raise ChangedMind
                committed.add(number)
            except ChangedMind:
                pass
        outcome.require(stage.settle(stage.pick(60, 180)), "the committed events are not finished in time")
        workers.stop()
    stored = {row[0] for row in rows("SELECT (payload ->> 'n')::int FROM automate_event")}
    ran = {
        row[0]
        for row in rows(
            "SELECT (e.payload ->> 'n')::int FROM automate_execution x JOIN automate_event e ON e.id = x.event_id"
        )
    }
    outcome.figures = {"emitted": size, "committed": len(committed), "events": len(stored), "ran": statuses()}
    outcome.require(stored == committed, f"{len(stored ^ committed)} events differ from the committed set")
    outcome.require(ran == committed, f"{len(ran ^ committed)} executions differ from the committed set")
    outcome.violations += stage.violations()
    return [outcome]


def _emit_and_roll_back(number: int) -> None:
    from django.db import transaction

    from automate.events import emit_event

    try:
        with transaction.atomic():
            emit_event("chaos.kept", {"n": number})
            raise ChangedMind
    except ChangedMind:
        pass
