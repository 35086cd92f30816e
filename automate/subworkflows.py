"""The step `subworkflow`: runs another workflow, and waits for its end or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from automate.executions.start import start_execution
from automate.models import Automation
from automate_core.errors import PermanentError, Problem
from automate_core.steps import Effect, StepContext, StepHandler, StepResult, Wait, step_registry

MAX_WAIT_SECONDS = 366 * 86_400.0


class SubworkflowStep(StepHandler):
    """Starts an execution of `workflow`, named by its slug or its id, with `input`, and by default waits for its end.

    The new execution commits together with the step's record, so there is exactly one for each try. The step then
    succeeds with `{"execution_id", "status", "output"}`, or fails with CHILD_FAILED. With `wait: false` its output
    is `{"execution_id"}` at once, and cancelling the caller does not reach what it started.
    """

    type = "subworkflow"
    label = "Run a workflow"
    effect = Effect.DATABASE
    config_schema = {
        "type": "object",
        "required": ["workflow"],
        "properties": {
            "workflow": {"type": "string", "title": "Workflow", "description": "Slug or id of the workflow to run."},
            "input": {"title": "Input", "description": "Its input: an object, or a template that gives one."},
            "wait": {
                "type": "boolean", "default": True, "title": "Wait",
                "description": "Whether to wait for its end and take its output.",
            },
            "timeout_seconds": {
                "type": ["number", "string"], "exclusiveMinimum": 0, "maximum": MAX_WAIT_SECONDS, "title": "Timeout",
                "description": "Longest wait, in seconds; then the step fails.", "x-depends-on": {"wait": True},
            },
        },
    }  # fmt: skip

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Require a slug, an object (or a template of one), a boolean and a time that can be waited."""
        found = []
        if not isinstance(config.get("workflow"), str) or not config["workflow"]:
            found.append(Problem("workflow", "is required: the slug or the id of a workflow"))
        if not isinstance(config.get("input", {}), Mapping | str):
            found.append(Problem("input", "must be an object, or a template that gives one"))
        if not isinstance(config.get("wait", True), bool):
            found.append(Problem("wait", "must be true or false"))
        if not isinstance(config.get("timeout_seconds"), str) and not _is_time(config.get("timeout_seconds")):
            found.append(Problem("timeout_seconds", f"must be a number over 0, up to {MAX_WAIT_SECONDS:.0f}"))
        return found

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult | Wait:
        """Start the workflow in the transaction that records the step."""
        given, seconds = config.get("input", {}), config.get("timeout_seconds")
        if not isinstance(given, Mapping):
            raise PermanentError(f"input must be an object, not {given!r}")
        if not _is_time(seconds):
            raise PermanentError(
                f"timeout_seconds must be a number over 0, up to {MAX_WAIT_SECONDS:.0f}, not {seconds!r}"
            )
        slug = _slug_of(config["workflow"])
        if not config.get("wait", True):
            return StepResult({"execution_id": str(start_execution(slug=slug, payload=given).id)})
        child = start_execution(
            slug=slug,
            payload=given,
            parent_execution_id=context.execution_id,
            parent_path=context.path,
        )
        return Wait(seconds=seconds, output={"execution_id": str(child.id)}, awaits=True)

    def run_alone(
        self, config: Mapping[str, Any], context: StepContext, state: dict[str, Any]
    ) -> StepResult | Wait:
        """Start the workflow as nobody's child: there is no execution to bring its output to."""
        started = self.run({**config, "wait": False}, context)
        if not config.get("wait", True):
            return started
        output = started.output
        return Wait(seconds=config.get("timeout_seconds"), output=output, awaits=True)


def register_subworkflow_step() -> None:
    """Register the step."""
    if SubworkflowStep.type not in step_registry:
        step_registry.register(SubworkflowStep.type, SubworkflowStep())


def _slug_of(workflow: str) -> str:
    """Return the slug of the workflow with this id; what is no such id is a slug already."""
    try:
        found = Automation.objects.filter(pk=UUID(workflow)).values_list("slug", flat=True).first()
    except (ValueError, AttributeError):
        return workflow
    return found or workflow


def _is_time(seconds: Any) -> bool:
    if seconds is None:
        return True
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return is_number and 0 < seconds <= MAX_WAIT_SECONDS
