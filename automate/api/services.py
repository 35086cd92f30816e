"""The business logic behind WorkflowViewSet: an override point that hands over to the verbs."""

from __future__ import annotations

from typing import Any

from automate import workflows
from automate.lint import Codes, Finding
from automate.lint.gathering import lint_workflow
from automate.manual import run_by
from automate.models import Automation, Execution
from automate_api.principal import Principal
from automate_core.errors import AccessDenied, Problem
from automate_core.models import Role


class WorkflowService:
    """What one caller may do to workflows; subclass it and name the class in a viewset's `service_class`.

    Switching a workflow on takes the role publisher; what an editor creates is off.
    """

    def __init__(self, principal: Principal) -> None:
        self.principal = principal

    def create(self, **fields: Any) -> Automation:
        """Create a workflow; raises ValidationFailed with every wrong field."""
        fields.setdefault("enabled", self.principal.may(Role.PUBLISHER))
        self._check_switch(fields["enabled"])
        return workflows.create_workflow(by=self.principal.id, user=self.principal.user, **fields)

    def update(self, automation: Automation, **fields: Any) -> Automation:
        """Change what is given; raises ValidationFailed with every wrong field."""
        self._check_switch(fields.get("enabled", False) and not automation.enabled)
        return workflows.update_workflow(automation, by=self.principal.id, user=self.principal.user, **fields)

    def delete(self, automation: Automation) -> None:
        """Delete a workflow with its history."""
        workflows.delete_workflow(automation, by=self.principal.id)

    def restore(self, automation: Automation, number: int) -> Automation:
        """Make an earlier version live again, as a new one; raises NotFound."""
        return workflows.restore_version(automation, number, by=self.principal.id, user=self.principal.user)

    def run(self, automation: Automation, payload: dict[str, Any]) -> Execution:
        """Start an execution with `payload` as its input.

        Raises:
            Conflict: the workflow is off.
            ValidationFailed: what is drawn cannot run yet.
        """
        workflows.settle_draft(automation, by=self.principal.id, user=self.principal.user)
        return run_by(self.principal.id, automation.slug, payload)

    def problems(self, **fields: Any) -> list[Problem]:
        """Return what is wrong with a graph and a trigger."""
        return workflows.problems(**fields)

    def warnings(self, automation: Automation, *, graph: Any = None, **trigger: Any) -> list[Finding]:
        """Return what is doubtful about a graph and a trigger that could be saved."""
        if graph is None:
            return []
        found = lint_workflow(automation, graph=graph, **{"trigger_config": {}, **trigger})
        return [finding for finding in found if finding.code != Codes.INVALID]

    def _check_switch(self, switches_on: bool) -> None:
        if switches_on and not self.principal.may(Role.PUBLISHER):
            raise AccessDenied("Switching a workflow on needs the role 'publisher'")
