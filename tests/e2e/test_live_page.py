"""The live page in a browser: nodes change colour as they run, and the buttons start and stop."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.factories.standalone import Standalone


def make_workflow(project: Standalone, name: str, nodes: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    answer = httpx.post(
        f"{project.url}/api/automate/workflows/",
        headers={"X-API-Key": project.api_key},
        json={"name": name, "trigger_type": "manual", "graph": {"nodes": nodes, **more}},
        timeout=60,
    )
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def states(page: Page) -> list[tuple[str | None, str | None]]:
    return [
        (row.get_attribute("data-node"), row.get_attribute("data-state"))
        for row in page.locator("#nodes li").all()
    ]


def status(page: Page) -> Locator:
    return page.locator("#status")


def open_live(page: Page, project: Standalone, workflow: str) -> None:
    page.goto(f"{project.url}/studio/live/{workflow}/")
    expect(page.locator("#connection")).to_have_text("live")


def test_started_workflow_is_seen_to_run_wait_and_finish(
    logged_in: Page, project: Standalone, tmp_path: Path
) -> None:
    page = logged_in
    made = make_workflow(
        project,
        "Seen",
        [
            {"id": "first", "type": "transform", "config": {"output": {"n": 1}}},
            {"id": "pause", "type": "delay", "config": {"seconds": 8}},
            {
                "id": "asked",
                "type": "condition",
                "config": {"rule": {"==": [{"var": "steps.first.output.n"}, 1]}},
            },
            {"id": "yes", "type": "logging", "config": {"message": "<b>one</b>"}},
            {"id": "no", "type": "logging", "config": {"message": "not one"}},
        ],
        edges=[
            {"source": "first", "target": "pause"},
            {"source": "pause", "target": "asked"},
            {"source": "asked", "target": "yes", "source_handle": "true"},
            {"source": "asked", "target": "no", "source_handle": "false"},
        ],
    )
    open_live(page, project, made["slug"])
    assert {state for _, state in states(page)} == {"idle"}
    expect(status(page)).to_have_text("idle")
    expect(page.locator("#stop")).to_be_disabled()

    page.click("#start")
    expect(page.locator('[data-node="pause"]')).to_have_attribute("data-state", "waiting")
    expect(page.locator('[data-node="first"]')).to_have_attribute("data-state", "completed")
    expect(page.locator("#stop")).to_be_enabled()
    page.screenshot(path=tmp_path / "waiting.png")

    expect(status(page)).to_have_text("completed")
    ended = {
        "first": "completed",
        "pause": "completed",
        "asked": "completed",
        "yes": "completed",
        "no": "skipped",
    }
    assert dict(states(page)) == ended
    expect(page.locator("#log")).to_contain_text("workflow completed")
    page.screenshot(path=tmp_path / "completed.png")

    # Whoever comes later sees the same, read from the database.
    page.reload()
    expect(status(page)).to_have_text("completed")
    assert dict(states(page)) == ended


def test_stop_ends_what_runs(logged_in: Page, project: Standalone) -> None:
    page = logged_in
    made = make_workflow(
        project,
        "Stopped",
        [
            {"id": "pause", "type": "delay", "config": {"seconds": 600}},
            {"id": "never", "type": "logging", "config": {"message": "too late"}},
        ],
    )
    open_live(page, project, made["id"])
    page.click("#start")
    expect(page.locator('[data-node="pause"]')).to_have_attribute("data-state", "waiting")

    page.click("#stop")
    expect(status(page)).to_have_text("cancelled")
    expect(page.locator('[data-node="pause"]')).to_have_attribute("data-state", "cancelled")
    expect(page.locator("#stop")).to_be_disabled()


def test_failure_says_why_as_text(logged_in: Page, project: Standalone) -> None:
    page = logged_in
    made = make_workflow(
        project,
        "Failing",
        [{"id": "reads", "type": "transform", "config": {"output": "{{ event.payload.absent }}"}}],
    )
    open_live(page, project, made["slug"])
    page.click("#start")
    expect(status(page)).to_have_text("failed")
    expect(page.locator('[data-node="reads"] .detail')).to_contain_text("absent")


def test_demo_webhook_is_seen_on_the_announced_page(logged_in: Page, project: Standalone) -> None:
    page = logged_in
    address = f"{project.url}/studio/live/demo/"
    assert address in project.announcement
    open_live(page, project, "demo")
    line = next(line for line in project.announcement.splitlines() if line.strip().startswith("curl"))
    sent = subprocess.run(
        ["bash", "-c", line.replace("curl -i", "curl -sS -i")], capture_output=True, text=True
    )
    assert " 202 " in sent.stdout.splitlines()[0], sent.stdout + sent.stderr

    expect(status(page)).to_have_text("completed")
    assert dict(states(page)) == {
        "summary": "completed",
        "is_new": "completed",
        "welcome": "completed",
        "note": "skipped",
    }


def test_page_without_a_session_asks_to_log_in(page: Page, project: Standalone) -> None:
    page.goto(f"{project.url}/studio/live/demo/")
    assert page.url == f"{project.url}/admin/login/?next=/studio/live/demo/"


@pytest.mark.parametrize("address", ["absent", "01890a5d-ac96-774b-bcce-b302099a8057"])
def test_unknown_workflow_is_said_to_be_unknown(logged_in: Page, project: Standalone, address: str) -> None:
    answer = logged_in.goto(f"{project.url}/studio/live/{address}/")
    assert answer is not None
    assert answer.status == 404
    expect(logged_in.locator("main")).to_contain_text(f"There is no workflow '{address}' here")
