"""Workers whose clocks are an hour wrong, in both directions, change nothing about the promises (P16)."""

from __future__ import annotations

import os
from pathlib import Path

from tests.chaos import graphs
from tests.chaos.stage import Outcome, Stage, emit_many, rows, statuses, workflow

SKEW = Path(__file__).resolve().parents[1] / "skew"
HOUR = 3600
DELAY_SECONDS = 2.0


def run(stage: Stage) -> list[Outcome]:
    """Let a worker an hour ahead and one an hour behind share the work; then kill them now and then."""
    events = stage.pick(400, 60)
    outcome = Outcome("P16", f"{events} events, worker clocks +1 h and -1 h: as with right clocks")
    rng = stage.rng("P16")
    workflow("skewed", graphs.mixed(stage.ledger.url), "chaos.skewed")
    workflow("delayed", graphs.slow("later", DELAY_SECONDS), "chaos.delayed")
    with stage.workers(2, "P16") as workers:
        for place, skew in enumerate((HOUR, -HOUR)):
            path = os.pathsep.join([str(SKEW), os.environ["PYTHONPATH"]])
            workers.set_env(place, PYTHONPATH=path, CHAOS_CLOCK_SKEW=str(skew))
        workers.start()
        emit_many("chaos.skewed", range(events), threads=4, rng=rng, pause=0.02)
        emit_many("chaos.delayed", range(10), threads=1, rng=rng, pause=0.2)
        outcome.require(stage.settle(90), "the events are not finished within 90 s")
        calm, entries = statuses(), stage.ledger.counts()
        # Nobody was killed: a lease judged by a wrong clock would show as a second request.
        twice = [entry for entry in entries if entry["requests"] != 1]
        outcome.require(not twice, f"{len(twice)} calls were made more than once although nobody was killed")
        outcome.require(calm == {"SUCCESS": events + 10}, f"executions ended as {calm}")
        waits = [
            row[0]
            for row in rows("SELECT extract(epoch FROM finished_at - created_at)::float8 FROM automate_execution x"
                            " WHERE x.id IN (SELECT execution_id FROM automate_steprun WHERE path = 'wait')")
        ]  # fmt: skip
        outcome.require(
            min(waits) >= DELAY_SECONDS, f"a delay of {DELAY_SECONDS} s lasted {min(waits):.1f} s"
        )
        outcome.require(
            max(waits) <= DELAY_SECONDS + 30, f"a delay of {DELAY_SECONDS} s lasted {max(waits):.0f} s"
        )
        emit_many("chaos.skewed", range(events, events + 40), threads=4, rng=rng, pause=0.0)
        workers.kill(rng)
        outcome.require(stage.settle(3 * stage.lease + 60), "what the killed worker held is not finished")
        skewed = len(workers.log_lines('"worker.started"'))
        outcome.figures = {
            "calm": calm, "after a kill": statuses(), "worker starts": skewed,
            "delays (s)": f"{min(waits):.1f} to {max(waits):.1f}",
        }  # fmt: skip
        outcome.require(
            _clocks_were_wrong(workers.log_lines('"worker.started"')), "the workers' clocks were right"
        )
    outcome.violations += stage.violations()
    return [outcome]


def _clocks_were_wrong(lines: list[str]) -> bool:
    """Tell from the time stamps of their own logs that the workers lived in other hours."""
    import datetime
    import json

    now = datetime.datetime.now(datetime.UTC)
    gaps = {
        round((datetime.datetime.fromisoformat(json.loads(line)["ts"]) - now).total_seconds() / HOUR)
        for line in lines
    }
    return gaps == {1, -1}
