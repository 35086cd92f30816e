"""Whose end is worth an outbox item."""

from __future__ import annotations

import pytest

from automate.executions.finished import is_wanted
from automate_core.ids import uuid7

pytestmark = pytest.mark.django_db

NOBODY = {
    "parent_execution_id": None, "key": None, "status": "SUCCESS", "error_workflow": None,
    "tenant_id": str(uuid7()), "automation_id": str(uuid7()),
}  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        ({}, False),
        ({"status": "FAILED"}, False),
        ({"status": "SUCCESS", "error_workflow": "alarm"}, False),
        ({"status": "FAILED", "error_workflow": "alarm"}, True),
        ({"status": "CANCELLED"}, True),
        ({"parent_execution_id": str(uuid7())}, True),
        ({"key": ""}, True),
        ({"left_waiting": True}, True),
    ],
)
def test_end_is_wanted_by_whoever_waits_for_it(facts, wanted):
    assert is_wanted(**{**NOBODY, **facts}) is wanted
