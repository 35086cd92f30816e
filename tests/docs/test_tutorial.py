"""The tutorial, as a person follows it: its commands, one after the other, against what `make run` starts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks
from tests.factories import standalone
from tests.factories.standalone import Standalone

PAGE = ROOT / "docs" / "tutorial.md"

# A person takes longer to read on than a worker to run three steps; this script does not.
UNTIL_FINISHED = """
for _ in $(seq 1200); do
  curl -sS "http://127.0.0.1:7878/api/automate/executions/" -H "X-API-Key: $KEY" | grep -q SUCCESS && break
  sleep 0.1
done
"""

pytestmark = pytest.mark.skipif(
    not shutil.which("openssl") or not shutil.which("curl"), reason="needs curl, openssl"
)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return standalone.environment(tmp_path / "data")


@pytest.fixture
def running(environment: dict[str, str]) -> Iterator[Standalone]:
    with standalone.running(environment) as found:
        yield found


def test_tutorial_does_what_it_says(environment: dict[str, str], tmp_path: Path, running: Standalone) -> None:
    start, *steps = [block.text for block in blocks(PAGE, "bash")]
    assert start == "make run\n"
    steps[3] += UNTIL_FINISHED
    script = "\necho ---\n".join(steps)
    assert script.count(":7878/") == 5
    script = script.replace(":7878/", f":{environment['PORT']}/")
    script = script.replace(".venv/bin/python manage.py", f"{sys.executable} {ROOT}/manage.py")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _, source, workflow, delivery, execution, replay = done.stdout.split("---\n")

    shown = [block.text for block in blocks(PAGE, "text")]
    said = running.announcement.replace(environment["PORT"], "7878").splitlines()
    assert [line for line in without_secrets(shown[0]) if line not in without_secrets("\n".join(said))] == []
    assert source == shown[1]
    assert json.loads(workflow)["workflow_version"] == 1
    assert json.loads(delivery)["message"] == "Event accepted for processing"
    assert steady(execution) == steady(shown[2])
    assert json.loads(replay)["message"] == "Execution queued for replay"


def without_secrets(text: str) -> list[str]:
    return re.sub(r"password \S+|ak_\S+", "SECRET", text).splitlines()


def steady(table: str) -> list[str]:
    """Return the lines of a table without what differs from run to run: ids, times, widths."""
    table = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", table)
    table = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\b[\d.,]+ m?s\b", "TIME", table)
    return [re.sub(r" +", " ", line) for line in table.strip().splitlines()]
