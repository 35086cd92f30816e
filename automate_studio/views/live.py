"""The page that shows a workflow's nodes and colours them as they run."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.admin.views.decorators import staff_member_required
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from automate.models import Automation
from automate_api import principal
from automate_core.context import tenant_scope
from automate_core.errors import AccessDenied, NotFound, ValidationFailed
from automate_core.models import Role, Tenant

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""The page loads its own files and talks to its own host; markup in a name or an error stays text."""


@require_safe
@never_cache
@staff_member_required
def live(request: HttpRequest, workflow: str) -> HttpResponse:
    """Show one workflow, by id or slug, of the tenant that `?tenant=` names or the user's only one."""
    try:
        caller = principal.of_user(request.user, wanted=request.GET.get("tenant"))
        with tenant_scope(caller.tenant_id):
            return _page(request, "live.html", _shown(workflow, caller))
    except ValidationFailed:
        tenants = Tenant.objects.filter(is_active=True, memberships__user=request.user.pk).order_by("slug")
        return _page(request, "which_tenant.html", {"tenants": tenants}, status=400)
    except AccessDenied as error:
        return _page(request, "no_page.html", {"message": str(error)}, status=403)
    except NotFound as error:
        return _page(request, "no_page.html", {"message": str(error)}, status=404)


def _page(request: HttpRequest, name: str, facts: dict[str, Any], status: int = 200) -> HttpResponse:
    answer = render(request, f"automate_studio/{name}", facts, status=status)
    answer.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    answer.headers["Referrer-Policy"] = "same-origin"
    return answer


def _shown(workflow: str, caller: principal.Principal) -> dict[str, Any]:
    automation = Automation.objects.select_related("live_version").filter(_named(workflow)).first()
    if automation is None:
        raise NotFound(
            f"There is no workflow {workflow!r} here; the API lists them at /api/automate/workflows/"
        )
    version = automation.live_version
    graph = version.graph if version else {"nodes": []}
    return {
        "automation": automation,
        "version": version,
        "nodes": [{"id": node["id"], "type": node["type"]} for node in graph["nodes"]],
        "tenant_id": caller.tenant_id,
        "may_run": caller.may(Role.RUNNER),
    }


def _named(workflow: str) -> Q:
    try:
        return Q(id=UUID(workflow))
    except ValueError:
        return Q(slug=workflow)
