"""Endpoints of kind `automation`: each call is an execution of the configured workflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Count, F
from django.db.models.expressions import Combinable, OuterRef, Subquery

from automate.enums import ExecutionStatus, StepStatus
from automate.executions import control
from automate.executions.start import start_execution
from automate.graph import Plan
from automate.models import Automation, Execution, StepRun
from automate.runtime import plans
from automate_core.endpoints import EndpointBackend, RunChange, RunState, RunStatus, endpoint_registry
from automate_core.errors import Conflict, NotFound, Problem, ValidationFailed
from automate_core.redaction import redact

_DONE = (StepStatus.SUCCESS, StepStatus.SKIPPED)


class AutomationBackend(EndpointBackend):
    """Runs the workflow whose slug is `config.workflow` with the input."""

    kind = "automation"
    label = "Workflow"
    config_schema = {
        "type": "object",
        "required": ["workflow"],
        "properties": {"workflow": {"type": "string", "title": "Slug of the workflow"}},
        "additionalProperties": False,
    }

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Require the slug of a workflow of this tenant."""
        found = [
            Problem(str(name)[:100], "is not known; known: workflow") for name in config if name != "workflow"
        ]
        slug = config.get("workflow")
        if not isinstance(slug, str) or not slug:
            found.append(Problem("workflow", "must be the slug of a workflow"))
        elif not Automation.objects.filter(slug=slug).exists():
            found.append(Problem("workflow", f"There is no workflow {slug[:100]!r}"))
        return found

    def start(self, config: Mapping[str, Any], payload: Mapping[str, Any]) -> UUID:
        """Queue an execution of the live version; the workflow's form, if it has one, judges the input."""
        try:
            return start_execution(slug=str(config["workflow"]), payload=payload).id
        except NotFound as error:
            raise Conflict(f"{error.message} any more; change the endpoint") from error
        except ValidationFailed as error:
            renamed = [Problem(_as_input(one.field), one.message) for one in error.details]
            raise ValidationFailed(error.message, details=renamed) from error

    def state(self, run_id: UUID) -> RunState | None:
        """Return where the execution stands."""
        columns = ("status", "error_code", "error_summary", "started_at", "finished_at")
        execution = Execution.objects.filter(pk=run_id).only(*columns).first()
        if execution is None:
            return None
        return RunState(
            status=RunStatus(execution.status),
            error_code=execution.error_code,
            error_message=execution.error_summary,
            started_at=execution.started_at,
            finished_at=execution.finished_at,
        )

    def columns(self, run_id: OuterRef) -> Mapping[str, Combinable]:
        """Return the execution's own columns."""
        run = Execution.all_tenants.filter(pk=run_id).order_by()
        return {name: Subquery(run.values(name)) for name in ("status", "started_at", "finished_at")}

    def output(self, run_id: UUID) -> Any:
        """Return what a `return` step gave, else the output of the one last step that succeeded."""
        execution = Execution.objects.filter(pk=run_id).only("output", "version_id").first()
        if execution is None:
            return None
        return redact(_last_output(execution) if execution.output is None else execution.output)

    def changes(self, run_id: UUID, *, after: int, limit: int) -> Sequence[RunChange]:
        """Return the steps that changed, each as it stands."""
        steps = StepRun.objects.filter(execution_id=run_id, seq__gt=after).order_by("seq", "id")
        columns = ("path", "attempt", "node_type", "status", "route", "error_code", "error_message")
        return [
            RunChange(
                seq=step.seq,
                type="step",
                at=step.finished_at or step.started_at,
                data={name: getattr(step, name) for name in columns},
            )
            for step in steps.only("seq", "started_at", "finished_at", *columns)[:limit]
        ]

    def progress(self, run_id: UUID) -> float | None:
        """Return the share of the nodes that are done."""
        execution = Execution.objects.filter(pk=run_id).only("status", "version_id").first()
        plan = _plan(execution) if execution else None
        if execution is None or plan is None or not plan.nodes:
            return None
        if execution.status == ExecutionStatus.SUCCESS:
            return 1.0
        of_nodes = StepRun.objects.filter(execution=execution, path=F("node_key"), status__in=_DONE)
        done: int = of_nodes.aggregate(n=Count("path", distinct=True))["n"]
        return round(min(done / len(plan.nodes), 1.0), 4)

    def cancel(self, run_id: UUID, *, by: str) -> None:
        """Cancel the execution and those its steps wait for."""
        execution = Execution.objects.filter(pk=run_id).first()
        if execution is None:
            raise NotFound(f"Execution {run_id} was deleted")
        control.cancel(execution, by=by)


def register_automation_backend() -> None:
    """Register the backend of this module."""
    if AutomationBackend.kind not in endpoint_registry:
        endpoint_registry.register(AutomationBackend.kind, AutomationBackend())


def _as_input(field: str) -> str:
    return f"input{field.removeprefix('payload')}" if field.startswith("payload") else field


def _last_output(execution: Execution) -> Any:
    plan = _plan(execution)
    if plan is None:
        return None
    ends = [plan.nodes[place] for place in plan.ends]
    keys = [node.key for node in ends if not node.handler.ends_iteration]
    steps = StepRun.objects.filter(execution=execution, path__in=keys).order_by("path", "-attempt")
    latest = steps.distinct("path").values_list("status", "output_data")
    outputs = [output for status, output in latest if status == StepStatus.SUCCESS]
    return outputs[0] if len(outputs) == 1 else None


def _plan(execution: Execution) -> Plan | None:
    version_id = str(execution.version_id)
    live = plans.load([version_id]).get(version_id)
    return live.plan if live else None
