"""The storm: events keep coming while workers, PostgreSQL and Valkey are killed (P1, and P3 and P4 in its ledger)."""

from __future__ import annotations

import random
import threading
import time

from tests.chaos import graphs
from tests.chaos.cluster import killing
from tests.chaos.stage import (
    Outcome,
    Stage,
    dead_letters,
    emit_many,
    patiently,
    remaining,
    rows,
    statuses,
    workflow,
)

LONGEST_SECONDS = 300.0
UNLUCKY_SHARE = 0.01
"""Of a full run; a slow machine is killed more often at each item, so that a quick one may have more."""


def full(stage: Stage) -> list[Outcome]:
    """Run P1 as promised; a smaller one when the run is quick."""
    events, workers = stage.pick((2_000, 4), (300, 2))
    return _storm(stage, "P1", events, workers, pause=(0.5, 1.5), crashes=2, outage=stage.pick(20.0, 5.0))


def lite(stage: Stage) -> list[Outcome]:
    """Run the small storm of every test run: 200 events, 2 workers, one killed every 2 seconds."""
    return _storm(stage, "P1 lite", 200, 2, pause=(1.9, 2.1), crashes=1, outage=2.0)


def _storm(
    stage: Stage,
    name: str,
    events: int,
    count: int,
    *,
    pause: tuple[float, float],
    crashes: int,
    outage: float,
) -> list[Outcome]:
    from automate_core.outbox import deadletters

    outcome = Outcome(name, f"{events} events, {count} workers, kills: 0 lost, 0 stuck after 2 x lease")
    rng = stage.rng(name)
    workflow("storm", graphs.mixed(stage.ledger.url), "chaos.storm")
    began = time.monotonic()
    length = max(10.0, events / 80)
    kill_rng = random.Random(rng.random())
    with stage.workers(count, name.replace(" ", "-")) as workers:
        workers.start()
        helpers = [
            threading.Thread(target=_crash, args=(stage, rng.random(), crashes, length), daemon=True),
            threading.Thread(target=_cut_valkey, args=(stage, outage), daemon=True),
        ]
        with killing(workers, kill_rng, pause) as victims:
            for helper in helpers:
                helper.start()
            ids = emit_many("chaos.storm", range(events), threads=4, rng=rng, pause=4 * length / events)
            for helper in helpers:
                helper.join()
            # The kills go on while there is work, as long as there is time to see the end without them.
            while remaining() and time.monotonic() - began < min(LONGEST_SECONDS / 2, 3 * length):
                time.sleep(0.25)
        settled = stage.settle(2 * stage.lease + stage.pick(60, 180))
        took = time.monotonic() - began
        given_up = _given_up()
        if given_up:
            patiently(lambda: deadletters.redrive([item for item, *_ in given_up], by="chaos"))
            settled = stage.settle(2 * stage.lease + stage.pick(60, 180)) and settled
        stubborn = workers.stop()
        lost_leases = len(workers.log_lines("lease_lost"))
    found = patiently(statuses)
    stored = {row[0] for row in rows("SELECT id::text FROM automate_event")}
    outcome.figures = {
        "executions": found, "kills": len(victims), "seconds": round(took, 1), "database crashes": crashes,
        "leases lost": lost_leases, "given up and redriven": len(given_up),
    }  # fmt: skip
    missing = [one for one in ids if one not in stored]
    outcome.require(not missing, f"{len(missing)} committed events are gone")
    outcome.require(len(set(ids)) == events, f"{events} keys gave {len(set(ids))} events")
    outcome.require(sum(found.values()) == events, f"{events} events made {sum(found.values())} executions")
    outcome.require(settled, f"{remaining()} items or executions are stuck")
    outcome.require(not stubborn, f"{len(stubborn)} workers did not stop when asked")
    # Nobody can tell a poison item from one whose workers were killed by others on every claim it has. Such bad
    # luck must be rare, must have used up every claim, and must be no loss: put back, it has to finish as well.
    early = [item for item, claims, allowed in given_up if claims < allowed]
    outcome.require(not early, f"items {early} were given up with claims left")
    outcome.require(
        len(given_up) <= stage.pick(1, 10) * UNLUCKY_SHARE * events, f"{len(given_up)} items were given up"
    )
    outcome.require(not dead_letters(), f"{dead_letters()} dead letters are left after they were put back")
    # Nothing may end as if it were poison, nor for any reason but a call nobody can judge.
    unfair = {status: n for status, n in found.items() if status not in ("SUCCESS", "FAILED OUTCOME_UNKNOWN")}
    outcome.require(not unfair, f"executions ended otherwise than SUCCESS or OUTCOME_UNKNOWN: {unfair}")
    outcome.require(took <= stage.pick(1, 2) * LONGEST_SECONDS, f"it took {took:.0f} s")
    outcome.violations += stage.violations()
    return [outcome, *_ledger(stage, name)]


def _given_up() -> list[tuple[int, int, int]]:
    """Return each dead letter's id, its claims and how many it was allowed."""
    found = rows("SELECT id, attempts, max_attempts FROM automate_core_outboxitem WHERE status = 'FAILED'")
    return [(row[0], row[1], row[2]) for row in found]


def _crash(stage: Stage, seed: float, times: int, length: float) -> None:
    rng = random.Random(seed)
    for _ in range(times):
        time.sleep(rng.uniform(0.3, 0.9) * length / times)
        stage.postgres.crash()
        time.sleep(rng.uniform(0.2, 1.0))
        stage.postgres.start()


def _cut_valkey(stage: Stage, outage: float) -> None:
    if stage.valkey is not None:
        time.sleep(2)
        stage.valkey.flush()
        stage.valkey.stop()
        time.sleep(outage)
        stage.valkey.start()


def _ledger(stage: Stage, name: str) -> list[Outcome]:
    """Judge the calls by the ledger alone, apart from the invariants that join it with our records."""
    entries = stage.ledger.counts()
    once = [entry for entry in entries if entry["mode"] == "idempotent"]
    mail = [entry for entry in entries if entry["mode"] == "at_most_once"]
    repeatable = Outcome("P3", f"repeatable calls of {name} take effect once", {
        "steps": len(once), "requests": sum(entry["requests"] for entry in once),
        "effects": sum(entry["effects"] for entry in once),
    })  # fmt: skip
    for entry in once:
        repeatable.require(entry["keys"] == 1, f"{entry['execution']} sent {entry['keys']} keys")
        repeatable.require(
            entry["effects"] == 1, f"{entry['execution']} took effect {entry['effects']} times"
        )
    unknown = rows("SELECT count(*) FROM automate_steprun WHERE error_code = 'OUTCOME_UNKNOWN'")[0][0]
    sent = rows("SELECT count(*) FROM automate_steprun WHERE path = 'mail' AND status = 'SUCCESS'")[0][0]
    single = Outcome("P4", f"other calls of {name} run at most once or are flagged", {
        "effects": sum(entry["effects"] for entry in mail), "successes": sent, "outcome unknown": unknown,
    })  # fmt: skip
    for entry in mail:
        single.require(entry["effects"] <= 1, f"{entry['execution']} took effect {entry['effects']} times")
    effects = single.figures["effects"]
    single.require(
        sent <= effects <= sent + unknown, f"{effects} effects, {sent} successes, {unknown} flagged"
    )
    return [repeatable, single]
