"""Rows of steps change in place when a step ends, and belong to a tenant that is there without asking for it."""

from __future__ import annotations

import importlib

import pytest
from django.db import IntegrityError, connection

from automate.executions.record import _STEPS
from automate.models import Execution, StepRun
from automate_core import sql
from automate_core.ids import uuid7
from tests.factories.engine import node, workflow

CHANGED = _STEPS.partition("DO UPDATE SET")[2].partition("{waits_set}")[0]
INDEXED = """
SELECT a.attname FROM pg_index i
JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refobjid = i.indrelid
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE i.indrelid = 'automate_steprun'::regclass
UNION
SELECT a.attname FROM pg_index i JOIN pg_constraint c ON c.conindid = i.indexrelid
JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY(c.conkey)
WHERE i.indrelid = 'automate_steprun'::regclass AND c.conrelid = i.indrelid
"""


@pytest.mark.django_db
def test_no_index_mentions_what_changes_when_a_step_ends() -> None:
    indexed = {row[0] for row in sql.execute(INDEXED)}
    assert {"execution_id", "path", "attempt", "wake_event", "wake_rule", "node_type"} <= indexed
    changed = {part.split("=")[0].strip() for part in CHANGED.split(",") if "=" in part}
    assert {"status", "output_data", "marks", "finished_at"} <= changed
    assert indexed & changed == set()


@pytest.mark.django_db
def test_pages_of_steps_keep_room_for_the_second_version_of_a_row() -> None:
    options = sql.execute("SELECT reloptions FROM pg_class WHERE oid = 'automate_steprun'::regclass")
    assert options == [(["fillfactor=70"],)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("model", [Execution, StepRun])
def test_row_of_an_unknown_tenant_is_refused(model: type[Execution | StepRun]) -> None:
    automation = workflow(node("one", "merge"))
    execution = Execution.objects.create(automation=automation, version=automation.live_version)
    if model is StepRun:
        step = StepRun(execution=execution, path="one", node_key="one", node_type="merge", status="RUNNING",
                       effect="pure")  # fmt: skip
        step.save()
        row = step.pk
    else:
        row = execution.pk
    with pytest.raises(IntegrityError):
        model.all_tenants.filter(pk=row).update(tenant_id=uuid7())


@pytest.mark.django_db(transaction=True)
def test_migration_clears_what_steps_that_are_over_listened_to() -> None:
    migration = importlib.import_module("automate.migrations.0019_steps_in_place")
    automation = workflow(node("one", "merge"))
    execution = Execution.objects.create(automation=automation, version=automation.live_version)
    for path, status in (("over", "SUCCESS"), ("cancelled", "CANCELLED"), ("waits", "WAITING")):
        StepRun.objects.create(
            execution=execution, path=path, node_key=path, node_type="wait_for_event", status=status, effect="pure",
            wake_event="paid",
        )  # fmt: skip
    with connection.schema_editor(atomic=False) as editor:
        migration.clear(None, editor)
    assert dict(StepRun.objects.values_list("path", "wake_event")) == {
        "over": None, "cancelled": None, "waits": "paid",
    }  # fmt: skip
