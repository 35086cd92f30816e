"""What the doctor asks of the engine: can every live workflow run, can every webhook source be believed?"""

from __future__ import annotations

from collections.abc import Iterator

from automate.graph import graph_problems
from automate.models import Automation, WebhookSource
from automate.runtime.plans import find_handler
from automate.webhooks.sources import look_up
from automate_core.doctor import Check, Finding, Level, doctor_registry

SHOWN = 5


def register() -> None:
    """Register the engine's checks."""
    for check in CHECKS:
        doctor_registry.register(check.name, check)


def check_workflows() -> Iterator[Finding]:
    """Look for live versions that could not run: steps nothing provides any more, above all."""
    count = 0
    broken = []
    live = Automation.all_tenants.filter(enabled=True, live_version__isnull=False)
    for automation in live.select_related("tenant", "live_version").order_by("id").iterator(chunk_size=200):
        count += 1
        graph = automation.live_version.graph if automation.live_version else {}
        if problems := graph_problems(graph, find_handler):
            broken.append((automation, problems[0]))
    for automation, problem in broken[:SHOWN]:
        yield Finding(
            Level.FAIL,
            f"{automation.tenant.slug}/{automation.slug}: {problem.field} {problem.message}",
            "Install the app that brings the step, or change the workflow",
        )
    if len(broken) > SHOWN:
        yield Finding(
            Level.FAIL, f"{len(broken) - SHOWN} more cannot run", "Correct the ones above and ask again"
        )
    if not broken:
        yield Finding(Level.OK, f"{count} switched on, all can run")


def check_sources() -> Iterator[Finding]:
    """Look for enabled webhook sources whose secret cannot be used: they refuse every delivery."""
    enabled = WebhookSource.all_tenants.filter(is_enabled=True).select_related("tenant").order_by("slug")
    sources = list(enabled)
    mute = [source for source in sources if not look_up(source.slug).keys]
    for source in mute:
        yield Finding(
            Level.FAIL,
            f"{source.slug!r} has no usable secret and refuses every delivery",
            f"Store it: manage.py automate_secret set {source.secret_name} --tenant {source.tenant.slug}",
        )
    if not mute:
        yield Finding(Level.OK, f"{len(sources)} switched on, all have a secret")


CHECKS = (Check("workflows", check_workflows), Check("webhooks", check_sources))
