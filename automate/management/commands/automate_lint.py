"""`automate_lint`: what is wrong or doubtful about the workflows of a tenant, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser

from automate.lint import Finding, Severity
from automate.lint.gathering import lint_workflow, stored_facts
from automate.models import Automation
from automate_core.management.base import AutomateCommand, add_tenant_option, in_tenant, plain


class Command(AutomateCommand):
    """Lint workflows."""

    help = "Look for faults in workflows: what cannot run, and what will probably not do what is meant."
    examples = """\
  automate_lint
  automate_lint orders refunds --fail-on warning
  automate_lint --format json | jq '.workflows[].findings[].code'
"""
    exit_codes = """\
exit codes: 0 nothing found at the level of --fail-on or above it; 1 something found there, or refused;
2 wrong usage"""

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the workflows and the output form."""
        parser.add_argument("slugs", nargs="*", metavar="SLUG", help="workflows (default: all of the tenant)")
        parser.add_argument("--format", choices=["text", "json"], default="text", help="default: text")
        parser.add_argument(
            "--fail-on",
            choices=[*Severity],
            default=Severity.ERROR,
            help="the least severity that ends the command with 1 (default: error)",
        )
        add_tenant_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the findings workflow by workflow; raise CommandError when there are any at the level."""
        as_json = options["format"] == "json"
        reports = []
        with in_tenant(options["tenant"]):
            for automation, findings in _findings(options["slugs"]):
                reports.append((automation, findings))
                if not as_json:
                    self._say(automation, findings)
        every = [finding for _, findings in reports for finding in findings]
        errors = sum(finding.severity is Severity.ERROR for finding in every)
        if as_json:
            self.stdout.write(json.dumps(_facts(reports, errors, len(every) - errors), indent=2))
        summary = f"{_counted(len(reports), 'workflow')}: {_counted(errors, 'error')}, "
        summary += _counted(len(every) - errors, "warning")
        if any(finding.severity.reaches(Severity(options["fail_on"])) for finding in every):
            raise CommandError(summary)
        if not as_json:
            self.stdout.write(summary)

    def _say(self, automation: Automation, findings: Sequence[Finding]) -> None:
        name = _name(automation)
        if not findings:
            self.stdout.write(f"{name}  {self.style.SUCCESS('ok')}")
        for finding in findings:
            colour = self.style.ERROR if finding.severity is Severity.ERROR else self.style.WARNING
            self.stdout.write(f"{name}  {colour(finding.severity)}  {finding.code}  {plain(finding.field)}")
            self.stdout.write(f"    {plain(finding.message)}")
        self.stdout.flush()


def _findings(slugs: Sequence[str]) -> Iterator[tuple[Automation, list[Finding]]]:
    """Yield each workflow with what is found; those without a version yet have nothing to look at."""
    stored = Automation.objects.select_related("live_version").order_by("slug")
    if slugs:
        stored = stored.filter(slug__in=slugs)
        if unknown := sorted(set(slugs) - set(stored.values_list("slug", flat=True))):
            raise CommandError(f"There is no workflow {', '.join(map(repr, unknown))}")
    facts = stored_facts()
    for automation in stored.iterator(chunk_size=100):
        live = automation.live_version
        if live is not None:
            content = {"trigger_type": live.trigger_type, "trigger_config": live.trigger_config}
            yield automation, lint_workflow(automation, graph=live.graph, facts=facts, **content)


def _name(automation: Automation) -> str:
    return f"{automation.slug} v{automation.live_version.number if automation.live_version else 0}"


def _facts(
    reports: Sequence[tuple[Automation, Sequence[Finding]]], errors: int, warnings: int
) -> dict[str, Any]:
    workflows = [
        {
            "workflow": automation.slug,
            "version": automation.live_version.number if automation.live_version else None,
            "findings": [finding.as_dict() for finding in findings],
        }
        for automation, findings in reports
    ]
    return {"workflows": workflows, "errors": errors, "warnings": warnings}


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
