"""Flow control in a storm: loops, children, answers, limits and undoing, while workers and PostgreSQL are killed."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.chaos import graphs
from tests.chaos.cluster import Workers, killing
from tests.chaos.stage import Outcome, Stage, dead_letters, patiently, remaining, rows, statuses, workflow

EVENT, ANSWER = "chaos.flow", "chaos.paid"
LINES = 4
BAD_EVERY = 5
ACCOUNTS_SHARE = 10
"""Events for each account: twice as many as may be open at once."""
LONGEST_SECONDS = 300.0

_LISTENING = """
SELECT x.id::text, (e.payload ->> 'n')::int FROM automate_steprun s
JOIN automate_execution x ON x.id = s.execution_id JOIN automate_event e ON e.id = x.event_id
WHERE s.wake_event = %(type)s AND s.status = 'WAITING' AND s.answer IS NULL AND x.finished_at IS NULL
"""

_HELD = "SELECT count(*) FROM automate_execution WHERE held_at IS NOT NULL AND finished_at IS NULL"

_ENDED = """
SELECT x.id::text, (e.payload ->> 'n')::int, x.status, x.error_code, x.output::text
FROM automate_execution x JOIN automate_event e ON e.id = x.event_id WHERE e.type = %(type)s
"""

_CHILDREN = """
SELECT count(*), count(*) FILTER (WHERE status = 'SUCCESS'), count(DISTINCT parent_execution_id)
FROM automate_execution WHERE parent_execution_id IS NOT NULL
"""


@dataclass
class Answered:
    """The executions whose event was emitted, and how many were seen to wait for a place at one time."""

    executions: set[str] = field(default_factory=set)
    most_held: int = 0


def run(stage: Stage) -> list[Outcome]:
    """Start executions that wait for children, answers and places; answer them; judge every output and call."""
    events, count = stage.pick((600, 4), (60, 2))
    outcome = Outcome(
        "FLOW", f"{events} executions of every construct, {count} workers, kills: each ends as it should"
    )
    _workflows(stage)
    rng = stage.rng("FLOW")
    kill_rng, length = random.Random(rng.random()), events / stage.pick(20, 12)
    began = time.monotonic()
    with stage.workers(count, "flow") as workers:
        workers.start()
        with _answering() as answered:
            crash = threading.Thread(target=_crash, args=(stage, rng.uniform(0.2, 0.8) * length), daemon=True)
            with killing(workers, kill_rng, stage.pick((0.5, 1.5), (1.9, 2.1))) as victims:
                crash.start()
                _emit(events, rng, pause=length / events)
                crash.join()
                # The kills go on while there is work, as long as there is time to see the end without them.
                while remaining() and time.monotonic() - began < min(LONGEST_SECONDS / 2, 3 * length):
                    time.sleep(0.25)
            given_up = _end(stage, workers)
        took = time.monotonic() - began
        stubborn = workers.stop()
        lost_leases = len(workers.log_lines("lease_lost"))
    outcome.figures = {
        "executions": patiently(statuses), "kills": len(victims), "answers": len(answered.executions),
        "most held at once": answered.most_held, "database crashes": 1,
        "leases lost": lost_leases, "given up and redriven": given_up, "seconds": round(took, 1),
    }  # fmt: skip
    outcome.require(answered.most_held > 0, "nobody had to wait for a place: the limit was not tried")
    outcome.require(remaining() == 0, f"{remaining()} items or executions are stuck")
    outcome.require(not stubborn, f"{len(stubborn)} workers did not stop when asked")
    outcome.require(not dead_letters(), f"{dead_letters()} dead letters are left after they were put back")
    _judge_ends(outcome, events)
    _judge_ledger(outcome, stage, events)
    outcome.violations += stage.violations()
    return [outcome]


def _workflows(stage: Stage) -> None:
    from automate.workflows import create_workflow

    child = graphs.invoice(stage.ledger.url)
    create_workflow(name="invoice", slug="invoice", graph=child, by="chaos", trigger_type="manual")
    workflow("flow", graphs.flow(stage.ledger.url, "invoice"), EVENT)


def _emit(events: int, rng: random.Random, *, pause: float) -> None:
    from automate.events import emit_event

    for number in range(events):
        payload: dict[str, Any] = {
            "n": number, "bad": number % BAD_EVERY == 0, "account": f"a{number // ACCOUNTS_SHARE}",
            "lines": [number * LINES + line for line in range(LINES)],
        }  # fmt: skip
        time.sleep(rng.expovariate(1 / pause))
        patiently(lambda payload=payload, number=number: emit_event(EVENT, payload, f"flow-{number}"))


@contextmanager
def _answering() -> Iterator[Answered]:
    """Emit, once for each execution, the event it has begun to wait for; yields those answered."""
    from django.db import connection

    from automate.events import emit_event

    done, answered = threading.Event(), Answered()

    def answer() -> None:
        while not done.wait(0.1):
            answered.most_held = max(answered.most_held, rows(_HELD)[0][0])
            for execution, number in rows(_LISTENING, {"type": ANSWER}):
                if execution not in answered.executions:
                    key = f"paid-{number}"
                    patiently(lambda number=number, key=key: emit_event(ANSWER, {"n": number}, key))
                    answered.executions.add(execution)
        connection.close()

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield answered
    finally:
        done.set()
        thread.join()


def _crash(stage: Stage, after: float) -> None:
    time.sleep(after)
    stage.postgres.crash()
    time.sleep(0.5)
    stage.postgres.start()


def _end(stage: Stage, workers: Workers) -> int:
    """Wait for the end, put back what was given up because its workers were killed on every claim, and wait again."""
    from automate_core.outbox import deadletters

    patience = 2 * stage.lease + stage.pick(60, 30)
    stage.settle(patience)
    given_up = [row[0] for row in rows("SELECT id FROM automate_core_outboxitem WHERE status = 'FAILED'")]
    if given_up:
        patiently(lambda: deadletters.redrive(given_up, by="chaos"))
        stage.settle(patience)
    return len(given_up)


def _judge_ends(outcome: Outcome, events: int) -> None:
    """Compare every execution's end and output with what its event says they must be."""
    ended = rows(_ENDED, {"type": EVENT})
    outcome.require(len(ended) == events, f"{events} events made {len(ended)} executions")
    for execution, number, status, code, output in ended:
        is_bad = number % BAD_EVERY == 0
        lines = [number * LINES + line for line in range(LINES)]
        expected = (
            ("FAILED", "TEMPLATE_ERROR", None)
            if is_bad
            else ("SUCCESS", "", {"n": number, "lines": lines, "invoice": number, "paid": number})
        )
        found = (status, code, None if output is None else json.loads(output))
        outcome.require(found == expected, f"{execution} (n = {number}) ended {found}, not {expected}")
    children = tuple(rows(_CHILDREN)[0])
    outcome.require(
        children == (events,) * 3, f"(children, succeeded, parents) are {children}, not {events} each"
    )


def _judge_ledger(outcome: Outcome, stage: Stage, events: int) -> None:
    """Count the effects: of every call one, and of undoing one for each execution that failed."""
    effects: Counter[str] = Counter()
    for entry in stage.ledger.counts():
        effects[entry["step"]] += entry["effects"]
    expected = {"reserve": events, "book": events, "release": len(range(0, events, BAD_EVERY))}
    expected |= {f"lines[{line}]/charge": events for line in range(LINES)}
    outcome.require(dict(effects) == expected, f"the ledger counts {dict(effects)}, not {expected}")
