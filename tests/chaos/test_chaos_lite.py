"""Chaos in every test run: small storms on real processes, each judged by the ledger and the invariants."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 540

# A scenario waits for what it promises, however slow the machine; nothing takes that long on any other.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Keep one cluster for the module: it is made and migrated once."""
    return tmp_path_factory.mktemp("chaos")


def verdicts(directory: Path, scenario: str, *options: str) -> list[tuple[str, str, list[str]]]:
    """Play a scenario in a process of its own; return promise, verdict and violations of each outcome."""
    report = directory / f"{scenario}.json"
    report.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "tests.chaos",
        "--quick",
        "--scenario",
        scenario,
        "--data",
        str(directory),
    ]
    played = subprocess.Popen(
        [*command, "--report", str(report), *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    try:
        output, _ = played.communicate(timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        # Interrupted, it stops every server and worker it started; killed, it could not.
        played.send_signal(signal.SIGINT)
        output, _ = played.communicate()
    assert report.exists(), output
    found = json.loads(report.read_text())
    print(output)
    assert played.returncode == (found["verdict"] != "kept")
    return [(one["promise"], one["verdict"], one["violations"]) for one in found["outcomes"]]


def kept(*promises: str) -> list[tuple[str, str, list[str]]]:
    return [(promise, "kept", []) for promise in promises]


def test_storm_of_kills_loses_nothing_and_repeats_nothing(directory):
    assert verdicts(directory, "lite") == kept("P1 lite", "P3", "P4")


def test_rolled_back_transaction_emits_nothing(directory):
    assert verdicts(directory, "p2") == kept("P2")


def test_worker_stopped_past_its_lease_changes_nothing(directory):
    assert verdicts(directory, "p5") == kept("P5")


def test_poison_stops_itself_and_spares_its_neighbours(directory):
    assert verdicts(directory, "p8") == kept("P8", "P8")


def test_parallel_emits_with_one_key_are_one_event(directory):
    assert verdicts(directory, "p9") == kept("P9")
