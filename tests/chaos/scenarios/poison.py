"""An action that kills its worker stops itself and spares its neighbours (P8)."""

from __future__ import annotations

import time

from tests.chaos import graphs
from tests.chaos.cluster import Workers, wait_until
from tests.chaos.stage import Outcome, Stage, rows, statuses, workflow

NEIGHBOURS = 99
CLAIMS = 3
FINISH_SECONDS = 60.0


def run(stage: Stage) -> list[Outcome]:
    """Try a poison call, which dies on record, and a poison thought, which dies before anything is recorded."""
    return [_poison(stage, kind) for kind in ("poison_call", "poison_thought")]


def _poison(stage: Stage, kind: str) -> Outcome:
    from django.db import transaction

    from automate.events import emit_event

    outcome = Outcome("P8", f"{kind}: <= {CLAIMS} claims, then dead; {NEIGHBOURS} neighbours finish <= 60 s")
    stage.clear()
    workflow("poison", graphs.poison(kind), "chaos.poison")
    place = stage.rng(f"P8/{kind}").randrange(NEIGHBOURS)
    with stage.workers(2, f"P8-{kind}") as workers:
        workers.start()
        with transaction.atomic():
            for number in range(NEIGHBOURS + 1):
                emit_event("chaos.poison", {"n": number, "bad": number == place})
        began = time.monotonic()
        # A quick run is also played by slow machines; the promised figure is that of the full one.
        longest = stage.pick(1, 4) * FINISH_SECONDS
        limit = max(longest, 6 * stage.lease)
        _wait(outcome, lambda: statuses().get("SUCCESS", 0) == NEIGHBOURS, "every neighbour finishes", limit)
        neighbours = time.monotonic() - began
        _wait(
            outcome,
            lambda: _dead() is not None,
            "the poison is a dead letter",
            8 * stage.lease + stage.pick(60, 180),
        )
        deaths = workers.deaths
        _judge_rest(outcome, workers)
    dead = _dead()
    outcome.figures = {
        "neighbours finished after (s)": round(neighbours, 1), "worker deaths": deaths,
        "claims of the poison": dead[0] if dead else None, "executions": statuses(),
    }  # fmt: skip
    outcome.require(neighbours <= longest, f"the neighbours took {neighbours:.0f} s")
    outcome.require(deaths <= CLAIMS, f"{deaths} workers died")
    if dead is not None:
        outcome.require(dead[0] <= CLAIMS, f"the poison was claimed {dead[0]} times")
    if kind == "poison_call":
        outcome.require(statuses().get("FAILED WORKER_LOST") == 1, f"executions ended as {statuses()}")
    outcome.violations += stage.violations()
    return outcome


def _wait(outcome: Outcome, happened: object, what: str, seconds: float) -> None:
    try:
        wait_until(happened, what, seconds)
    except AssertionError as error:
        outcome.violations.append(str(error))


def _judge_rest(outcome: Outcome, workers: Workers) -> None:
    """Look whether anything dies after the dead letter."""
    deaths = workers.deaths
    time.sleep(2)
    outcome.require(workers.deaths == deaths, "workers go on dying after the dead letter")


def _dead() -> tuple[int] | None:
    found = rows("SELECT attempts FROM automate_core_outboxitem WHERE status = 'FAILED'")
    return found[0] if len(found) == 1 else None
