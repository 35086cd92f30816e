"""A run finishes on the version it started with, and migrations under load lose nothing (P17)."""

from __future__ import annotations

import subprocess
import sys

from tests.chaos import graphs
from tests.chaos.cluster import ROOT, wait_until
from tests.chaos.stage import Outcome, Stage, emit_many, rows, statuses, workflow

RESULTS = """
SELECT e.type, (e.payload ->> 'n')::int, v.number, x.status, s.output_data #>> '{}'
FROM automate_execution x JOIN automate_event e ON e.id = x.event_id
JOIN automate_workflowversion v ON v.id = x.version_id
LEFT JOIN automate_steprun s ON s.execution_id = x.id AND s.path = 'word' AND s.status = 'SUCCESS'
"""


def run(stage: Stage) -> list[Outcome]:
    """Edit a workflow in the middle of its runs; then migrate hot tables up and down under load."""
    return [_edits(stage), _migrations(stage)]


def _edits(stage: Stage) -> Outcome:
    from automate.workflows import update_workflow

    batch, edits = stage.pick(50, 15), stage.pick(6, 3)
    outcome = Outcome(
        "P17", f"{edits} edits in the middle of runs: each run keeps its version, new ones get the new"
    )
    rng = stage.rng("P17")
    automation = workflow("edited", graphs.slow("version 1", 3.0), "chaos.edited")
    with stage.workers(2, "P17-edits") as workers:
        workers.start()
        for edit in range(1, edits + 1):
            start = (edit - 1) * batch
            emit_many("chaos.edited", range(start, start + batch), threads=2, rng=rng, pause=0.0)
            wait_until(lambda target=edit * batch: _executions() >= target, "the batch has started", 60)
            if edit == 2:
                # Resumed from the record by another worker, a run must still find its version.
                workers.kill(rng)
            automation = update_workflow(
                automation, by="chaos", graph=graphs.slow(f"version {edit + 1}", 3.0)
            )
        emit_many("chaos.edited", range(edits * batch, (edits + 1) * batch), threads=2, rng=rng, pause=0.0)
        outcome.require(stage.settle(3 * stage.lease + 60), "the runs did not finish")
        workers.stop()
    wrong = [
        row
        for row in rows(RESULTS)
        if (row[2], row[3], row[4]) != (row[1] // batch + 1, "SUCCESS", f"version {row[1] // batch + 1}")
    ]
    outcome.figures = {
        "runs": _executions(),
        "edits": edits,
        "on a wrong version": len(wrong),
        "executions": statuses(),
    }
    outcome.require(not wrong, f"{len(wrong)} runs are not as their version says, such as {wrong[:2]}")
    outcome.require(_executions() == (edits + 1) * batch, f"{_executions()} runs")
    outcome.violations += stage.violations()
    return outcome


def _migrations(stage: Stage) -> Outcome:
    import threading

    events = stage.pick(1_000, 150)
    stage.clear()
    outcome = Outcome(
        "P17", f"a column added to and dropped from hot tables under {events} events: nothing is lost"
    )
    workflow("loaded", graphs.mixed(stage.ledger.url), "chaos.loaded")
    with stage.workers(2, "P17-migrations") as workers:
        workers.start()
        ids: list[str] = []
        load = threading.Thread(
            target=lambda: ids.extend(
                emit_many("chaos.loaded", range(events), threads=4, rng=stage.rng("P17/load"), pause=0.15)
            )
        )
        load.start()
        ran = 0
        while load.is_alive():
            for target in ("zero", "0001"):
                _migrate(target)
                ran += 1
        load.join()
        outcome.require(stage.settle(3 * stage.lease + 60), "the events did not finish")
        deaths = workers.deaths
        workers.stop()
    outcome.figures = {
        "events": len(ids),
        "migrations run": ran,
        "executions": statuses(),
        "worker deaths": deaths,
    }
    outcome.require(statuses() == {"SUCCESS": events}, f"executions ended as {statuses()}")
    outcome.require(deaths == 0, f"{deaths} workers died of a migration")
    outcome.violations += stage.violations()
    return outcome


def _migrate(target: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "chaos", target, "--verbosity", "0"], cwd=ROOT, check=True
    )


def _executions() -> int:
    return int(rows("SELECT count(*) FROM automate_execution")[0][0])
