"""The lists that are measured are there, and each is answered."""

from __future__ import annotations

import json

import pytest

from automate.models import Event, Execution
from automate_core.models import DEFAULT_TENANT_ID
from benchmarks import lists

ROWS = 2_000


@pytest.mark.django_db(transaction=True)
def test_every_list_is_asked_of_seeded_rows(capsys: pytest.CaptureFixture[str]) -> None:
    lists.main(["--rows", str(ROWS), "--repeats", "1"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (Event.all_tenants.count(), Execution.all_tenants.count()) == (ROWS, ROWS)
    assert Execution.all_tenants.filter(tenant_id=DEFAULT_TENANT_ID).count() == ROWS * 9 // 10
    assert {len(one["runs"]) for one in figures.values()} == {1}
    assert {group.split()[0].strip(",:") for group in figures} == {
        "executions", "events", "workflows", "versions", "approvals", "triggers", "admin",
    }  # fmt: skip
