"""The rescuer is watched: without a reaper the site calls itself unready, and the gauges say why (P7)."""

from __future__ import annotations

import re
import time

from tests.chaos import graphs
from tests.chaos.cluster import wait_until
from tests.chaos.stage import Outcome, Stage, emit_many, rows, workflow

GAUGES = (
    "automate_outbox_oldest_ready_age_seconds",
    "automate_outbox_oldest_expired_lease_age_seconds",
    "automate_reaper_last_run_age_seconds",
)
LIMIT_SECONDS = 60.0


def run(stage: Stage) -> list[Outcome]:
    """Run a worker that never reaps beside an item whose lease ends, and read /readyz and /metrics."""
    from django.test import Client

    outcome = Outcome("P7", "reaper dead for 60 s: /readyz 503, and the gauges tell")
    workflow("held", graphs.calls(stage.ledger.url, hold=60), "chaos.held")
    client = Client(headers={"host": "127.0.0.1"})
    with stage.workers(1, "P7-victim") as victim, stage.workers(1, "P7-deaf") as deaf:
        victim.start()
        emit_many("chaos.held", range(1), threads=1, rng=stage.rng("P7"), pause=0.0)
        wait_until(lambda: len(stage.ledger.counts()) == 1, "the call is in flight", 60)
        victim.stop(hard=True)
        _forget_beats()
        deaf.set_env(0, CHAOS_NO_REAPER="1")
        deaf.start()
        wait_until(lambda: _beats() == 1, "the worker that never reaps is up", 60)
        ready = client.get("/readyz")
        outcome.require(
            ready.status_code == 200, f"/readyz is {ready.status_code} with a fresh worker: {ready.content!r}"
        )
        if stage.quick:
            _age_beats(LIMIT_SECONDS + 1)
        else:
            time.sleep(LIMIT_SECONDS + 1)
        unready = client.get("/readyz")
        reasons = [reason["check"] for reason in unready.json().get("reasons", [])]
        outcome.require(unready.status_code == 503, f"/readyz is {unready.status_code} without a reaper")
        outcome.require(reasons == ["reaper"], f"/readyz gives the reasons {reasons}")
        time.sleep(max(0.0, stage.lease + 1 if stage.quick else 0.0))
        text = client.get("/metrics").content.decode()
        for gauge in GAUGES:
            found = re.search(rf"^{gauge} (\S+)$", text, re.MULTILINE)
            outcome.require(found is not None, f"/metrics has no {gauge}")
            outcome.figures[gauge.removeprefix("automate_")] = found[1] if found else None
        expired = float(outcome.figures["outbox_oldest_expired_lease_age_seconds"] or 0)
        outcome.require(expired > 0, "the gauge of expired leases does not see the one that nobody took back")
        outcome.figures["readyz"] = f"{ready.status_code} then {unready.status_code}"
    return [outcome]


def _forget_beats() -> None:
    from automate_core import sql

    sql.execute("TRUNCATE automate_core_workerbeat")


def _age_beats(seconds: float) -> None:
    from automate_core import sql

    sql.execute(
        "UPDATE automate_core_workerbeat SET started_at = started_at - make_interval(secs => %s)", [seconds]
    )


def _beats() -> int:
    return int(rows("SELECT count(*) FROM automate_core_workerbeat")[0][0])
